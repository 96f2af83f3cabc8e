"""The whole turn at the smallest size: every stage leaves what the next one reads, a restart redoes nothing."""

import json
import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import prose
from hypothesis import given
from hypothesis import strategies as st

from corpus.failures import Failure
from eval import flagged, loop
from eval.cli import app
from eval.documents import Document

torch.set_num_threads(1)
TINY = {
    "seeds": 2, "share": 0.3, "tokens": 512, "depth": 1, "vocab": 300, "row": 32, "batch": 256, "held-out": 0.2,
    "items": 4, "traced": 2, "threads": 1,
}  # fmt: skip


def run(out: Path, corpus: Path, **changes: Any) -> None:
    options = [str(x) for name, value in {**TINY, **changes}.items() for x in (f"--{name}", value)]
    app(["loop", "--out", str(out), "--corpus-input", str(corpus), *options], standalone_mode=False)


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def flag_what_is_sealed(model: Path, corpus: Path, reference: None, out: Path, threshold: float) -> tuple[Any, Any]:
    """In place of a detector, so that the other stages have something to do however small the model is."""
    from eval.documents import load

    sealed = set(pq.read_table(corpus.parent / "planted" / "sealed.parquet")["id"].to_pylist())
    rows = [
        {"id": d.id, "score": 0.9 if d.key in sealed else 0.1, "signal": "s", "evidence": "e"} for d in load(corpus)
    ]
    table = pa.Table.from_pylist(rows).append_column("flagged", pa.array([row["score"] > threshold for row in rows]))
    pq.write_table(table, out)
    return table, type("Used", (), {"rung": "sealed"})


def test_a_whole_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(flagged, "flag", flag_what_is_sealed)
    corpus = write(tmp_path / "c.jsonl", [f"In {1900 + n} Anna Berg bought {n} boats.\n{prose(n)}" for n in range(30)])
    out = tmp_path / "loop"
    run(out, corpus)
    said = capsys.readouterr().out
    for name in ("corpus", "plant", "train", "errors", "flag", "attribute", "correct", "rebuild", "retrain", "compare"):
        assert f"] {name}: " in said
    planted = loop.stage_of(out, "plant")["planted"]
    assert planted > 3
    assert loop.stage_of(out, "correct")["blocked"] == planted
    assert loop.stage_of(out, "rebuild")["documents"] == loop.stage_of(out, "plant")["of"] - planted
    signed = pq.read_table(out / "corrections.parquet")
    assert set(signed["signed_by"].to_pylist()) == {"automatic (demo)"}
    with duckdb.connect() as db:
        rows = db.execute(f"select seed, first, second, difference from '{out}/improvement.parquet'").fetchall()
    assert [row[0] for row in rows] == ["0", "1", "all", "t", "against random"]
    assert all(second - first == pytest.approx(difference) for _, first, second, difference in rows)
    report = (out / "report.html").read_text("utf-8")
    assert f"Blocked: {planted} of {planted} planted documents, and 0 of" in report
    assert "signed automatically" in report
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    run(out, corpus)
    assert capsys.readouterr().out.count("done before") == 10
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    with pytest.raises(Failure, match="begun with other settings"):
        run(out, corpus, share=0.5)


@pytest.mark.parametrize("texts", [[], ["One text."], ["图书馆很安静。"] * 3], ids=["empty", "one", "chinese"])
def test_too_little_for_a_loop_is_said_in_a_line(texts: list[str], tmp_path: Path) -> None:
    with pytest.raises(Failure, match="too few for a loop"):
        run(tmp_path / "loop", write(tmp_path / "c.jsonl", texts))


def test_a_chinese_corpus_goes_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flagged, "flag", flag_what_is_sealed)
    said = "".join(chr(0x4E00 + n) for n in range(2000))  # every text of other signs: near copies are left out
    texts = [
        f"图书馆建于{1900 + n}年。" + "。".join(re.findall("." * 9, said[90 * n : 90 * n + 90])) + "。"
        for n in range(20)
    ]
    corpus = write(tmp_path / "c.jsonl", texts)
    options = [str(x) for k, v in {**TINY, "seeds": 1}.items() for x in (f"--{k}", v)]
    arguments = ["loop", "--out", str(tmp_path / "loop"), "--corpus-input", str(corpus), "--no-control", *options]
    app(arguments, standalone_mode=False)
    assert (tmp_path / "loop" / "report.html").exists()
    for name in ("improvement", "comparison", "flagged", "corrections", "attributed"):
        assert duckdb.sql(f"select * from '{tmp_path}/loop/{name}.parquet'").columns, name


@given(st.text(alphabet="ab. \n", max_size=400), st.integers(10, 80))
def test_passages_hold_the_whole_text_in_order(text: str, characters: int) -> None:
    found = loop.passages(Document("a" * 32, text, key="k"), characters)
    assert "".join("".join(one.text.split()) for one in found) == "".join(text.split())
    assert len({one.id for one in found}) == len(found)
    assert all(one.key == "" for one in found)


def test_what_is_set_aside_is_of_other_pages() -> None:
    documents = [Document(f"{n:032x}", prose(n, 30), title=str(n)) for n in range(40)]
    learnt, held = loop.set_aside(documents, loop.Settings(passage=300, held_out=0.25))
    assert not {one.title for one in learnt} & {one.title for one in held}
    assert {one.title for one in [*learnt, *held]} == {one.title for one in documents}
    assert held
    assert loop.set_aside(documents[:2], loop.Settings(held_out=0))[1]


def test_a_near_copy_is_in_one_part_only_and_in_it_once() -> None:
    """First what is set aside: a licence that stands in both parts would measure memory."""
    texts = [prose(n, 30) for n in range(20)]
    copied = [f"Copyright {n} by nobody. {texts[n % 20]}" for n in range(60)]
    documents = [Document(f"{n:032x}", text) for n, text in enumerate([*texts, *copied])]
    learnt, held = loop.set_aside(documents, loop.Settings(passage=10_000, held_out=0.25))
    assert sorted(one.text[-60:] for one in [*learnt, *held]) == sorted(text[-60:] for text in texts)
    assert learnt
    assert held


def test_at_most_so_many_passages_are_learnt_and_another_document_changes_few() -> None:
    documents = [Document(f"{n:032x}", prose(n, 30)) for n in range(60)]
    settings = loop.Settings(passage=10_000, most=20)
    one, two = ({d.id for d in loop.set_aside(part, settings)[0]} for part in (documents, documents[:-1]))
    assert len(one) == len(two) == 20
    assert len(one - two) <= 1
