"""The gradient rung of the planted benchmark: every planted document and a sample of good ones, against trusted text.

Gradients of all documents would cost more than everything else together, and a sample measures AUROC as well.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from planted_corpus import Labelled
from planted_detection import Rows, Seed, interval

from eval import gradient_signals
from eval.chance import digest
from eval.detection import detection
from eval.documents import Document
from eval.planting import KINDS

SIDES = {"self_influence": 1, "agreement": -1}  # 1: high is odd


def measured(
    corpus: Labelled, model: Path, trusted: Sequence[Document], good: int, kept: Path
) -> tuple[pa.Table, float]:
    """(id and both signals of each sampled document, CPU seconds that they took)."""
    if not kept.exists():
        chosen = sample(corpus, good)
        started = time.process_time()
        found = gradient_signals.measure(model, chosen, trusted)
        spent = time.process_time() - started
        table = pa.table({"id": [d.id for d in chosen], **found}).replace_schema_metadata({"cpu_s": f"{spent:.1f}"})
        pq.write_table(table, kept)
    table = pq.read_table(kept)
    return table, float(table.schema.metadata[b"cpu_s"])


def sample(corpus: Labelled, good: int) -> list[Document]:
    """Planted documents, and so many of the good ones, hard ones among them, by a hash of their ids."""
    drawn = sorted(corpus.documents, key=lambda d: digest("gradients", d.id))
    bad = [d for d in drawn if corpus.kind[d.id] in KINDS]
    return [*bad, *[d for d in drawn if corpus.kind[d.id] not in KINDS][:good]]


def rows(seeds: Sequence[Seed], tables: Sequence[pa.Table], scores: Sequence[np.ndarray], rung: str) -> Rows:
    """AUROC of each kind against the sampled good documents: each signal alone, ranks within a seed, beside a rung."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in (*SIDES, rung)}
    kinds = []
    for seed, table, score in zip(seeds, tables, scores, strict=True):
        place = {name: at for at, name in enumerate(seed.found.ids)}
        mine = np.array([place[name] for name in table["id"].to_pylist()])
        kinds.append(np.where(seed.bad[mine], seed.kind[mine], ""))
        for name, side in SIDES.items():
            columns[name].append(_ranks(table[name].to_numpy() * side))
        columns[rung].append(_ranks(score[mine]))
    kind = np.concatenate(kinds)
    out = []
    for one in (*KINDS, "all eight"):
        positive = kind == one if one in KINDS else kind != ""
        chosen = positive | (kind == "")
        figures = [detection(np.concatenate(values)[chosen], positive[chosen]).auroc for values in columns.values()]
        out.append([one, *(interval(figure) for figure in figures)])
    return out


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values, kind="stable"), kind="stable") / max(1, len(values))
