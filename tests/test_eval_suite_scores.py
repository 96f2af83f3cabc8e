"""Choices are compared as the suite says, what is learnt is found, and what two models say is paired."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from small_model import trained

from eval import suite_makers
from eval.cli import app
from eval.document_losses import Nats, Scorer, open_scorer
from eval.documents import load
from eval.suite_scores import measures, score, summary
from eval.suites import Item, Suite, write


class Known:
    """A scorer whose losses are given: so many nats for each continuation, by context."""

    def __init__(self, nats: dict[tuple[str, str], float]) -> None:
        self.nats = nats

    def continuations(self, pairs: list[tuple[str, str]]) -> list[Nats]:
        return [Nats(np.array([self.nats[pair]]), np.array([self.nats[pair] < 1])) for pair in pairs]


def rows(suite: Suite, nats: dict[tuple[str, str], float]) -> list[dict[str, object]]:
    scorer: Scorer = Known(nats)  # type: ignore[assignment]
    return list(score(scorer, suite).to_pylist())


@pytest.mark.parametrize(("scoring", "chosen"), [("sum", 0), ("per_byte", 1), ("pmi", 2)])
def test_each_rule_prefers_its_own_choice(scoring: str, chosen: int) -> None:
    item = Item("i", "k", ("p",), ("a", "bbbb", "cc"), 2, {"s": 1}, "d")
    nats = {("p", "a"): 2.0, ("p", "bbbb"): 3.0, ("p", "cc"): 4.0, ("", "a"): 2.0, ("", "bbbb"): 3.5, ("", "cc"): 9.0}
    (row,) = rows(Suite("s", (item,), scoring), nats)
    assert row["chosen"] == chosen
    assert row["right"] == (chosen == 2)
    assert row["bits_per_byte"] == pytest.approx(4 / math.log(2) / 2)
    scores = row["scores"]
    assert isinstance(scores, list)
    assert row["margin"] == pytest.approx(scores[2] - max(scores[:2]))


def test_equal_scores_are_no_knowledge() -> None:
    item = Item("i", "k", ("p",), ("a", "b"), 0)
    (row,) = rows(Suite("s", (item,)), {("p", "a"): 2.0, ("p", "b"): 2.0})
    assert (row["right"], row["margin"], row["rank"], row["beaten"]) == (False, 0, 2, 0)


def test_one_choice_is_right_when_every_token_is_likeliest() -> None:
    items = tuple(Item(str(n), "k", (f"p{n}",), ("a",), 0) for n in range(2))
    found = rows(Suite("s", items), {("p0", "a"): 0.5, ("p1", "a"): 2.0})
    assert [row["right"] for row in found] == [True, False]
    assert [row["margin"] for row in found] == [None, None]


def test_facts_asked_in_other_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from eval import synthetic_facts

    model, _ = trained()
    write(synthetic_facts.probes(synthetic_facts.people(6), 3), tmp_path / "facts.jsonl")
    app(["suite", "score", str(model), str(tmp_path / "facts.jsonl"), "--out", str(tmp_path)], standalone_mode=False)
    said = capsys.readouterr().out
    assert "over 24 facts" in said
    assert " person " not in said


def test_items_of_one_document_are_one_unit() -> None:
    items = tuple(Item(str(n), "k", (f"p{n}",), ("a", "b"), 0, document=f"d{n // 4}") for n in range(8))
    found = rows(Suite("s", items), {(f"p{n}", c): float(n < 4) + (c == "b") for n in range(8) for c in "ab"})
    assert measures(found)["accuracy"].units == 2
    assert measures(found)["accuracy"].value == 1


def test_a_learnt_text_is_told_from_its_shuffles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, corpus = trained()
    made = suite_makers.make(load(corpus), "relevance", suite_makers.Settings(0.1, items=12))
    write(made, tmp_path / "s" / "relevance.jsonl")
    write(Suite("empty", (), notes=("no items: a reason",)), tmp_path / "s" / "empty.jsonl")
    out = tmp_path / "out"
    app(["suite", "score", str(model), str(tmp_path / "s"), "--out", str(out)], standalone_mode=False)
    app(["perplexity", str(model), "--suite", str(tmp_path / "s"), "--out", str(out)], standalone_mode=False)
    app(["compare", str(out), str(out), "--out", str(tmp_path / "c")], standalone_mode=False)
    said = capsys.readouterr().out
    assert "a reason" in said
    assert "the same answer in other words" not in said
    assert "answer bits per byte" in said or "answer_bits_per_byte" in said
    found = summary(score(open_scorer(model), made)).to_pylist()
    whole = {row["measure"]: row for row in found if row["slice"] == "all"}
    assert whole["accuracy"]["items"] == len(made.items)
    assert 0 <= whole["accuracy"]["low"] <= whole["accuracy"]["found"] <= whole["accuracy"]["high"] <= 1
    assert pa.Table.from_pylist(found).num_rows == len(found)
