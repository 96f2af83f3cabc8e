"""Agreement and strength against published tables."""

import math

import numpy as np
import pytest

from eval.agreement import alpha, by_unit
from eval.strength import ELO, Vote, strengths, win_rate

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", sections A to D.
A = ("0100000010", "1110010000")
B = ("aabbdcccedda", "babbbccceddd")
RELIABILITY = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def units(*raters: str) -> list[list[float]]:
    return [[float(ord(v) - 48) for v in column if v != "."] for column in zip(*raters, strict=True)]


def test_alpha_against_the_published_tables() -> None:
    assert alpha(units(*A)).value == pytest.approx(0.095, abs=5e-4)
    assert alpha(units(*B)).value == pytest.approx(0.692, abs=5e-4)
    for scale, published in (("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)):
        found = alpha(units(*RELIABILITY), scale)  # type: ignore[arg-type]
        assert found.value == pytest.approx(published, abs=5e-4)
        assert found.units == 11  # the twelfth has one rating
        assert found.low < found.value < found.high


def test_alpha_at_its_ends() -> None:
    assert alpha([[1, 1], [2, 2]]).value == 1
    assert alpha([[1], [2]]).units == 0
    assert math.isnan(alpha([[1, 1], [1, 1]]).value)
    rng = np.random.default_rng(0)
    found = alpha(rng.integers(1, 6, (400, 2)).tolist(), "ordinal")
    assert found.low < 0 < found.high
    assert by_unit({"x": {"ann": 1, "bob": 2}}) == [[1, 2]]


# Agresti, Categorical Data Analysis, table 10.10: American League 1987; wins of the row over the column.
TEAMS = "Milwaukee Detroit Toronto NewYork Boston Cleveland Baltimore".split()
WINS = [
    [0, 7, 9, 7, 7, 9, 11], [6, 0, 7, 5, 11, 9, 9], [4, 6, 0, 7, 7, 8, 12], [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12], [4, 4, 5, 6, 6, 0, 6], [2, 4, 1, 3, 1, 7, 0],
]  # fmt: skip
FITTED = [1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0]


def test_strengths_against_a_published_fit() -> None:
    votes = [
        Vote(f"{a} {b} {n}", TEAMS[a], TEAMS[b], 1.0) for a in range(7) for b in range(7) for n in range(WINS[a][b])
    ]
    found = strengths(votes, draws=50, ridge=1e-9)
    against = [(found.elo[team].value - found.elo["Baltimore"].value) / ELO for team in TEAMS]
    assert against == pytest.approx(FITTED, abs=1e-3)
    assert sum(interval.value for interval in found.elo.values()) == pytest.approx(0, abs=1e-6)
    assert found.model == "half"


def test_ties_are_half_wins_or_modelled() -> None:
    few = [Vote(str(n), "a", "b", (1, 1, 1, 0, 1, 1, 1, 0, 1, 0.5)[n % 10]) for n in range(100)]
    found = strengths(few)
    # two models: the fitted odds are those of the votes
    assert found.elo["a"].value - found.elo["b"].value == pytest.approx(ELO * math.log(75 / 25), abs=0.2)
    assert found.elo["a"].low > 0
    many = [Vote(str(n), "a", "b", (1, 0.5, 0.5, 0)[n % 4]) for n in range(80)]
    tied = strengths(many)
    assert tied.model == "davidson"
    assert tied.elo["a"].value == pytest.approx(0, abs=1e-6)
    assert tied.elo["a"].low < 0 < tied.elo["a"].high
    # Davidson with two models: exp(difference) is wins over losses, whatever the ties
    skewed = [Vote(str(n), "b", "a", (1, 1, 0.5, 0.5, 0)[n % 5]) for n in range(100)]
    gap = strengths(skewed, draws=20, ridge=1e-9)
    assert gap.elo["b"].value - gap.elo["a"].value == pytest.approx(ELO * math.log(2))


def test_prompts_are_drawn_whole() -> None:
    once = [Vote(str(n), "a", "b", float(n % 3 > 0)) for n in range(30)]
    often = [Vote(str(n), "a", "b", float(n % 3 > 0)) for n in range(30) for _ in range(20)]

    def width(votes: list[Vote]) -> float:
        found = strengths(votes).elo["a"]
        return found.high - found.low

    assert width(often) == pytest.approx(width(once), rel=0.05)
    assert win_rate(once, "b").value == pytest.approx(1 / 3)
    assert win_rate([], "b").units == 0
    assert strengths([]).elo == {}
