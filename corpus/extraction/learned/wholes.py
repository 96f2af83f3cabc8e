"""Tables, lists and code are taken whole or left whole, as far as their blocks do not strongly disagree.

A cell of one word says little of itself. Half-way to the mean of its table costs no word-F1 (+0.001) and leaves fewer
tables with holes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.extraction.learned import names
from corpus.extraction.learned.arrays import Walked
from corpus.extraction.learned.measures import F32
from filters.kernels.compiled import compiled

SHARES = ((("table",), 0.5), (("ul", "ol"), 0.3), (("pre",), 0.8))  # how far towards the mean of the innermost one
_GROUP = np.array([0] + [sum(k for k, (tags, _) in enumerate(SHARES, 1) if n in tags) for n in names.NAMES], np.int64)


def levelled(walked: Walked, probability: F32, words: F32) -> npt.NDArray[np.float64]:
    """The probabilities, nearer to those of the blocks that they belong with."""
    level = probability.astype(np.float64)
    weight = words + 0.1
    for group, (_, share) in enumerate(SHARES, 1):
        whole = _innermost(walked.elements.tag, walked.elements.parent, walked.blocks.element, _GROUP, group)
        if whole.any():
            total = np.bincount(whole, weights=weight)
            mean = np.bincount(whole, weights=weight * level)[whole] / total[whole]
            level = np.where(whole > 0, (1 - share) * level + share * mean, level)
    return level


@compiled
def _innermost(tag: Any, parent: Any, of: Any, group_of: Any, group: Any) -> Any:
    """For each block the innermost element of a group that holds it; 0 for none."""
    inside = np.zeros(len(tag), np.int64)
    for a in range(1, len(tag)):
        inside[a] = a if group_of[tag[a]] == group else inside[parent[a]]
    return inside[of]
