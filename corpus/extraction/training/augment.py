"""Short articles, which gold collections lack: copies of long ones of which only the beginning is left.

Gold pages are long (median 6,500 characters); a model trained on them alone keeps the rail of a short one. The copy is
made on the page's arrays, so that all that surrounds the article stays as its site wrote it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.extraction.learned.arrays import Blocks, Walked

_LONG_BYTES = 80


def shortened(walked: Walked, label: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which blocks stay when only the first few long gold blocks do; all that is not gold stays."""
    length = walked.blocks.end - walked.blocks.start
    gold = label >= 0.5
    long = np.flatnonzero(gold & (length >= _LONG_BYTES))
    keep = np.ones(len(gold), np.bool_)
    if len(long) < 3:
        return keep
    some = int(rng.integers(1, 6)) if rng.random() < 0.7 else len(long) // 3
    last = long[min(max(some, 1), len(long)) - 1]
    keep[last + 1 :] = ~gold[last + 1 :]
    return keep


def subset(walked: Walked, keep: npt.NDArray[np.bool_]) -> Walked:
    """The page without some of its blocks."""
    e = walked.elements
    index = np.concatenate([[0], np.cumsum(keep)]).astype(np.int32)
    elements = e._replace(first=index[e.first], last=index[e.last])
    columns: list[Any] = [column[keep] for column in walked.blocks]
    return walked._replace(elements=elements, blocks=Blocks(*columns))
