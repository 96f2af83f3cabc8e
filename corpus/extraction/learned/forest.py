"""Decision trees over rows of numbers: flat arrays, so that a compiled loop needs no objects and no library."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from corpus.extraction.learned.measures import F32
from filters.kernels.compiled import compiled, inlined

I16 = npt.NDArray[np.int16]
_AT_ONCE = 8


class Forest(NamedTuple):
    """Nodes of all trees in a row. The sum of a row's leaves is a log odds.

    A leaf is its own child, so that every row takes as many steps as its tree is deep: no branch to predict, and
    several rows can be under way at once.
    """

    root: npt.NDArray[np.int32]  # the first node of each tree
    depth: I16  # of each tree
    column: I16
    threshold: F32  # at most: the first child
    child: I16  # [node, 2], counted from the root of its tree
    value: F32  # of leaves


def probabilities(forest: Forest, rows: F32) -> F32:
    """Of each row, between 0 and 1."""
    odds = np.zeros(len(rows), np.float32)
    _sum(*forest, rows, odds)
    return (1 / (1 + np.exp(-odds, dtype=np.float32))).astype(np.float32)


@compiled
def _sum(root: Any, depth: Any, column: Any, threshold: Any, child: Any, value: Any, rows: Any, odds: Any) -> None:
    # tree by tree: one tree's nodes stay in the innermost cache while all rows of a page pass
    node = np.zeros(_AT_ONCE, np.int64)
    whole = len(rows) - len(rows) % _AT_ONCE
    for t in range(len(root)):
        first = root[t]
        for start in range(0, whole, _AT_ONCE):
            for k in range(_AT_ONCE):
                node[k] = first
            for _ in range(depth[t]):
                for k in range(_AT_ONCE):
                    node[k] = _below(rows, start + k, node[k], first, column, threshold, child)
            for k in range(_AT_ONCE):
                odds[start + k] += value[node[k]]
        for k in range(whole, len(rows)):
            at = np.int64(first)
            for _ in range(depth[t]):
                at = _below(rows, k, at, first, column, threshold, child)
            odds[k] += value[at]


@inlined
def _below(rows: Any, k: Any, at: Any, first: Any, column: Any, threshold: Any, child: Any) -> Any:
    return first + child[at, np.int64(rows[k, column[at]] > threshold[at])]
