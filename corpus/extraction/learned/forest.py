"""Decision trees over rows of numbers: flat arrays, so that a compiled loop needs no objects and no library."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from corpus.extraction.learned.measures import F32
from filters.kernels.compiled import compiled

I16 = npt.NDArray[np.int16]


class Forest(NamedTuple):
    """Nodes of all trees in a row; a child below 0 is the leaf ~child. The sum of leaves is a log odds."""

    root: npt.NDArray[np.int32]  # the first node of each tree
    column: I16
    threshold: F32  # at most: left
    left: I16  # counted from the root of its tree
    right: I16
    first_leaf: npt.NDArray[np.int32]  # of each tree
    leaf: F32


def probabilities(forest: Forest, rows: F32) -> F32:
    """Of each row, between 0 and 1."""
    odds = np.zeros(len(rows), np.float32)
    _sum(forest, rows, odds)
    return (1 / (1 + np.exp(-odds, dtype=np.float32))).astype(np.float32)


@compiled
def _sum(forest: Any, rows: Any, odds: Any) -> None:
    # tree by tree: one tree's nodes stay in the innermost cache while all rows of a page pass
    for t in range(len(forest.root)):
        root, leaves = forest.root[t], forest.first_leaf[t]
        for k in range(len(rows)):
            node = np.int64(0)
            while node >= 0:
                at = root + node
                if rows[k, forest.column[at]] <= forest.threshold[at]:
                    node = np.int64(forest.left[at])
                else:
                    node = np.int64(forest.right[at])
            odds[k] += forest.leaf[leaves + ~node]
