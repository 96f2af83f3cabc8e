"""Counts phrases of word lists in text, by hashes of lower-case tokens.

A token is a run of letters, digits, combining marks and underscores; everything else parts tokens, so "women's" is
two of them and "African-American" is the phrase "african american". Lists are read by the same loop as texts.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from filters.kernels.codepoints import ALNUM, MARK, class_flags, lower_case
from filters.kernels.compiled import I64, U8, U32, U64, compiled
from filters.kernels.text import FNV_BASIS, FNV_PRIME, Segments, code_point, mix, segment

MAX_TOKENS = 4  # of a phrase
MAX_GROUPS = 64
_UNDERSCORE = 95
_ONE = np.uint64(1)


class Lexicon(NamedTuple):
    """An open-addressing table from the hash of a phrase to the bit set of its groups; 0 marks a free place."""

    key: U64
    groups: U64
    flags: U8  # class flags and lower-case forms of code points
    lower: U32


def lexicon(groups: Sequence[Sequence[str]]) -> Lexicon:
    """A table of the phrases of each group. Raises ValueError for a phrase that is too long or has no token."""
    if len(groups) > MAX_GROUPS:
        raise ValueError(f"at most {MAX_GROUPS} groups of words, not {len(groups)}")
    size = 1 << max(4, (4 * sum(map(len, groups))).bit_length())  # a quarter full: most look-ups end at once
    table = Lexicon(np.zeros(size, np.uint64), np.zeros(size, np.uint64), class_flags(), lower_case())
    for group, phrases in enumerate(groups):
        s = segment(pa.array(phrases, pa.large_string()))
        hashes = np.zeros(len(phrases), np.uint64)
        num_tokens = np.zeros(len(phrases), np.int64)
        _hash_phrases(s, table, _scratch(s), hashes, num_tokens)
        for phrase, n in zip(phrases, num_tokens, strict=True):
            if not 1 <= n <= MAX_TOKENS:
                raise ValueError(f"a phrase has 1 to {MAX_TOKENS} words, not {n}: {phrase!r}")
        _insert(table, hashes, np.uint64(group))
    return table


def count(s: Segments, table: Lexicon, num_groups: int) -> I64:
    """counts[document, group]: occurrences of the group's phrases, also those inside longer ones."""
    counts = np.zeros((len(s.characters), num_groups), np.int64)
    _count(s, table, _scratch(s), counts)
    return counts


def _scratch(s: Segments) -> U64:
    """Room for the tokens of any one document."""
    return np.empty(int(np.diff(s.offsets).max(initial=0)) // 2 + 1, np.uint64)


@compiled
def _tokens(data: U8, i: int, end: int, flags: U8, lower: U32, out: U64) -> int:
    """Hash the tokens of data[i:end] into `out`; how many there are."""
    found = 0
    code = FNV_BASIS
    inside = False
    while i < end:
        c, size = code_point(data, i)
        if flags[c] & (ALNUM | MARK) or c == _UNDERSCORE:
            inside = True
            code = (code ^ np.uint64(lower[c])) * FNV_PRIME
        elif inside:
            out[found] = mix(code) | _ONE  # 0 is kept for free places
            found += 1
            code = FNV_BASIS
            inside = False
        i += size
    if inside:
        out[found] = mix(code) | _ONE
        found += 1
    return found


@compiled
def _joined(later: Any, earlier: Any) -> Any:
    """Phrases are hashed from their last token to their first, as a scan meets their ends."""
    return mix(later * FNV_PRIME + earlier) | _ONE


@compiled
def _hash_phrases(s: Segments, t: Lexicon, tokens: U64, hashes: U64, num_tokens: I64) -> None:
    for row in range(len(hashes)):
        n = _tokens(s.data, s.offsets[row], s.offsets[row + 1], t.flags, t.lower, tokens)
        num_tokens[row] = n
        if n:
            hashes[row] = tokens[n - 1]
        for k in range(n - 2, -1, -1):
            hashes[row] = _joined(hashes[row], tokens[k])


@compiled
def _insert(t: Lexicon, hashes: U64, group: Any) -> None:
    mask = np.uint64(len(t.key) - 1)
    for code in hashes:
        at = code & mask
        while t.key[at] != 0 and t.key[at] != code:
            at = (at + _ONE) & mask
        t.key[at] = code
        t.groups[at] |= _ONE << group


@compiled
def _count(s: Segments, t: Lexicon, tokens: U64, counts: I64) -> None:
    mask = np.uint64(len(t.key) - 1)
    for row in range(len(counts)):
        n = _tokens(s.data, s.offsets[row], s.offsets[row + 1], t.flags, t.lower, tokens)
        for i in range(n):
            code = tokens[i]
            for k in range(min(MAX_TOKENS, i + 1)):  # the phrases of k + 1 tokens that end here
                if k:
                    code = _joined(code, tokens[i - k])
                at = code & mask
                while t.key[at] != 0 and t.key[at] != code:
                    at = (at + _ONE) & mask
                if t.key[at] == code:
                    _add_one(t.groups[at], counts[row])


@compiled
def _add_one(groups: Any, counts: I64) -> None:
    group = 0
    while groups:
        counts[group] += np.int64(groups & _ONE)
        groups >>= _ONE
        group += 1
