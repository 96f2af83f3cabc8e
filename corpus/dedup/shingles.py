"""Sets of shingles of the documents that LSH proposes: what the exact Jaccard similarity is computed from.

They are one Arrow table, so that parts can be measured apart, written as IPC files and mapped into memory.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from corpus.dedup import buckets
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


def arrays(table: pa.Table) -> tuple[U64, U64, signature.I64]:
    """(docrefs, values, offsets) without a copy where the table has one chunk; docrefs are sorted.

    Set i is `values[offsets[i]:offsets[i + 1]]`. All read-only.
    """
    if table.num_rows and not _ascending(table):
        table = table.sort_by("docref")
    column: Any = table["shingles"].combine_chunks()
    flat = [table["docref"].to_numpy(), column.values.to_numpy(), column.offsets.to_numpy()]
    views = [np.ascontiguousarray(array).view() for array in flat]
    for view in views:
        view.flags.writeable = False
    return views[0], views[1], views[2]


def _ascending(table: pa.Table) -> bool:
    refs = table["docref"].to_numpy()
    return bool((refs[1:] > refs[:-1]).all())
