"""Where a block stands in the page's structure: heading, list item, cell, quotation, code."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from corpus.extraction.learned import names
from corpus.extraction.learned.arrays import Walked
from filters.kernels.compiled import compiled

_TAGS = np.array([names.TAG[n] for n in ("li", "ol", "ul", "td", "th", "tr", "table", "blockquote", "pre")], np.uint8)
_HEADING = np.array([0] + [names.HEADINGS.index(n) + 1 if n in names.HEADINGS else 0 for n in names.NAMES], np.uint8)


class Place(NamedTuple):
    """Elements are named by their number, 0 for none."""

    heading: int  # 1 to 6, or 0
    item: int  # the innermost list item
    depth: int  # lists around it
    number: int  # of the item in an ordered list, or 0
    cell: int
    row: int
    table: int
    quotes: int
    pre: int


def places(walked: Walked, chosen: npt.NDArray[np.bool_]) -> list[Place]:
    """One per chosen block, in order."""
    blocks = np.flatnonzero(chosen)
    out = np.zeros((len(blocks), len(Place._fields)), np.int64)
    _places(walked.elements.tag, walked.elements.parent, walked.blocks.element[blocks], out, _TAGS, _HEADING)
    return [Place(*row) for row in out.tolist()]


@compiled
def _places(tag: Any, parent: Any, of: Any, out: Any, tags: Any, heading: Any) -> None:
    li, ol, ul, td, th, tr, table, quote, pre = tags
    seen = np.zeros(len(tag), np.int32)  # list items of an element so far
    number = np.zeros(len(tag), np.int32)
    for a in range(1, len(tag)):
        if tag[a] == li:
            seen[parent[a]] += 1
            number[a] = seen[parent[a]]
    for i in range(len(of)):
        a = of[i]
        row = out[i]
        steps = 0
        while a > 0 and steps < 200:  # deeper structure is none
            t = tag[a]
            if row[0] == 0 and row[4] == 0 and row[1] == 0:
                row[0] = heading[t]
            if t == li:
                if row[1] == 0:
                    row[1] = a
                    row[3] = number[a] if tag[parent[a]] == ol else 0
            elif t in (ol, ul):
                row[2] += 1
            elif t in (td, th):
                row[4] = a if row[4] == 0 else row[4]
            elif t == tr:
                row[5] = a if row[5] == 0 else row[5]
            elif t == table:
                row[6] = a if row[6] == 0 else row[6]
            elif t == quote:
                row[7] += 1
            elif t == pre:
                row[8] = a
            a = parent[a]
            steps += 1
