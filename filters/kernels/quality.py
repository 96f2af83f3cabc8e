"""The counts behind Gopher's quality rules: one row of whole numbers per document."""

from typing import Any

import numpy as np

from filters.kernels.codepoints import ALNUM, ALPHA
from filters.kernels.compiled import I64, U8, U64, compiled
from filters.kernels.text import Segments

WORDS, LENGTH, TOKENS, ALPHABETIC, HASHES, ELLIPSES, LINES, BULLETS, UNFINISHED, STOPS = range(10)
_DOT, _HASH, _DASH = 46, 35, 45


def count(s: Segments, stop_hashes: U64) -> I64:
    """counts[document, statistic]; `stop_hashes` are the hashes of at most 64 different words."""
    counts = np.zeros((len(s.characters), STOPS + 1), np.int64)
    _count(s, stop_hashes, counts)
    return counts


@compiled
def _count(s: Segments, stop_hashes: U64, counts: I64) -> None:
    gate = np.zeros(256, np.bool_)  # most words stop here, before the comparison with each stop word
    for h in stop_hashes:
        gate[h & np.uint64(255)] = True
    for row in range(len(counts)):
        _count_words(s, row, gate, stop_hashes, counts[row])
        _count_symbols(s, row, counts[row])
        _count_lines(s, row, counts[row])


@compiled
def _count_words(s: Segments, row: int, gate: Any, stop_hashes: U64, out: I64) -> None:
    found = np.uint64(0)
    for w in range(s.words[row], s.words[row + 1]):
        flags = s.word_flags[w]
        if flags & ALNUM:
            out[WORDS] += 1
            out[LENGTH] += s.word_characters[w]
        if flags & ALPHA:
            out[ALPHABETIC] += 1
        h = s.word_hash[w]
        if gate[h & np.uint64(255)]:
            for k in range(len(stop_hashes)):
                if stop_hashes[k] == h:
                    found |= np.uint64(1) << np.uint64(k)
    out[TOKENS] = s.words[row + 1] - s.words[row]
    while found:
        found &= found - np.uint64(1)
        out[STOPS] += 1


@compiled
def _count_symbols(s: Segments, row: int, out: I64) -> None:
    i = s.offsets[row]
    end = s.offsets[row + 1]
    while i < end:
        b = s.data[i]
        if b == _HASH:
            out[HASHES] += 1
        elif (b == _DOT or b == 0xE2) and i + 3 <= end and _is_ellipsis(s.data, i):
            out[ELLIPSES] += 1
            i += 2
        i += 1


@compiled
def _is_ellipsis(data: U8, i: Any) -> Any:
    dots = data[i] == _DOT and data[i + 1] == _DOT and data[i + 2] == _DOT
    return dots or (data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0xA6)  # …


@compiled
def _count_lines(s: Segments, row: int, out: I64) -> None:
    for n in range(s.lines[row], s.lines[row + 1]):
        first = s.line_first[n]
        last = s.line_last[n]
        if s.line_start[n] < s.offsets[row + 1]:  # nothing follows a final newline, as with str.splitlines
            out[LINES] += 1
        if last - first >= 1 and s.data[first] == _DASH:
            out[BULLETS] += 1
        if last - first >= 3:
            if s.data[first] == 0xE2 and s.data[first + 1] == 0x80 and s.data[first + 2] == 0xA2:  # •
                out[BULLETS] += 1
            if _is_ellipsis(s.data, last - 3):
                out[UNFINISHED] += 1
