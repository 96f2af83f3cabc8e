"""Gopher's repetition counts: repeated lines, paragraphs and n-grams of words, per document.

Equality is equality of 64-bit hashes. An n-gram can be repeated only where both of its (n-1)-grams are, so each
length looks only at what the one before it left: on ordinary text lengths 4 to 10 cost almost nothing.
"""

from typing import Any

import numpy as np

from filters.kernels.compiled import I64, U64, compiled
from filters.kernels.counting import COUNT, MARK, Table, add, opened, table
from filters.kernels.text import FNV_BASIS, FNV_PRIME, Segments, mix

LINES, REPEATED_LINES, LINE_CHARACTERS, PARAGRAPHS, REPEATED_PARAGRAPHS, PARAGRAPH_CHARACTERS = range(6)
GRAMS = 6  # counts[GRAMS + n - 2] belongs to the n-grams, n = 2..10
LONGEST_TOP = 4  # up to here the most frequent n-gram counts, above it every repeat
LONGEST = 10
_ONE = np.uint64(1)


def count(s: Segments) -> I64:
    """counts[document, statistic]."""
    counts = np.zeros((len(s.characters), GRAMS + LONGEST - 1), np.int64)
    num_words = int(np.diff(s.words).max(initial=0))
    t = table(max(num_words, int(np.diff(s.lines).max(initial=0))))
    _count(s, t, np.empty(num_words, np.uint64), np.empty(num_words, np.int64), counts)
    return counts


@compiled
def _count(s: Segments, t: Table, code: U64, slot: I64, counts: I64) -> None:
    for row in range(len(counts)):
        _count_lines(s, t, row, counts[row])
        _count_paragraphs(s, t, row, counts[row])
        _count_grams(s, t, code, slot, row, counts[row])


@compiled
def _count_lines(s: Segments, t: Table, row: int, out: I64) -> None:
    first = s.lines[row]
    end = s.lines[row + 1]
    mask = opened(t, end - first)
    for n in range(first, end):
        # re.split("\n+", text) leaves an empty line only before the first newline and after the last one
        if s.line_start[n] == s.line_end[n] and first < n < end - 1:
            continue
        out[LINES] += 1
        if t.entry[add(t, mask, s.line_hash[n])] & COUNT > _ONE:
            out[REPEATED_LINES] += 1
            out[LINE_CHARACTERS] += s.line_characters[n]


@compiled
def _count_paragraphs(s: Segments, t: Table, row: int, out: I64) -> None:
    first = s.lines[row]
    end = s.lines[row + 1]
    while first < end and s.line_first[first] == s.line_last[first]:  # the text is stripped first
        first += 1
    while end > first and s.line_first[end - 1] == s.line_last[end - 1]:
        end -= 1
    mask = opened(t, end - first)
    n = first
    while n < end:
        start = s.line_first[n] if n == first else s.line_start[n]
        while n + 1 < end and s.line_start[n + 1] < s.line_end[n + 1]:
            n += 1
        stop = s.line_last[n] if n == end - 1 else s.line_end[n]
        paragraph, characters = _hash_bytes(s, start, stop)
        out[PARAGRAPHS] += 1
        if t.entry[add(t, mask, paragraph)] & COUNT > _ONE:
            out[REPEATED_PARAGRAPHS] += 1
            out[PARAGRAPH_CHARACTERS] += characters
        n += 1
        while n < end and s.line_start[n] == s.line_end[n]:
            n += 1


@compiled
def _hash_bytes(s: Segments, start: Any, stop: Any) -> Any:
    code = FNV_BASIS
    characters = 0
    for i in range(start, stop):
        code = (code ^ np.uint64(s.data[i])) * FNV_PRIME
        characters += (s.data[i] & 0xC0) != 0x80
    return mix(code), characters


@compiled
def _count_grams(s: Segments, t: Table, code: U64, slot: I64, row: int, out: I64) -> None:
    """`code` holds the hash of the n-gram at each word, `slot` its place in the table or -1 where it occurs once."""
    first = s.words[row]
    words = s.words[row + 1] - first
    for i in range(words):
        code[i] = s.word_hash[first + i]
        slot[i] = 0
    alive = words
    for n in range(2, LONGEST + 1):
        if alive < 2 or words < n:
            return
        grams = words - n + 1
        alive = _lengthen(s, t, code, slot, first, grams, n)
        find = _top(s, t, slot, first, grams, n) if n <= LONGEST_TOP else _repeats(s, t, slot, first, grams, n)
        out[GRAMS + n - 2] = find


@compiled
def _lengthen(s: Segments, t: Table, code: U64, slot: I64, first: Any, grams: Any, n: Any) -> Any:
    """From (n-1)-grams to n-grams; returns at how many words a repeated one begins."""
    candidates = 0
    for i in range(grams):
        if slot[i] >= 0 and slot[i + 1] >= 0:
            code[i] = mix(code[i] * FNV_PRIME + s.word_hash[first + i + n - 1])
            candidates += 1
        else:
            slot[i] = -1
    mask = opened(t, candidates)
    for i in range(grams):
        if slot[i] >= 0:
            slot[i] = add(t, mask, code[i])
    alive = 0
    for i in range(grams):
        if slot[i] >= 0:
            if t.entry[slot[i]] & COUNT > _ONE:
                alive += 1
            else:
                slot[i] = -1
    return alive


@compiled
def _top(s: Segments, t: Table, slot: I64, first: Any, grams: Any, n: Any) -> Any:
    """Characters of the most frequent n-gram, with its spaces, times its count; of several the first one."""
    most = _ONE
    where = -1
    for i in range(grams):
        if slot[i] >= 0 and t.entry[slot[i]] & COUNT > most:
            most = t.entry[slot[i]] & COUNT
            where = i
    if where < 0:
        return np.int64(0)
    return (_characters(s, first + where, n) + n - 1) * np.int64(most)


@compiled
def _repeats(s: Segments, t: Table, slot: I64, first: Any, grams: Any, n: Any) -> Any:
    """Characters, without spaces, of n-grams that were met before, going on behind each one found."""
    total = np.int64(0)
    i = 0
    while i < grams:
        if slot[i] >= 0:
            if t.entry[slot[i]] & MARK:
                total += _characters(s, first + i, n)
                i += n
                continue
            t.entry[slot[i]] |= MARK
        i += 1
    return total


@compiled
def _characters(s: Segments, first: Any, n: Any) -> Any:
    total = np.int64(0)
    for w in range(first, first + n):
        total += s.word_characters[w]
    return total
