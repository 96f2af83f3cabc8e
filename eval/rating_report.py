"""What votes say: which model wins and how surely, whether raters agree, whether the side counted, what was marked."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from eval.agreement import RELIABLE, TENTATIVE, alpha
from eval.intervals import Interval, by_unit, paired_difference, wilson
from eval.ratings import ASPECTS, VOTES
from eval.strength import Strengths, Vote, strengths

ROWS = pa.schema(
    [
        ("question", pa.string()),
        ("what", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("units", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Report:
    """Figures with 95 % intervals. Repeats count for consistency only."""

    wins: dict[str, Interval]  # share of votes won, ties and "both bad" as half (Wilson)
    strength: Strengths
    aspects: dict[str, Interval]  # rating of the first model less that of the second, per pair
    agreement: dict[str, Interval]  # Krippendorff's alpha: choice (nominal), ratings (ordinal)
    same_again: Interval  # share of repeats with the same answer
    left: Interval  # share of decided votes for the left side; 0.5 where the side does not count
    marked: dict[str, dict[str, int]]  # model -> kind of error -> spans

    def table(self) -> pa.Table:
        """As rows."""
        named = [
            *(("wins", name, found) for name, found in self.wins.items()),
            *(("elo", name, found) for name, found in self.strength.elo.items()),
            *(("rating_difference", name, found) for name, found in self.aspects.items()),
            *(("alpha", name, found) for name, found in self.agreement.items()),
            ("same_again", "repeats", self.same_again),
            ("left", "side", self.left),
        ]
        rows = [
            {"question": question, "what": what, "value": f.value, "low": f.low, "high": f.high, "units": f.units}
            for question, what, f in named
        ]
        return pa.Table.from_pylist(rows, schema=ROWS)


def report(votes: pa.Table, models: tuple[str, str]) -> Report:
    """Figures over a table of `ratings.VOTES`. Without votes every figure is NaN over 0 units."""
    rows = votes.select(VOTES.names).to_pylist()
    first = [row for row in rows if row["kind"] == "first"]
    outcomes = [Vote(row["prompt"], *models, _outcome(row, models[0])) for row in first]
    won = sum(vote.outcome for vote in outcomes)
    decided = [row for row in first if row["winner"]]
    return Report(
        {models[0]: wilson(won, len(first)), models[1]: wilson(len(first) - won, len(first))},
        strengths(outcomes),
        {aspect: _difference(first, aspect, models) for aspect in ASPECTS},
        _agreement(first, models),
        _same(rows),
        wilson(sum(row["choice"] == "left" for row in decided), len(decided)),
        _marked(rows, models),
    )


def _outcome(row: dict[str, Any], model: str) -> float:
    return 0.5 if row["winner"] is None else float(row["winner"] == model)


def _side(row: dict[str, Any], model: str) -> str:
    return "left" if row["left"] == model else "right"


def _difference(rows: list[dict[str, Any]], aspect: str, models: tuple[str, str]) -> Interval:
    """Mean per pair over raters, then over pairs."""
    given = [(row["pair"], *(row[f"{aspect}_{_side(row, model)}"] for model in models)) for row in rows]
    full = [(pair, a, b) for pair, a, b in given if a is not None and b is not None]
    if not full:
        return paired_difference([], [])
    pair, a, b = zip(*full, strict=True)
    size, sum_a, sum_b = by_unit(pair, [1] * len(full), a, b)
    return paired_difference(sum_a / size, sum_b / size)


def _agreement(rows: list[dict[str, Any]], models: tuple[str, str]) -> dict[str, Interval]:
    """Units are pairs for choices, and texts for ratings."""
    choices: dict[str, dict[str, float]] = {}
    for row in rows:
        said = {models[0]: 0.0, models[1]: 1.0}.get(row["winner"], 2.0 if row["choice"] == "tie" else 3.0)
        choices.setdefault(row["pair"], {})[row["rater"]] = said
    found = {"choice": alpha([list(unit.values()) for unit in choices.values()])}
    for aspect in ASPECTS:
        texts: dict[tuple[str, str], dict[str, float]] = {}
        for row in rows:
            for model in models:
                value = row[f"{aspect}_{_side(row, model)}"]
                if value is not None:
                    texts.setdefault((row["pair"], model), {})[row["rater"]] = float(value)
        found[aspect] = alpha([list(unit.values()) for unit in texts.values()], "ordinal")
    return found


def _same(rows: list[dict[str, Any]]) -> Interval:
    before = {(row["rater"], row["pair"]): row for row in rows if row["kind"] == "first"}
    both = [(row, before.get((row["rater"], row["pair"]))) for row in rows if row["kind"] == "repeat"]
    same = [a["winner"] == b["winner"] and (a["winner"] or a["choice"] == b["choice"]) for a, b in both if b]
    return wilson(sum(map(bool, same)), len(same))


def _marked(rows: list[dict[str, Any]], models: tuple[str, str]) -> dict[str, dict[str, int]]:
    counts = {model: Counter[str]() for model in models}
    for row in rows:
        for span in row["spans"]:
            counts[span["model"]][span["kind"]] += 1
    return {model: dict(sorted(count.items())) for model, count in counts.items()}


def verdict(found: Interval) -> str:
    """What an alpha allows to be said (Krippendorff 2004)."""
    if not found.units or found.value != found.value:
        return "not known"
    return "reliable" if found.value >= RELIABLE else "tentative" if found.value >= TENTATIVE else "too low to publish"
