"""How much of a document stands in other documents too: near-copies and stitched templates.

Counts hashed runs of words, so a near-copy need not be alike as a whole. Limits: an innocent formula (a licence, a
form) is shared as well; a single copy of a template cannot be seen.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters.kernels.signature import shingle_sets

Floats = npt.NDArray[np.float64]
_COMMON = 200  # documents: a shingle of more is a figure of speech for the search of a neighbour


def measure(texts: Sequence[str]) -> dict[str, Floats]:
    """Shares of each text's different shingles, 0 to 1."""
    column = pa.array(texts, pa.large_string())
    values, offsets = shingle_sets(column, 5)
    count = counts(values)
    short_values, short_offsets = shingle_sets(column, 3)
    short = counts(short_values)
    return {
        "shared": share(count > 1, offsets),
        "shared_often": share(count > 4, offsets),
        "shared_short": share(short > 4, short_offsets),
        "nearest": nearest(values, offsets, count),
    }


def counts(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """In how many documents each shingle stands; values are unique within a document."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(count[place], np.int64)


def share(true: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int64]) -> Floats:
    """Share of true ones in each document; 0 where there are none."""
    total = np.concatenate([[0], np.cumsum(true)])
    size = np.diff(offsets)
    return np.asarray((total[offsets[1:]] - total[offsets[:-1]]) / np.maximum(size, 1), np.float64)


def nearest(values: npt.NDArray[np.uint64], offsets: npt.NDArray[np.int64], count: npt.NDArray[np.int64]) -> Floats:
    """The largest share of a document's shingles that one other document has."""
    size = np.diff(offsets)
    document = np.repeat(np.arange(len(size)), size)
    chosen = (count > 1) & (count <= _COMMON)
    order = np.lexsort((document[chosen], values[chosen]))
    value, owner = values[chosen][order], document[chosen][order]
    best = np.zeros(len(size))
    pairs: list[npt.NDArray[np.int64]] = []
    # Equal shingles lie side by side: the k-th neighbour of every entry at once.
    for step in range(1, _COMMON):
        same = value[step:] == value[:-step]
        if not same.any():
            break
        pairs.append(np.stack([owner[:-step][same], owner[step:][same]], axis=1))
    if not pairs:
        return best
    keys, shared = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    for side in (0, 1):
        np.maximum.at(best, keys[:, side], shared / np.maximum(size[keys[:, side]], 1))
    return best
