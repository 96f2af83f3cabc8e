"""How well a score finds what it should: AUROC, AUPRC, recall at few false positives, precision at k, with intervals.

Positives and negatives are drawn apart (a stratified bootstrap): how many were planted is no matter of chance.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.chance import indices
from eval.intervals import NOTHING, Floats, Interval, percentiles

_CELLS = 2_000_000


@dataclass(frozen=True)
class Detection:
    """Figures of one score against one labelling; higher is better for all."""

    auroc: Interval
    auprc: Interval  # average precision, as scikit-learn defines it
    recall: Interval  # at the highest false-positive rate allowed, without interpolation
    precision: Interval  # among the first k; ties at the border count by their expected share


def detection(
    scores: Any,
    labels: Any,
    max_false_positives: float = 0.01,
    k: int | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Detection:
    """Figures of `scores` (float[units], higher: more likely bad) against `labels` (bool[units]).

    `k` is the number of positives unless given. Without a positive or a negative every figure is NOTHING. A score
    that is not a number raises ValueError.
    """
    scores, labels = np.asarray(scores, np.float64).reshape(-1), np.asarray(labels, bool).reshape(-1)
    if scores.size != labels.size:
        raise ValueError(f"{scores.size} scores for {labels.size} labels")
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} of {scores.size} scores are not numbers")
    if labels.all() or not labels.any():
        return Detection(NOTHING, NOTHING, NOTHING, NOTHING)
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    sorted_labels = labels[order]
    value = _figures(np.ones((1, scores.size)), sorted_labels, ends, max_false_positives, k)[0]
    drawn = np.concatenate(
        [_figures(w, sorted_labels, ends, max_false_positives, k) for w in _weights(sorted_labels, draws, seed)]
    )
    return Detection(*(percentiles(float(value[i]), drawn[:, i], level, scores.size) for i in range(4)))


def _weights(labels: npt.NDArray[np.bool_], draws: int, seed: int) -> Any:
    """How often each unit is drawn: float[some draws, units], until there are enough draws."""
    step = max(1, _CELLS // labels.size)
    groups = [np.flatnonzero(labels), np.flatnonzero(~labels)]
    for first in range(0, draws, step):
        rows = min(step, draws - first)
        weights = np.zeros((rows, labels.size))
        for number, group in enumerate(groups):
            chosen = group[indices(seed * 2 + number, first, (rows, group.size), group.size)]
            flat = chosen + np.arange(rows)[:, None] * labels.size
            weights += np.bincount(flat.ravel(), minlength=weights.size).reshape(weights.shape)
        yield weights


def _figures(weights: Floats, labels: npt.NDArray[np.bool_], ends: Any, allowed: float, k: int | None) -> Floats:
    """float[draws, 4]. Units lie in order of falling score; `ends` are the last places of equal scores."""
    hits = np.cumsum(weights * labels, axis=1)[:, ends]
    misses = np.cumsum(weights * ~labels, axis=1)[:, ends]
    positives, negatives = hits[:, -1:], misses[:, -1:]
    zero = np.zeros_like(positives)
    tpr, fpr = np.hstack([zero, hits / positives]), np.hstack([zero, misses / negatives])
    auroc = ((fpr[:, 1:] - fpr[:, :-1]) * (tpr[:, 1:] + tpr[:, :-1]) / 2).sum(axis=1)
    found = hits + misses
    precision = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
    auprc = ((tpr[:, 1:] - tpr[:, :-1]) * precision).sum(axis=1)
    recall = np.where(fpr <= allowed + 1e-12, tpr, 0).max(axis=1)
    at_k = np.array(
        [_at(f, h, float(p[0]) if k is None else k) for f, h, p in zip(found, hits, positives, strict=True)]
    )
    return np.stack([auroc, auprc, recall, at_k], axis=1)


def _at(found: Floats, hits: Floats, k: float) -> float:
    """Expected precision among the first k: within equal scores any order is as likely."""
    k = min(k, float(found[-1]))
    return float(np.interp(k, np.append(0, found), np.append(0, hits)) / k)
