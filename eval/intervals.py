"""Numbers with their intervals: percentile bootstrap over documents or prompts, Wilson, and figures of detection.

A unit (document, prompt) is drawn whole: two losses of one document are not two observations.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.chance import indices

Floats = npt.NDArray[np.float64]
_CELLS = 4_000_000  # draws x units held at once: 32 MB of indices


@dataclass(frozen=True)
class Interval:
    """A value, the ends of its interval, and over how many units. NaN where there is nothing to measure."""

    value: float
    low: float
    high: float
    units: int

    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def columns(self, name: str) -> dict[str, float | int]:
        """As columns of a table."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high, f"{name}_units": self.units}

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


NOTHING = Interval(math.nan, math.nan, math.nan, 0)


def _floats(values: Any) -> Floats:
    return np.asarray(values, np.float64).reshape(-1)


def percentiles(value: float, drawn: Floats, level: float, units: int) -> Interval:
    """The interval between percentiles of a statistic's values in resamples."""
    good = drawn[np.isfinite(drawn)]
    if not good.size:
        return Interval(value, math.nan, math.nan, units)
    low, high = np.quantile(good, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), units)


def resampled_sums(columns: Sequence[Any], draws: int = 1000, seed: int = 0) -> Floats:
    """float64[draws, columns]: sums of each column over units drawn with replacement, the same units for all columns.

    Columns are measures of the same units, in the same order. Raises ValueError where their lengths differ.
    """
    table = [_floats(column) for column in columns]
    units = table[0].size
    if any(column.size != units for column in table):
        raise ValueError(f"columns of {', '.join(str(column.size) for column in table)} units cannot be paired")
    out = np.zeros((draws, len(table)))
    step = max(1, _CELLS // max(1, units))
    for first in range(0, draws if units else 0, step):
        rows = min(step, draws - first)
        chosen = indices(seed, first, (rows, units), units)
        for column, values in enumerate(table):
            out[first : first + rows, column] = values[chosen].sum(axis=1)
    return out


def mean(values: Any, draws: int = 1000, level: float = 0.95, seed: int = 0) -> Interval:
    """Mean over units."""
    values = _floats(values)
    return ratio(values, np.ones_like(values), draws, level, seed)


def ratio(over: Any, under: Any, draws: int = 1000, level: float = 0.95, seed: int = 0) -> Interval:
    """sum(over) / sum(under), such as nats per byte: long documents count by their length, as they do in the loss."""
    over, under = _floats(over), _floats(under)
    if not over.size or not under.sum():
        return NOTHING
    sums = resampled_sums([over, under], draws, seed)
    return percentiles(float(over.sum() / under.sum()), _divide(sums[:, 0], sums[:, 1]), level, over.size)


def paired_difference(a: Any, b: Any, draws: int = 1000, level: float = 0.95, seed: int = 0) -> Interval:
    """mean(a - b) over the same units: what the units have in common cancels."""
    return mean(_floats(a) - _floats(b), draws, level, seed)


def paired_ratio_difference(
    over_a: Any, under_a: Any, over_b: Any, under_b: Any, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """sum(over_a)/sum(under_a) - sum(over_b)/sum(under_b) over the same units: bits per byte of two models."""
    columns = [_floats(column) for column in (over_a, under_a, over_b, under_b)]
    if not columns[0].size or not columns[1].sum() or not columns[3].sum():
        return NOTHING
    total = [float(column.sum()) for column in columns]
    sums = resampled_sums(columns, draws, seed)
    drawn = _divide(sums[:, 0], sums[:, 1]) - _divide(sums[:, 2], sums[:, 3])
    return percentiles(total[0] / total[1] - total[2] / total[3], drawn, level, columns[0].size)


def statistic(
    units: int, of: Callable[[npt.NDArray[np.int64]], float], draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Any statistic: `of` is given the indices of the drawn units. One call per draw; the others are vectorised."""
    if not units:
        return NOTHING
    drawn = np.array([of(indices(seed, draw, (1, units), units)[0]) for draw in range(draws)])
    return percentiles(float(of(np.arange(units))), drawn, level, units)


def by_unit(units: Sequence[Any], *columns: Any) -> list[Floats]:
    """Sums of columns per unit, in order of first appearance: rows of one document become one observation."""
    place: dict[Any, int] = {}
    where = np.array([place.setdefault(unit, len(place)) for unit in units], np.int64)
    return [np.bincount(where, weights=_floats(column), minlength=len(place)).astype(np.float64) for column in columns]


def wilson(successes: float, trials: float, level: float = 0.95) -> Interval:
    """Share of successes with Wilson's score interval (1927): right for shares near 0 and 1 and for few trials."""
    if trials <= 0:
        return NOTHING
    from statistics import NormalDist

    z, share = NormalDist().inv_cdf((1 + level) / 2), successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half), int(trials))


def _divide(over: Floats, under: Floats) -> Floats:
    return np.divide(over, under, out=np.full_like(over, np.nan), where=under != 0)
