"""Detection tables of the planted benchmark: by kind and rung, seeds and kinds left out, hard negatives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from planted_corpus import Labelled

from eval import detector_training, signals
from eval.detection import Detection, detection
from eval.detector import RUNGS
from eval.documents import Document
from eval.intervals import Interval, wilson
from eval.planting import KINDS
from eval.signals import Measured

Floats = npt.NDArray[np.float64]
Rows = list[list[str]]


@dataclass(frozen=True)
class Seed:
    """What was measured of a seed's corpus, and what is true of it; rows in the order of ids."""

    found: Measured
    kind: npt.NDArray[np.str_]  # "" good, "hard_..." good but hard, else the planted kind

    @property
    def bad(self) -> npt.NDArray[np.bool_]:
        return (self.kind != "") & ~self.hard

    @property
    def hard(self) -> npt.NDArray[np.bool_]:
        return np.char.startswith(self.kind, "hard_")

    def without(self, rows: npt.NDArray[np.bool_]) -> "Seed":
        keep = np.flatnonzero(~rows)
        found = Measured(
            [self.found.ids[i] for i in keep],
            [self.found.sources[i] for i in keep],
            *(
                {name: v[keep] for name, v in part.items()}
                for part in (self.found.values, self.found.z, self.found.usual)
            ),
        )
        return Seed(found, self.kind[keep])


def measured(corpus: Labelled, kept: Path, measure: Callable[[Sequence[Document]], Measured]) -> Seed:
    """The signals of a corpus, kept as Parquet."""
    if not kept.exists():
        _keep(measure(corpus.documents), kept)
    table = pq.read_table(kept)
    parts: dict[str, dict[str, Floats]] = {"values": {}, "z": {}, "usual": {}}
    for name in table.column_names[2:]:
        part, _, signal = name.partition(".")
        parts[part][signal] = table[name].to_numpy()
    found = Measured(table["id"].to_pylist(), table["source"].to_pylist(), **parts)
    return Seed(found, np.array([corpus.kind[d.id] for d in corpus.documents]))


def _keep(found: Measured, kept: Path) -> None:
    columns: dict[str, Any] = {"id": found.ids, "source": found.sources}
    for part in ("values", "z", "usual"):
        columns |= {f"{part}.{name}": values for name, values in getattr(found, part).items()}
    pq.write_table(pa.table(columns), kept)


def across(seeds: Sequence[Seed], rung: str) -> list[Floats]:
    """Probabilities of each seed's documents, by a detector that learned from the other seeds."""
    out = []
    for number, seed in enumerate(seeds):
        others = [s for k, s in enumerate(seeds) if k != number]
        out.append(detector_training.fit([(s.found, s.bad) for s in others], rung).probability(seed.found))
    return out


def by_kind(seeds: Sequence[Seed], scores: dict[str, list[Floats]]) -> Rows:
    """Each kind, and all, against all good documents, hard ones included."""
    kind = np.concatenate([seed.kind for seed in seeds])
    bad = np.concatenate([seed.bad for seed in seeds])
    groups: dict[str, npt.NDArray[np.bool_]] = {name: kind == name for name in KINDS}
    groups["all eight"] = bad
    groups["all but swapped_facts"] = bad & (kind != "swapped_facts")
    rows = []
    for name, positive in groups.items():
        rest = positive | ~bad
        for rung, found in scores.items():
            figures = detection(np.concatenate(found)[rest], positive[rest])
            rows.append([name, str(int(positive.sum())), rung, *_shown(figures)])
    return rows


def _shown(figures: Detection) -> list[str]:
    return [interval(x) for x in (figures.auroc, figures.auprc, figures.recall, figures.precision)]


def interval(found: Interval, digits: int = 3) -> str:
    return f"{found.value:.{digits}f} ({found.low:.{digits}f}-{found.high:.{digits}f})"


def false_positives(seeds: Sequence[Seed], scores: dict[str, list[Floats]], threshold: float = 0.5) -> Rows:
    """Good documents, plain and hard, whose probability reaches the threshold; and what the threshold finds."""
    rows = []
    for rung, found in scores.items():
        score = np.concatenate(found) >= threshold
        bad, hard = (np.concatenate([getattr(seed, name) for seed in seeds]) for name in ("bad", "hard"))
        swapped = np.concatenate([seed.kind == "swapped_facts" for seed in seeds])
        shares = [wilson(int(score[of].sum()), int(of.sum())) for of in (~bad & ~hard, hard, bad, bad & ~swapped)]
        right = wilson(int((score & bad).sum()), int(score.sum()))
        rows.append([rung, *(interval(share) for share in (*shares, right))])
    return rows


def unseen_hard(seeds: Sequence[Seed], rung: str, threshold: float = 0.5) -> Rows:
    """False positives on each kind of hard negatives by detectors that saw no document of that kind."""
    rows, all_hits, all_hard = [], 0, 0
    for kind in sorted({str(k) for seed in seeds for k in seed.kind if k.startswith("hard_")}):
        hits = total = 0
        for number, seed in enumerate(seeds):
            others = [s.without(s.kind == kind) for k, s in enumerate(seeds) if k != number]
            fitted = detector_training.fit([(s.found, s.bad) for s in others], rung)
            hits += int((fitted.probability(seed.found)[seed.kind == kind] >= threshold).sum())
            total += int((seed.kind == kind).sum())
        rows.append([kind.removeprefix("hard_"), str(total), interval(wilson(hits, total))])
        all_hits, all_hard = all_hits + hits, all_hard + total
    return [*rows, ["all", str(all_hard), interval(wilson(all_hits, all_hard))]]


def left_out(seeds: Sequence[Seed], rungs: Sequence[str] = tuple(RUNGS)) -> Rows:
    """AUROC of each kind by detectors whose training had none of it. Scores are ranks within a seed."""
    rows = []
    sums = {rung: [0.0, 0.0] for rung in rungs}
    for kind in KINDS:
        row = [kind]
        for rung in rungs:
            scores, labels = [], []
            for number, seed in enumerate(seeds):
                others = [s.without(s.kind == kind) for k, s in enumerate(seeds) if k != number]
                fitted = detector_training.fit([(s.found, s.bad) for s in others], rung, calibrate=False)
                tested = seed.without(seed.bad & (seed.kind != kind))
                raw = fitted.probability(tested.found)
                scores.append(np.argsort(np.argsort(raw)) / len(raw))
                labels.append(tested.bad)
            auroc = detection(np.concatenate(scores), np.concatenate(labels)).auroc
            row.append(interval(auroc))
            sums[rung][0] += auroc.value / len(KINDS)
            sums[rung][1] += auroc.value / (len(KINDS) - 1) * (kind != "swapped_facts")
        rows.append(row)
    means = [["mean of eight", *(f"{sums[r][0]:.3f}" for r in rungs)]]
    return [*rows, *means, ["mean without swapped_facts", *(f"{sums[r][1]:.3f}" for r in rungs)]]


def single_signals(seeds: Sequence[Seed]) -> Rows:
    """For each kind the three signals that alone find it best (AUROC of the odd side)."""
    rows = []
    for kind in KINDS:
        found = []
        for signal in signals.SIGNALS:
            if all(signal.name in seed.found.z for seed in seeds):
                z = np.concatenate([np.nan_to_num(s.found.z[signal.name])[(s.kind == kind) | ~s.bad] for s in seeds])
                label = np.concatenate([(s.kind == kind)[(s.kind == kind) | ~s.bad] for s in seeds])
                auroc = detection(z * (signal.bad or 1), label, draws=1).auroc.value
                found.append((max(auroc, 1 - auroc if not signal.bad else 0), signal.name, signal.rung))
        best = sorted(found, reverse=True)[:3]
        by_rung = [max((f for f in found if f[2] == rung), default=(0.5, "none", rung)) for rung in signals.RUNGS]
        rows.append([kind, ", ".join(f"{name} {auroc:.3f}" for auroc, name, _ in best),
                     *(f"{name} {auroc:.3f}" for auroc, name, _ in by_rung[1:])])  # fmt: skip
    return rows
