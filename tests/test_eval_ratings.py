"""Votes: sides are fair and swapped again, nothing is lost, models cannot be told apart, the report is right."""

import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from eval.rating_report import report, verdict
from eval.ratings import REPEATS, BadRating, Pair, Store, pairs, schedule

MODELS = ("old", "new")


def many(number: int) -> list[Pair]:
    return [Pair(f"{n:04d}", f"prompt {n}", (f"old text {n}", f"new text {n}")) for n in range(number)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    held = Store(tmp_path / "ratings")
    held.begin(many(40), MODELS)
    return held


def rate(store: Store, rater: str, best: str, number: int = 99) -> None:
    """A rater who always prefers one model, and gives it 5 against 2."""
    for _ in range(number):
        item = store.next(rater)
        if item is None:
            return
        side, other = ("left", "right") if item["left"].startswith(best) else ("right", "left")
        store.vote(rater, item["place"], side, {f"coherence_{side}": 5, f"coherence_{other}": 2}, [], 900)


def test_sides_are_fair_and_a_tenth_comes_again_swapped() -> None:
    shown = schedule(many(400))
    first = {pair.id: swapped for pair, swapped, kind in shown if kind == "first"}
    again = {pair.id: swapped for pair, swapped, kind in shown if kind == "repeat"}
    assert len(first) == 400
    assert len(again) == 400 * REPEATS
    assert all(first[name] != swapped for name, swapped in again.items())
    assert 160 < sum(first.values()) < 240
    assert [kind for _, _, kind in shown].index("repeat") == 400


def test_what_is_shown_names_no_model(store: Store) -> None:
    item = store.next("ann")
    assert item is not None
    assert item.keys() == {"place", "prompt", "left", "right", "done", "all"}
    assert (item["done"], item["all"]) == (0, 44)


def test_votes_stand_until_undone_and_nothing_is_overwritten(store: Store, tmp_path: Path) -> None:
    rate(store, "ann", "new", 3)
    rate(store, "bob", "old", 1)
    before = store.next("ann")
    assert store.undo("ann")
    assert store.votes().num_rows == 3
    after = store.next("ann")
    assert before is not None
    assert after is not None
    assert after["place"] == before["place"] - 1
    rate(store, "ann", "old", 1)
    assert not store.undo("nobody")
    assert store.export(tmp_path / "votes.parquet") == 4
    rows = pq.read_table(tmp_path / "votes.parquet").to_pylist()
    assert [row["winner"] for row in rows if row["rater"] == "ann"] == ["new", "new", "old"]
    assert all({row["left"], row["right"]} == set(MODELS) for row in rows)


def test_marked_spans_are_of_the_right_text(store: Store) -> None:
    item = store.next("ann")
    assert item is not None
    store.vote("ann", item["place"], "tie", {}, [{"side": "right", "start": 0, "end": 3, "kind": "false_fact"}], 5)
    span = store.votes().to_pylist()[0]["spans"][0]
    assert span["text"] == item["right"][:3] == span["model"]  # texts begin with their model's name here
    assert report(store.votes(), MODELS).marked[span["model"]] == {"false_fact": 1}


BAD = [
    ("ann", 0, "best", {}, []), ("", 0, "left", {}, []), ("ann", 999, "left", {}, []),
    ("ann", 0, "left", {"coherence_left": 6}, []), ("ann", 0, "left", {"x": 1}, []), ("ann", 0, "left", [], []),
    ("ann", 0, "left", {}, [{"side": "left", "start": 0, "end": 999, "kind": "toxic"}]),
    ("ann", 0, "left", {}, [{"side": "left", "start": 3, "end": 3, "kind": "toxic"}]),
    ("ann", 0, "left", {}, [{"side": "up", "start": 0, "end": 1, "kind": "toxic"}]),
    ("ann", 0, "left", {}, [{"side": "left", "start": "0", "end": 1, "kind": "toxic"}]), ("ann", 0, "left", {}, [3]),
]  # fmt: skip


@pytest.mark.parametrize("given", BAD)
def test_what_the_page_would_not_send_is_refused(store: Store, given: tuple[str, int, str, object, object]) -> None:
    with pytest.raises(BadRating):
        store.vote(*given, 1)
    assert store.votes().num_rows == 0


def test_the_report_of_raters_who_agree_and_of_one_who_follows_the_side(store: Store) -> None:
    rate(store, "ann", "new")
    rate(store, "bob", "new")
    found = report(store.votes(), MODELS)
    assert found.wins["new"].value == 1
    assert found.wins["new"].low > 0.9
    assert found.strength.elo["new"].value > found.strength.elo["old"].value
    assert found.strength.elo["new"].high == math.inf  # it never lost: no votes bound its strength
    assert found.aspects["coherence"].value == -3
    assert found.agreement["coherence"].value == 1
    assert verdict(found.agreement["coherence"]) == "reliable"
    assert found.same_again.value == 1
    assert 0.3 < found.left.value < 0.7
    while (item := store.next("lefty")) is not None:
        store.vote("lefty", item["place"], "left", {}, [], 1)
    side = report(store.votes().filter([row == "lefty" for row in store.votes()["rater"].to_pylist()]), MODELS)
    assert side.left.value == 1
    assert side.same_again.value == 0
    assert side.table().num_rows == len(side.table().to_pylist()) >= 10


def test_an_empty_folder_and_no_votes_are_no_error(tmp_path: Path, store: Store) -> None:
    assert math.isnan(report(store.votes(), MODELS).wins["new"].value)
    with pytest.raises(BadRating, match="no ratings here"):
        Store(tmp_path / "other").votes()
    with pytest.raises(BadRating, match="other samples"):
        store.begin(many(3), MODELS)
    store.begin(many(40), MODELS)


def test_samples_are_paired_by_prompt(tmp_path: Path) -> None:
    def samples(name: str, rows: list[tuple[str, str]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps({"prompt": p, "text": t}) + "\n" for p, t in rows))
        return path

    a = samples("a", [("p", "1"), ("p", "2"), ("q", "3")])
    b = samples("b", [("q", "x"), ("p", "y")])
    assert sorted((pair.prompt, pair.texts) for pair in pairs(a, b)) == [("p", ("1", "y")), ("q", ("3", "x"))]
    with pytest.raises(BadRating, match="no prompt in common"):
        pairs(a, samples("c", [("z", "1")]))
    with pytest.raises(BadRating, match="no such file"):
        pairs(a, tmp_path / "d")
    (tmp_path / "e").write_text('{"prompt": "p"}\n')
    with pytest.raises(BadRating, match="line 1 has no"):
        pairs(a, tmp_path / "e")
