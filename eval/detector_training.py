"""Learning a detector from labelled documents: boosted trees, calibrated on documents that they did not see.

Needs scikit-learn (the extra `flag`), which the finished detector does not.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.failures import Failure
from eval.detector import ODD, RUNGS, Detector, Tree, features, matrix, oddness
from eval.signals import BY_NAME, Measured

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]
# Small and slow: some hundred positives in all, of kinds that a tree could learn by heart.
_SETTINGS = {
    "learning_rate": 0.06,
    "max_iter": 150,
    "max_leaf_nodes": 6,
    "min_samples_leaf": 8,
    "l2_regularization": 2.0,
}
_REACHED = 0.995  # of good documents lie below a signal's limit; 1 in 200 beyond, or trees would trust it blindly
_DIGITS = 6  # significant ones kept of a number: a detector should not be 1 MB


def fit(
    groups: Sequence[tuple[Measured, Labels]], rung: str, card: dict[str, Any] | None = None, calibrate: bool = True
) -> Detector:
    """A detector of a rung from some corpora with labels (True: bad).

    With two corpora or more it is calibrated on each by trees of the others, else on its own documents, which makes
    it too sure. Raises Failure without scikit-learn, or without a bad and a good document.
    """
    signals = RUNGS[rung][0]
    parts = [matrix(found, signals) for found, _ in groups]
    labels = [label for _, label in groups]
    whole = _boosted(np.concatenate(parts), np.concatenate(labels), rung, signals, card or {})
    if not calibrate:
        return whole
    raw, truth = [], []
    for number in range(len(groups)):
        others = [k for k in range(len(groups)) if k != number] or [number]
        some = _boosted(
            np.concatenate([parts[k] for k in others]), np.concatenate([labels[k] for k in others]), rung, signals, {}
        )
        raw.append(some.raw(parts[number]))
        truth.append(labels[number])
    slope, offset = platt(np.concatenate(raw), np.concatenate(truth))
    return dataclasses.replace(whole, slope=slope, offset=offset)


def _boosted(z_NS: Floats, labels: Labels, rung: str, signals: tuple[str, ...], card: dict[str, Any]) -> Detector:
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError:
        raise Failure("learning a detector needs scikit-learn: pip install 'winnow-corpus[flag]'") from None
    if labels.all() or not labels.any():
        raise Failure("learning a detector needs both bad and good documents")
    limits = _short(np.quantile(oddness(z_NS[~labels], signals), _REACHED, axis=0))
    x_NF = features(z_NS, signals, limits)
    # A signal that only ever speaks against a text may not speak for it: else hard negatives teach that repetition is
    # good, and a kind that was never labelled could not be found.
    directions = [*(BY_NAME[name].bad for name in signals), *([1] * len(ODD))]
    model = HistGradientBoostingClassifier(
        early_stopping=False, random_state=0, monotonic_cst=directions, **_SETTINGS
    ).fit(x_NF, labels)
    base = float(_short(np.ravel(model._baseline_prediction))[0])
    trees = tuple(_tree(predictors[0].nodes) for predictors in model._predictors)
    found = Detector(rung, signals, limits, base, trees, 1.0, 0.0, card)
    worst = float(np.abs(found.raw(z_NS) - model.decision_function(x_NF)).max())
    if worst > 0.05:  # rounded numbers may send a value on a threshold to the other side
        raise Failure(f"trees read from scikit-learn differ from its own by {worst:.3g}: an unknown version of it?")
    return found


def _tree(nodes: Any) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        np.where(leaf, -1, nodes["feature_idx"].astype(np.int64)),
        np.where(leaf, 0.0, nodes["num_threshold"]).astype(np.float64),
        np.where(leaf, 0, nodes["left"].astype(np.int64)),
        np.where(leaf, 0, nodes["right"].astype(np.int64)),
        np.where(leaf, _short(nodes["value"]), 0.0),
    )


def _short(values: Any) -> Floats:
    return np.array([float(f"{value:.{_DIGITS}g}") for value in np.atleast_1d(values)])


def platt(raw: Floats, labels: Labels, steps: int = 60) -> tuple[float, float]:
    """Slope and offset that make sigmoid(slope * raw + offset) a probability (Platt 1999), by Newton's method.

    Targets are drawn a little towards each other, as Platt does, so that a perfect score stays finite.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    target = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    x = np.stack([np.clip(raw, -20, 20), np.ones(len(raw))], axis=1)
    weights = np.array([1.0, 0.0])

    def loss(w: Floats) -> float:
        score = x @ w
        return float(np.sum(np.logaddexp(0, score) - target * score))

    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + 1e-6 * np.eye(2), x.T @ (p - target))
        size = 1.0
        while loss(weights - size * step) > loss(weights) and size > 1e-4:
            size /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return float(_short(weights[0])[0]), float(_short(weights[1])[0])
