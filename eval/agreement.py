"""Krippendorff's alpha: whether raters agree more than chance would have them, with missing ratings and any scale."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from eval.intervals import NOTHING, Floats, Interval, percentiles, resampled_sums

Scale = Literal["nominal", "ordinal", "interval"]
Ratings = Sequence[Sequence[float]]  # per unit the values that raters gave it, in any order
RELIABLE, TENTATIVE = 0.8, 0.667  # Krippendorff 2004: below the second, mend the guidelines and publish nothing


def alpha(units: Ratings, scale: Scale = "nominal", draws: int = 1000, level: float = 0.95, seed: int = 0) -> Interval:
    """alpha = 1 - observed / expected disagreement, with a bootstrap over units.

    Units with fewer than two ratings say nothing of agreement and are left out. 1: full agreement; 0: as by chance.
    NOTHING where no unit has two ratings; NaN where all ratings are the same value.
    """
    used = [list(map(float, values)) for values in units if len(values) > 1]
    if not used:
        return NOTHING
    values = sorted({value for unit in used for value in unit})
    place = {value: at for at, value in enumerate(values)}
    pairs = np.zeros((len(used), len(values), len(values)))
    for number, unit in enumerate(used):
        for i, a in enumerate(unit):
            for j, b in enumerate(unit):
                if i != j:
                    pairs[number, place[a], place[b]] += 1 / (len(unit) - 1)
    scale_values = np.array(values)
    value = float(_alpha(pairs.sum(axis=0)[None], scale_values, scale)[0])
    columns = pairs.reshape(len(used), -1).T
    sums = resampled_sums(list(columns), draws, seed).reshape(draws, len(values), len(values))
    return percentiles(value, _alpha(sums, scale_values, scale), level, len(used))


def _alpha(coincidences: Floats, values: Floats, scale: Scale) -> Floats:
    """float64[draws] from coincidence matrices [draws, values, values]."""
    totals = coincidences.sum(axis=2)
    n = totals.sum(axis=1)
    distance = _distances(totals, values, scale)
    observed = (coincidences * distance).sum(axis=(1, 2))
    expected = (totals[:, :, None] * totals[:, None, :] * distance).sum(axis=(1, 2)) / (n - 1)
    share: Floats = np.divide(observed, expected, out=np.full_like(observed, np.nan), where=expected > 0)
    return 1 - share


def _distances(totals: Floats, values: Floats, scale: Scale) -> Floats:
    """Squared differences of values [draws or 1, values, values] (Krippendorff 2011, section D)."""
    if scale == "nominal":
        return (1 - np.eye(len(values)))[None]
    if scale == "interval":
        return ((values[:, None] - values[None, :]) ** 2)[None]
    # ordinal: how many ratings lie between two values, half of those at the ends
    middle = np.cumsum(totals, axis=1) - totals / 2
    squared: Floats = (middle[:, :, None] - middle[:, None, :]) ** 2
    return squared


def by_unit(ratings: Mapping[str, Mapping[str, float]]) -> list[list[float]]:
    """Units from {unit: {rater: value}}."""
    return [list(given.values()) for _, given in sorted(ratings.items())]
