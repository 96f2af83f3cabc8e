"""How unusual a value is for its source, length and moment of training: robust z-scores against like documents.

Without this a detector finds the rarest source, the shortest texts and the first steps.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
MIN_LIKE = 40  # documents that a median is taken of; fewer like ones: those of the source, else of the corpus
_LENGTHS = (600, 1_000, 2_000, 5_000, 20_000)  # characters between buckets
_STEPS_PER_DOUBLING = 2


def length_buckets(characters: Sequence[int]) -> Labels:
    return np.searchsorted(_LENGTHS, np.asarray(characters)).astype(np.int64)


def step_buckets(steps: Floats) -> Labels:
    """Half doublings of the step, since losses fall with its logarithm; -1 where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.floor(np.log2(steps) * _STEPS_PER_DOUBLING)
    return np.where(np.isfinite(found), found, -1).astype(np.int64)


def robust_z(values: Floats, unit: float, groups: Sequence[Labels]) -> tuple[Floats, Floats]:
    """(z-scores, the usual value for each document), NaN where the value is.

    Groups go from fine to coarse; each document is compared with the finest of its groups that holds MIN_LIKE values,
    in the end with all. z = (value - median) / max(1.4826 MAD, unit): `unit` is a difference too small to matter, or a
    signal that is mostly 0 would make every other value infinitely odd.
    """
    z, usual = np.full(len(values), np.nan), np.full(len(values), np.nan)
    known = np.isfinite(values)
    everything = np.zeros(len(values), np.int64)
    for labels, least in [*((found, MIN_LIKE) for found in groups), (everything, 1)]:
        for label in np.unique(labels[known & np.isnan(z)]):
            like = known & (labels == label)
            if like.sum() >= least:
                middle, spread = median_mad(values[like])
                new = like & np.isnan(z)
                z[new] = (values[new] - middle) / max(1.4826 * spread, unit)
                usual[new] = middle
    return z, usual


def median_mad(values: Floats) -> tuple[float, float]:
    middle = float(np.median(values))
    return middle, float(np.median(np.abs(values - middle)))


def combined(*labels: Labels) -> Labels:
    """One label for each combination."""
    return np.unique(np.stack(labels, axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
