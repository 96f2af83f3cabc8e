"""Every failure can be read and traced: a prompt, what was wrong, what was right; alike ones stand together."""

import json
import re
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_model import trained

from eval import errors, mistakes, page, results
from eval.cli import app
from eval.document_losses import open_scorer
from eval.documents import load
from eval.error_clusters import clustered
from eval.hard_passages import passages
from eval.suites import Item, Suite

HOSTILE = '<script>alert(1)</script> "quoted" & \x1b[31m \u202egnp.exe'


@given(st.text(max_size=40), st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_every_error_has_a_prompt_and_says_both_answers(prompt: str, wrong: str, right: str) -> None:
    asked, a, b = errors._told_apart(prompt, wrong, right)
    assert asked.strip()
    assert a.split() == [] or asked.split() == [] or (asked + a).split()
    if prompt.strip():
        assert (a, b) == (wrong, right)


def test_wrong_answers_become_errors_and_right_ones_do_not() -> None:
    items = (
        Item("wrong", "k", ("The sky is",), (" blue", " green"), 0, {"source": "web"}, "d1"),
        Item("right", "k", ("The sky is",), (" blue", " red"), 0),
        Item("alone", "k", ("One two",), (" three",), 0),
        Item("order", "k", ("",), ("The boat left. It rained.", "The boat left it. Rain."), 1),
        Item("partial", "k", ("Ann, not Bo, sat. Ann", "Ann, not Bo, sat. Bo"), (" stood up",), 0),
    )
    row = {"margin": -2.0, "nats": 7.0, "document": "d1"}
    table = errors.table([])
    assert table.num_rows == 0
    rows = [
        {**row, "id": "wrong", "right": False, "scores": [-3.0, -1.0]},
        {**row, "id": "right", "right": True, "scores": [-1.0, -3.0]},
        {**row, "id": "alone", "right": False, "scores": [-7.0], "margin": None},
        {**row, "id": "order", "right": False, "scores": [-1.0, -3.0]},
        {**row, "id": "partial", "right": False, "scores": [-3.0, -1.0]},
    ]

    class Rows:
        def to_pylist(self) -> list[dict[str, object]]:
            return rows

    found = {e.right: e for e in errors.of_suite(Suite("s", items), Rows())}  # type: ignore[arg-type]
    assert found[" blue"].wrong == " green"
    assert found[" blue"].score == 2
    assert found[" three"].wrong == errors.SAID_NOTHING
    assert len(found) == 4
    assert all(e.prompt.strip() and e.wrong.strip() for e in found.values())
    assert len(mistakes.collected(errors.table(found.values()).to_pylist(), "errors")) == 4


def test_samples_beyond_what_people_write_are_errors() -> None:
    def row(at: int, text: str, loops: float) -> dict[str, object]:
        return {
            "id": f"{at:032x}", "source": "web", "lang": "en", "sample": 0, "prompt": f"p{at}", "text": text,
            "human": "h", "checks": [("rep_4", loops), ("characters", 9e9)], "human_checks": [("rep_4", at / 1000)],
        }  # fmt: skip

    class Rows:
        def to_pylist(self) -> list[dict[str, object]]:
            return [row(at, "x y", 0.9 if at == 3 else 0.0) for at in range(20)]

    (found,) = errors.of_samples(Rows())  # type: ignore[arg-type]
    assert (found.check, found.prompt) == ("rep_4", "p3")
    assert found.score == pytest.approx(0.9, abs=0.02)


def test_hard_passages_are_spans_of_their_documents_and_the_worst_comes_first() -> None:
    model, corpus = trained()
    documents = load(corpus)
    found = passages(open_scorer(model), documents, most=10)
    texts = {document.id: document.text for document in documents}
    assert 0 < len(found) <= 10
    for error in found:
        assert texts[error.document][error.start : error.end] == error.right
        assert error.wrong.strip()
    assert [e.score for e in found] == sorted((e.score for e in found), reverse=True)


def test_clusters_hold_what_is_alike_and_depend_on_the_texts_alone() -> None:
    texts = [f"the boat number {n} sails in the harbour" for n in range(8)]
    texts += [f"Rechnung {n} wurde bezahlt worden sein" for n in range(8)]
    labels, words = clustered(texts)
    assert len(set(labels[:8]) & set(labels[8:])) == 0
    assert (labels, words) == clustered(texts)
    assert clustered([]) == ([], [])
    assert clustered(["", " ", "", ""])[0] == [0] * 4


def test_the_page_loads_nothing_and_obeys_nothing(tmp_path: Path) -> None:
    cards = page.Cards(HOSTILE, [page.Card(HOSTILE, HOSTILE, [("wrong", HOSTILE)])])
    table = page.Table(HOSTILE, ("a", "b"), [(HOSTILE, page.Bar(0.1, float("nan"), 2))], HOSTILE)
    page.write(tmp_path / "p.html", HOSTILE, [HOSTILE], [table, cards, page.Table("none", ("a",), [])])
    said = (tmp_path / "p.html").read_text("utf-8")
    assert "<script" not in said
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert not re.search(r"(?:src|href)=|url\(|@import", said)
    assert "default-src 'none'" in said


def test_the_command_writes_what_attribute_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, corpus = trained()
    out = tmp_path / "out"
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"prompt": HOSTILE, "human": "It was late."}) + "\n")
    arguments = [
        "generate",
        model,
        "--prompts",
        tmp_path / "prompts.jsonl",
        "--out",
        out,
        "--tokens",
        20,
        "--samples",
        2,
    ]
    app([str(a) for a in arguments], standalone_mode=False)
    app([str(a) for a in ("errors", model, "--corpus", corpus, "--out", out)], standalone_mode=False)
    assert "failures" in capsys.readouterr().out
    table = results.table(out, "errors.parquet")
    assert table is not None
    assert table.num_rows
    assert len(mistakes.load(out / "errors.parquet")) == len(set(table["id"].to_pylist()))
    with duckdb.connect() as db:
        path = out / "errors.parquet"
        worst = db.execute(f"select kind, min(rank), max(score) from read_parquet('{path}') group by kind").fetchall()
    assert all(rank == 1 for _, rank, _ in worst)
    assert (out / "errors.html").read_text("utf-8").startswith("<!doctype html>")
