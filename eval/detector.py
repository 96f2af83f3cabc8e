"""From signals to a calibrated probability that a document is bad, with the evidence: trees as plain numbers.

A detector is JSON in eval/detectors/: features, trees, calibration, and a card that says what it learned from. What
could not be measured counts as usual; one for fewer signals beats a large one half blind, so each rung has its own.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.failures import Failure
from eval.signals import BY_NAME, SIGNALS, VERSION, Measured

Floats = npt.NDArray[np.float64]
FORMAT = 1
DEFAULT_RUNG = "text"  # a costlier one must first beat its interval: benchmarks/RESULTS.md
SHIPPED = Path(__file__).parent / "detectors"
ODD = (
    "oddest",
    "second_oddest",
    "odd_in_all",
    "beyond_most",
    "beyond_in_all",
    "beyond_count",
)  # what lets a kind be found that no label was ever given for
# Signals of each rung, and one without which the rung says nothing new.
RUNGS: dict[str, tuple[tuple[str, ...], str]] = {
    "text": (tuple(s.name for s in SIGNALS if s.rung == "text"), "language_score"),
    "lineage": (tuple(s.name for s in SIGNALS if s.rung in ("text", "lineage")), "seen_mean"),
    "full": (tuple(s.name for s in SIGNALS), "contrast"),
}


class NoRung(Failure):
    """A rung that there is not, or whose signals were not measured."""

    status = 2


@dataclass(frozen=True)
class Tree:
    """Arrays over nodes; a leaf's feature is -1. Goes left where the feature is at most the threshold."""

    feature: npt.NDArray[np.int64]
    threshold: Floats
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    value: Floats

    def leaves(self, features_NF: Floats) -> Floats:
        """The value of the leaf that each row ends in, N."""
        node = np.zeros(len(features_NF), np.int64)
        rows = np.arange(len(features_NF))
        while (inner := self.feature[node] >= 0).any():
            at = node[inner]
            goes_left = features_NF[rows[inner], self.feature[at]] <= self.threshold[at]
            node[inner] = np.where(goes_left, self.left[at], self.right[at])
        return self.value[node]


@dataclass(frozen=True)
class Detector:
    """One rung's: raw score = base + trees, probability = sigmoid(slope * raw + offset)."""

    rung: str
    signals: tuple[str, ...]
    limits: Floats  # of each signal: what good documents hardly reach, hard ones among them
    base: float
    trees: tuple[Tree, ...]
    slope: float
    offset: float
    card: dict[str, Any]

    def raw(self, z_NS: Floats) -> Floats:
        """Log-odds before calibration. z_NS: z-scores of `signals`, NaN counts as usual."""
        x_NF = features(z_NS, self.signals, self.limits)
        return (
            np.sum([tree.leaves(x_NF) for tree in self.trees], axis=0) + self.base
            if self.trees
            else np.full(len(x_NF), self.base)
        )

    def probability(self, found: Measured) -> Floats:
        return self.calibrated(self.raw(matrix(found, self.signals)))

    def calibrated(self, raw: Floats) -> Floats:
        return np.asarray(1 / (1 + np.exp(-np.clip(self.slope * raw + self.offset, -30, 30))), np.float64)

    def evidence(self, found: Measured, rows: Sequence[int], top: int = 4) -> list[list[dict[str, Any]]]:
        """What speaks for each of these documents being bad, strongest first: a signal's weight is what the log-odds
        would lose if it were usual. Only signals that speak for it."""
        z_NS = matrix(found, self.signals)[list(rows)]
        whole = self.raw(z_NS)
        weight_NS = np.empty_like(z_NS)
        for number in range(len(self.signals)):
            without = z_NS.copy()
            without[:, number] = 0
            weight_NS[:, number] = (whole - self.raw(without)) * self.slope
        out = []
        for place, row in enumerate(rows):
            order = sorted(range(len(self.signals)), key=lambda s: (-weight_NS[place, s], s))[:top]
            out.append([self._said(found, row, s, weight_NS[place, s]) for s in order if weight_NS[place, s] > 0.05])
        return out

    def _said(self, found: Measured, row: int, number: int, weight: float) -> dict[str, Any]:
        name = self.signals[number]
        return {
            "signal": name,
            "says": BY_NAME[name].says,
            "value": float(found.values[name][row]),
            "usual": float(found.usual[name][row]),
            "z": float(found.z[name][row]),
            "weight": float(weight),
        }


def matrix(found: Measured, signals: Sequence[str]) -> Floats:
    """z-scores as float64[documents, signals]; NaN where a signal is not known."""
    unknown = np.full(len(found.ids), np.nan)
    return (
        np.stack([found.z.get(name, unknown) for name in signals], axis=1) if signals else np.empty((len(unknown), 0))
    )


def signed_logarithms(z_NS: Floats) -> Floats:
    """Of z-scores; what is not known is usual."""
    z_NS = np.nan_to_num(z_NS, nan=0.0)
    return np.asarray(np.sign(z_NS) * np.log1p(np.abs(z_NS)), np.float64)


def oddness(z_NS: Floats, signals: Sequence[str]) -> Floats:
    """Signed logarithms towards the bad side, or away from 0 where either side is odd."""
    bad = np.array([BY_NAME[name].bad for name in signals], np.int64)
    x_NS = signed_logarithms(z_NS)
    return np.where(bad != 0, x_NS * bad, np.abs(x_NS))


def features(z_NS: Floats, signals: Sequence[str], limits: Floats) -> Floats:
    """Signed logarithms of z-scores, and those of ODD, which do not say which signal it is.

    So a document is suspect when any signal is far beyond what good documents show, be its kind labelled or not.
    """
    signed, sided = signed_logarithms(z_NS), oddness(z_NS, signals)
    bad = np.array([BY_NAME[name].bad for name in signals])
    # Below 2 deviations nothing is odd, and sixty signals would add up to noise.
    odd = np.maximum(0, sided[:, bad != 0] - np.log1p(2))
    beyond = np.maximum(0, sided - limits)
    ordered = np.sort(np.concatenate([odd, np.zeros((len(odd), 2))], axis=1), axis=1)
    summed = (ordered[:, -1], ordered[:, -2], odd.sum(axis=1), beyond.max(axis=1, initial=0), beyond.sum(axis=1))
    return np.column_stack([signed, *summed, (beyond > 0).sum(axis=1)])


def choose(found: Measured, detectors: dict[str, Detector], wanted: str = "") -> Detector:
    """The wanted rung's, or of the default one and those below it the costliest whose signals were measured.

    Raises NoRung for an unknown rung, or one that cannot be had.
    """
    known = found.known()
    can = [name for name in detectors if RUNGS[name][1] in known] or ["text"]
    if not wanted:
        return detectors[can[-1]]
    if wanted not in detectors:
        raise NoRung(f"--rung {wanted}: expected one of {', '.join(detectors)}")
    if wanted not in can and found.ids:
        raise NoRung(f"--rung {wanted}: needs {_NEEDS[wanted]}; without it: {', '.join(can)}")
    return detectors[wanted]


_NEEDS = {"text": "texts", "lineage": "a model with lineage (train.lineage)", "full": "a model and --reference"}


def shipped(folder: Path = SHIPPED) -> dict[str, Detector]:
    """Detectors by rung, from cheap to costly, of the rungs that were shipped. Raises Failure where one is damaged."""
    found = {rung: load(folder / f"{rung}.json") for rung in RUNGS if (folder / f"{rung}.json").exists()}
    if not found:
        raise Failure(f"{folder}: no detector; make them: python benchmarks/planted.py --ship")
    return found


def load(path: Path) -> Detector:
    """Raises Failure for a file that is missing, damaged, or of other signals than these."""
    try:
        told = json.loads(path.read_text("utf-8"))
        if told["format"] != FORMAT or told["signals_version"] != VERSION:
            raise Failure(
                f"{path}: learned from signals of another version; make it anew: benchmarks/planted.py --ship"
            )
        trees = tuple(Tree(**{key: np.array(tree[key], kind) for key, kind in _KEYS.items()}) for tree in told["trees"])
        return Detector(
            told["rung"],
            tuple(told["signals"]),
            np.array(told["limits"]),
            told["base"],
            trees,
            told["slope"],
            told["offset"],
            told["card"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{path}: cannot be read as a detector: {error}") from None


_KEYS: dict[str, Any] = {
    "feature": np.int64,
    "threshold": np.float64,
    "left": np.int64,
    "right": np.int64,
    "value": np.float64,
}


def save(detector: Detector, path: Path) -> None:
    """JSON, the same bytes for the same detector."""
    told = {
        "format": FORMAT,
        "signals_version": VERSION,
        "rung": detector.rung,
        "card": detector.card,
        "signals": list(detector.signals),
        "limits": detector.limits.tolist(),
        "base": detector.base,
        "slope": detector.slope,
        "offset": detector.offset,
        "trees": [{key: getattr(tree, key).tolist() for key in _KEYS} for tree in detector.trees],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, sort_keys=True, separators=(",", ":")) + "\n", "utf-8")
