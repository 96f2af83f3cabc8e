"""The counts behind FineWeb's own rules: one row of whole numbers per document."""

from typing import Any

import numpy as np

from filters.kernels.codepoints import NUM_CODE_POINTS
from filters.kernels.compiled import I64, compiled
from filters.kernels.counting import COUNT, Table, add, opened, table
from filters.kernels.text import Segments, code_point

LINES, TERMINAL, SHORT, REPEATED_CHARACTERS, NEWLINES = range(5)


def count(s: Segments, terminal_marks: str, short_line_characters: int) -> I64:
    """counts[document, statistic]; lines of white space do not count as lines."""
    counts = np.zeros((len(s.characters), NEWLINES + 1), np.int64)
    is_mark = np.zeros(NUM_CODE_POINTS, np.bool_)
    is_mark[[ord(c) for c in terminal_marks]] = True
    t = table(int(np.diff(s.lines).max(initial=0)))
    _count(s, t, is_mark, short_line_characters, counts)
    return counts


@compiled
def _count(s: Segments, t: Table, is_mark: Any, short: int, counts: I64) -> None:
    for row in range(len(counts)):
        out = counts[row]
        out[NEWLINES] = s.lines[row + 1] - s.lines[row] - 1
        mask = opened(t, s.lines[row + 1] - s.lines[row])
        for n in range(s.lines[row], s.lines[row + 1]):
            if s.line_first[n] == s.line_last[n]:
                continue
            out[LINES] += 1
            out[TERMINAL] += is_mark[_last(s, n)]
            out[SHORT] += s.line_characters[n] <= short
            if t.entry[add(t, mask, s.line_hash[n])] & COUNT > np.uint64(1):
                out[REPEATED_CHARACTERS] += s.line_characters[n]


@compiled
def _last(s: Segments, n: Any) -> Any:
    """The last code point of a line that is not empty."""
    i = s.line_end[n] - 1
    while s.data[i] & 0xC0 == 0x80:
        i -= 1
    return code_point(s.data, i)[0]
