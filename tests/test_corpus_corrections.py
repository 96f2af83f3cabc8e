"""A build obeys what a person signed and nothing else; the books add up, and every reader can say what happened."""

import dataclasses
import io
from contextlib import redirect_stdout
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import prose, write_jsonl
from small_run import small_run

from corpus import recipe as recipes
from corpus import replay, schema, why
from corpus.build import build
from corpus.corrections import Correction, CorrectionError, Orders, digest_of, obeying, of_run, read, save, signed
from corpus.recipe import RecipeError
from corpus.views import Run

SIGNED = {"reason": "flagged_by_model", "evidence": "loss, 3 of 4", "signal": "junk", "score": 0.93,
          "signed_by": "A. Reader", "signed_at": "2024-05-06"}  # fmt: skip


def texts(run: Path) -> dict[str, str]:
    rows = pq.read_table(run / "docs", columns=["id", "text"]).to_pylist()
    return {row["id"]: row["text"] for row in rows}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corrections")
    small_run(path, name="before")
    return path


@pytest.fixture(scope="module")
def corrected(folder: Path) -> tuple[Path, list[Correction]]:
    """Five kept documents corrected, one of them without a signature; one that has copies; one unknown."""
    before = folder / "before"
    kept = texts(before)
    copied = pq.read_table(before / "duplicates")["kept_id"].to_pylist()
    ids = [name for name in sorted(kept) if name not in copied]
    with_copies = next(name for name in sorted(kept) if name in copied)
    cut = kept[ids[1]][5:25]
    write_jsonl(folder / "more.jsonl", [{"text": prose(900, 14)}])
    rows = [
        Correction(ids[0], "block", "", **SIGNED),
        Correction(with_copies, "block", "", **SIGNED),
        Correction(ids[1], "mask", f"5:25:{digest_of(cut)}", **SIGNED),
        Correction(ids[1], "mask", "40:60", **SIGNED),
        Correction(ids[2], "weight", "0.25", **SIGNED),
        Correction(ids[3], "block", "", reason="flagged_by_model"),
        Correction("f" * 32, "block", "", **SIGNED),
        Correction("", "add_source", str(folder / "more.jsonl"), **SIGNED),
    ]
    save(folder / "corrections.csv", rows)
    build(folder / "recipe.toml", folder / "after", corrections=folder / "corrections.csv")
    return folder / "after", rows


def test_only_signed_rows_are_obeyed(folder: Path, corrected: tuple[Path, list[Correction]]) -> None:
    run, rows = corrected
    before, after = texts(folder / "before"), texts(run)
    gone = {rows[0].id, rows[1].id}
    assert before.keys() - after.keys() == gone
    assert rows[5].id in after
    added = after.keys() - before.keys()
    assert [after[name] for name in added] == [prose(900, 14)]
    old = before[rows[2].id]
    assert after[rows[2].id] == (old[:5] + old[25:40] + old[60:])
    changed = {name for name in after.keys() & before.keys() if after[name] != before[name]}
    assert changed == {rows[2].id}


def test_every_reader_knows_the_correction(corrected: tuple[Path, list[Correction]]) -> None:
    run, rows = corrected
    with Run(run) as opened:
        told = opened.rows("select * from ledger where stage = 'correction' order by id")
        assert [row["id"] for row in told] == sorted([rows[0].id, rows[1].id])
        assert {row["reason"] for row in told} == {"flagged_by_model"}
        assert told[0]["detail"] == "signed by A. Reader at 2024-05-06; junk 0.93; loss, 3 of 4"
        edits = opened.rows("select * from edits where step = 'correction' order by start")
        assert [(edit["start"], edit["end"], edit["rule"]) for edit in edits] == [
            (5, 25, SIGNED["reason"]),
            (40, 60, SIGNED["reason"]),
        ]
        files = opened.manifest["files"]
        assert all(read == kept + ledger for read, kept, ledger in files.values())
        assert opened.manifest["corrections"]["obeyed"] == {"block": 2, "mask": 2, "weight": 1, "add_source": 1}
        assert opened.manifest["corrections"]["not_read"] == 1
        assert opened.manifest["reasons"]["flagged_by_model"] == 2
    weights = pq.read_table(run / "weights.parquet").to_pylist()
    assert weights == [{"id": rows[4].id, "weight": 0.25, "reason": "flagged_by_model", "signed_by": "A. Reader"}]
    for row in (rows[0], rows[2], rows[4]):
        said = io.StringIO()
        with redirect_stdout(said):
            why.show(run, row.id)
        assert f"Correction: {row.action}" in said.getvalue()
        assert "A. Reader" in said.getvalue()


def test_copies_of_a_blocked_document_do_not_come_back_and_whatif_agrees(
    corrected: tuple[Path, list[Correction]],
) -> None:
    run, rows = corrected
    with Run(run) as opened:
        copies = opened.rows("select id from ledger where kept_id = ?", [rows[1].id])
        assert copies
        new, changes = replay.revise(opened, [])
        assert not changes
        replay.decide(opened, new)
        assert not opened.rows("select * from decided where before is distinct from after")


def test_the_same_corrections_are_the_same_build_and_others_are_another(
    corrected: tuple[Path, list[Correction]], folder: Path
) -> None:
    run, rows = corrected
    first = recipes.load(folder / "recipe.toml")
    assert "corrections" not in first.resolved()
    prints = set()
    for name, chosen in (("a.parquet", rows), ("b.csv", rows[::-1]), ("c.csv", rows[:3])):
        save(folder / name, chosen)
        found = obeying(first, folder / name)
        prints.add(found.corrections.sha256)
        assert found.fingerprint() != first.fingerprint()
    assert len(prints) == 2
    with pytest.raises(RecipeError, match=r"differs in corrections\.file"):
        build(folder / "recipe.toml", run, corrections=folder / "c.csv")
    assert [row for row in rows if row.signed_by] == of_run(run)


def test_a_mask_is_refused_where_its_text_has_changed_or_is_said_twice() -> None:
    turns = [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "Behind the mill."}]
    rows = [{"id": "0" * 32, "text": "The old mill."}, {"id": "1" * 32, "text": "Where is it?", "turns": turns}]
    docs = pa.Table.from_pylist(rows, schema=schema.DOCUMENT)
    for value in ("4:7:00000000", "4:99"):
        with pytest.raises(CorrectionError, match="propose it again"):
            Orders([Correction("0" * 32, "mask", value, **SIGNED)]).mask(docs)
    with pytest.raises(CorrectionError, match="conversation"):
        Orders([Correction("1" * 32, "mask", "0:3", **SIGNED)]).mask(docs)
    masked, edits = Orders([Correction("0" * 32, "mask", f"4:8:{digest_of('old ')}", **SIGNED)]).mask(docs)
    assert masked["text"].to_pylist() == ["The mill.", "Where is it?"]
    assert edits["removed"].to_pylist() == ["old "]
    assert Orders([Correction("0" * 32, "block", **SIGNED)]).blocked(docs["id"]).keys() == {0}
    assert Orders([Correction("0" * 32, "mask", "0:1", **SIGNED)]).mask(docs.slice(0, 0))[1].num_rows == 0


BAD = {
    "action 'drop'": {"action": "drop"},
    "32 hex digits": {"id": "12"},
    "not in the form": {"reason": "Bad one"},
    "weight '-1'": {"action": "weight", "value": "-1"},
    "weight 'nan'": {"action": "weight", "value": "nan"},
    "not start:end": {"action": "mask", "value": "5"},
    "is empty": {"action": "mask", "value": "7:7"},
    "takes no value": {"value": "1"},
    "belong together": {"signed_at": ""},
    "Invalid isoformat": {"signed_at": "yesterday"},
    "ends in none of": {"action": "add_source", "value": "x.docx"},
}


@pytest.mark.parametrize("said", BAD)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_bad_row_is_named_by_its_number(said: str, suffix: str, tmp_path: Path) -> None:
    good = Correction("0" * 32, "block", "", **SIGNED)
    save(tmp_path / f"c.{suffix}", [good, dataclasses.replace(good, **({"id": "1" * 32} | BAD[said]))])
    with pytest.raises(CorrectionError, match=f"row 2: .*{said}"):
        read(tmp_path / f"c.{suffix}")


def test_clashes_and_missing_signatures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    one = Correction("0" * 32, "mask", "5:9", **SIGNED)
    save(path, [one, dataclasses.replace(one, value="8:12")])
    with pytest.raises(CorrectionError, match="row 2: mask overlaps that of row 1"):
        read(path)
    save(path, [dataclasses.replace(one, action="weight", value=w) for w in ("1", "2")])
    with pytest.raises(CorrectionError, match="row 2: weight of the same document as row 1"):
        read(path)
    save(path, [dataclasses.replace(one, signed_by="", signed_at="")] * 1)
    with pytest.raises(CorrectionError, match="none of its 1 rows is signed"):
        signed(path)
    path.write_text("id,action\n")
    with pytest.raises(CorrectionError, match="no column value"):
        read(path)
    with pytest.raises(CorrectionError, match="no such file"):
        read(tmp_path / "none.csv")
    save(path, [])
    assert signed(path) == ([], 0)
