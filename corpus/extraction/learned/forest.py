"""Decision trees over rows of numbers: flat arrays, so that a compiled loop needs no objects and no library."""

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.extraction.learned.measures import F32
from filters.kernels.compiled import I32, compiled, inlined

I16 = npt.NDArray[np.int16]
_ROWS = 64  # 100 kB of 389 columns: they stay in the second cache while all trees pass
_CHILD_BITS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Forest:
    """Nodes of all trees in a row. The sum of a row's leaves is a log odds.

    A leaf is its own child, so that every row takes as many steps as its tree is deep: no branch to predict, and
    several rows can be under way at once.
    """

    root: I32  # the first node of each tree
    depth: I16  # of each tree
    column: I16
    threshold: F32  # at most: the first child
    child: I16  # [node, 2], counted from the root of its tree
    value: F32  # of leaves

    @functools.cached_property
    def laid_out(self) -> tuple[I32, F32]:
        """(nodes, their values) for the compiled loop: the children of a node side by side, a leaf its own first child.

        A node is eight bytes, in one line of the cache: the threshold's bits; column and first child. What a comparison
        gives is added to reach the second child. To choose between two, a compiler branches, which cannot be foreseen:
        three times as slow.
        """
        order: list[int] = []
        limits, firsts = [], []
        for root in self.root.tolist():
            met = [root]
            for place, node in enumerate(met):  # which grows on the way
                below = [root + child for child in self.child[node].tolist() if root + child != node]
                limits.append(self.threshold[node] if below else np.inf)
                firsts.append(len(met) if below else place)
                met += below
            order += met
        where = self.column[order].astype(np.int32) << _CHILD_BITS | np.array(firsts, np.int32)
        return np.stack([np.array(limits, np.float32).view(np.int32), where], axis=1), self.value[order]


def probabilities(forest: Forest, rows: F32) -> F32:
    """Of each row, between 0 and 1."""
    odds = np.zeros(len(rows), np.float32)
    nodes, value = forest.laid_out
    _sum(forest.root, forest.depth, nodes, nodes.view(np.float32), value, rows, odds)
    return (1 / (1 + np.exp(-odds, dtype=np.float32))).astype(np.float32)


@compiled
def _sum(root: Any, depth: Any, nodes: Any, limits: Any, value: Any, rows: Any, odds: Any) -> None:
    # Eight rows under way in registers: in an array their places would be stored and loaded at every step.
    for block in range(0, len(rows), _ROWS):
        past = min(len(rows), block + _ROWS)
        whole = past - (past - block) % 8
        for t in range(len(root)):
            top = np.int64(root[t])
            for r in range(block, whole, 8):
                a = b = c = d = e = f = g = h = top
                for _ in range(depth[t]):
                    a = _below(nodes, limits, rows, r, top, a)
                    b = _below(nodes, limits, rows, r + 1, top, b)
                    c = _below(nodes, limits, rows, r + 2, top, c)
                    d = _below(nodes, limits, rows, r + 3, top, d)
                    e = _below(nodes, limits, rows, r + 4, top, e)
                    f = _below(nodes, limits, rows, r + 5, top, f)
                    g = _below(nodes, limits, rows, r + 6, top, g)
                    h = _below(nodes, limits, rows, r + 7, top, h)
                odds[r] += value[a]
                odds[r + 1] += value[b]
                odds[r + 2] += value[c]
                odds[r + 3] += value[d]
                odds[r + 4] += value[e]
                odds[r + 5] += value[f]
                odds[r + 6] += value[g]
                odds[r + 7] += value[h]
            for r in range(whole, past):
                at = top
                for _ in range(depth[t]):
                    at = _below(nodes, limits, rows, r, top, at)
                odds[r] += value[at]


@inlined
def _below(nodes: Any, limits: Any, rows: Any, r: Any, top: Any, at: Any) -> Any:
    where = nodes[at, 1]
    second = rows[r, where >> _CHILD_BITS] > limits[at, 0]
    return top + (where & ((1 << _CHILD_BITS) - 1)) + np.int64(second)
