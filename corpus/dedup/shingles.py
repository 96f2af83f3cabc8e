"""Sets of shingles of the documents that LSH proposes: what the exact Jaccard similarity is computed from.

They are Arrow tables, so that parts can be measured apart and written as IPC files.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus.dedup import buckets, sweep
from corpus.dedup.buckets import U64
from filters.kernels import signature

SCHEMA = pa.schema([("docref", pa.uint64()), ("shingles", pa.large_list(pa.uint64()))])


def needed(collisions: dict[int, list[bytes]], ranks: pa.Table) -> U64:
    """Docrefs, sorted, whose text must be read: near candidates, one for each distinct text.

    Texts with equal `exact` have equal shingles, so a million copies of a page are read once. `ranks` holds every
    candidate, as `resolve.ranks` gives them.
    """
    proposed = [buckets.unpack(p)[1] for space, ps in collisions.items() if space >= buckets.BANDS for p in ps]
    if not proposed:
        return np.zeros(0, np.uint64)
    mask = np.isin(ranks["docref"].to_numpy(), np.concatenate(proposed))
    near = ranks.select(["docref", "exact"]).filter(pa.array(mask))
    first = near.group_by("exact").aggregate([("docref", "min")])["docref_min"]
    return np.sort(first.to_numpy().astype(np.uint64, copy=False))


def measure(text: signature.Text, docrefs: U64, shingle_words: int) -> pa.Table:
    """The sets of the documents `docrefs`, whose texts are `text`, as a table of `SCHEMA`; each sorted and unique."""
    values, offsets = signature.shingle_sets(text, shingle_words)
    sets = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values, pa.uint64()))
    return pa.Table.from_arrays([pa.array(docrefs, pa.uint64()), sets], schema=SCHEMA)


class SetFile:
    """Sets of many documents in a file without a name, and which are where: a batch of them need not fit in memory."""

    def __init__(self, folder: Path | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._refs: list[U64] = [np.zeros(0, np.uint64)]
        self._sizes: list[signature.I64] = [np.zeros(0, np.int64)]

    def __enter__(self) -> "SetFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, sets: pa.Table) -> None:
        """The rows of a table of `SCHEMA`."""
        for batch in sets.select(SCHEMA.names).to_batches():
            column: Any = batch["shingles"]
            self._file.write(column.flatten().to_numpy().data)
            self._refs.append(batch["docref"].to_numpy())
            self._sizes.append(np.diff(column.offsets.to_numpy()))

    @property
    def docrefs(self) -> U64:
        """The document of each set, in the order of the file."""
        return np.concatenate(self._refs)

    def reading(self) -> sweep.Sets:
        """For `sweep`, once all are added."""
        self._file.flush()
        sizes = np.concatenate(self._sizes)
        mine, other = np.empty((2, sizes.max(initial=0)), np.uint64)
        return sweep.Sets(self._file.fileno(), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), mine, other)
