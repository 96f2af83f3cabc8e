"""How much some documents count, as the corrections say that a person signed for their corpus: weights.parquet.

A weight multiplies the losses of a document's tokens on their way to the gradient: nothing is read more often or left
out, so rows, their order and the lineage are those of a corpus without weights.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainer.failures import Failure
from trainer.run_folder import Run
from trainer.shards import Shards

FILE = "weights.parquet"  # in a run folder: columns id, weight; documents that are not named weigh 1


@dataclasses.dataclass(frozen=True)
class Weights:
    """Of the documents of some shards."""

    values: NDArray[np.float32]  # [documents + 1] by row of documents.parquet; the last one, 1, is padding's (row -1)
    sha256: str  # of all of them

    @property
    def count(self) -> int:
        """Documents that do not count as one."""
        return int((self.values != 1).sum())

    def of(self, documents_BT: NDArray[np.int32]) -> NDArray[np.float32]:
        """The weight of every position."""
        found: NDArray[np.float32] = self.values[documents_BT]
        return found


def read(runs: Sequence[Run], shards: Shards) -> Weights | None:
    """None where every document weighs 1. Raises Failure for a file that cannot be obeyed."""
    values = np.ones(shards.documents.num_rows + 1, np.float32)
    for run in runs:
        table = _table(run.folder / FILE)
        if table is None:
            continue
        place = pc.index_in(shards.documents["id"], table["id"].combine_chunks()).fill_null(-1).to_numpy()
        here = np.flatnonzero((place >= 0) & _of(run, shards, len(runs) > 1))
        values[here] = table["weight"].to_numpy()[place[here]]
    if (values == 1).all():
        return None
    return Weights(values, hashlib.sha256(values.astype("<f4").tobytes()).hexdigest())


def _of(run: Run, shards: Shards, several: bool) -> NDArray[np.bool_] | bool:
    """Which documents are this run's: of several corpora, those whose sources are called by it."""
    if not several:
        return True
    found: NDArray[np.bool_] = pc.starts_with(shards.documents["source"].cast(pa.string()), f"{run.name}/").to_numpy()
    return found


def _table(path: Path) -> pa.Table | None:
    if not path.exists():
        return None
    try:
        table = pq.read_table(path, columns=["id", "weight"])
        weight = table["weight"].cast(pa.float64())
    except (OSError, pa.ArrowException) as error:
        raise Failure(f"{path}: cannot be read ({error}); build the run again") from None
    numbers = weight.to_numpy()
    bad = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0)))
    if len(bad):
        raise Failure(f"{path}: row {bad[0] + 1}: weight {numbers[bad[0]]} is not a number from 0 up")
    if len(pc.unique(table["id"])) < table.num_rows:
        raise Failure(f"{path}: names a document twice; build the run again")
    return table.set_column(1, "weight", weight)
