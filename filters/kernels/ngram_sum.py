"""What fastText's `predict` does with a supervised model of hierarchical softmax, on Arrow's own buffers.

A text is the mean of the vectors of its words and of their character n-grams; a walk down a tree of yes-or-no
questions gives each label its probability. Labels are fastText's own, and probabilities to the last digits of float32.
"""

from typing import Any, NamedTuple

import numpy as np

from filters.kernels.compiled import F32, F64, I32, I64, U8, U64, compiled

_BASIS, _PRIME = np.uint32(2166136261), np.uint32(16777619)
_BASIS_64, _PRIME_64 = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_OPEN, _CLOSE = 60, 62  # < and > stand around a word
_LEAST = np.float32(np.log(1e-5))  # fastText looks no further down than this
_SPACE = np.zeros(256, np.bool_)
_SPACE[[0, 9, 10, 11, 12, 13, 32]] = True
_LABEL = np.frombuffer(b"__label__", np.uint8)
_END = np.frombuffer(b"</s>", np.uint8)


class Ngrams(NamedTuple):
    """The input side of a model: vectors, and where those of words and n-grams are."""

    rows: F32
    keys: U64  # an open-addressing table: a hash of each word
    ids: I32  # and its row, -1 where the place is free
    known: U8  # a bit for each bucket of n-grams that has a row: a quarter of a megabyte, which stays in cache
    row: I32  # of each bucket
    end: int  # the row of the end of a line, or -1
    least: int  # characters of an n-gram
    most: int


class Tree(NamedTuple):
    """The output side: inner node n asks weights[n], and its children are leaves, or leaves + another inner node."""

    children: I32
    weights: F32


def best(data: U8, offsets: I64, characters: int, ngrams: Ngrams, tree: Tree, top: int) -> tuple[I64, F64, I64]:
    """(labels, probabilities, offsets): those of text i are [offsets[i]:offsets[i + 1]], at most `top`, best first.

    Of each text the first `characters` code points are read, on one line.
    """
    rows, leaves = len(offsets) - 1, len(tree.weights) + 1
    labels, scores = np.empty(rows * top, np.int64), np.empty(rows * top)
    ends = np.zeros(rows + 1, np.int64)
    word = np.empty(int(np.diff(offsets).max(initial=0)) + 2, np.uint8)
    _best(data, offsets, characters, ngrams, tree, top, word, np.empty(2 * leaves, np.float32), labels, scores, ends)
    return labels[: ends[-1]], scores[: ends[-1]], ends


@compiled
def enter_words(data: U8, offsets: I64, keys: U64, ids: I32) -> None:
    """Fill an empty table: word i is data[offsets[i]:offsets[i + 1]]."""
    mask = len(keys) - 1
    for number in range(len(offsets) - 1):
        key = _word_key(data[offsets[number] : offsets[number + 1]])
        at = np.int64(key & np.uint64(mask))
        while ids[at] >= 0:
            at = (at + 1) & mask
        keys[at], ids[at] = key, number


@compiled
def _word_key(word: U8) -> Any:
    """FNV-1a in 64 bits."""
    h = _BASIS_64
    for byte in word:
        h = (h ^ np.uint64(byte)) * _PRIME_64
    return h


@compiled
def _best(
    data: U8,
    offsets: I64,
    characters: int,
    ngrams: Ngrams,
    tree: Tree,
    top: int,
    word: U8,
    reached: F32,
    labels: I64,
    scores: F64,
    ends: I64,
) -> None:
    hidden = np.zeros(ngrams.rows.shape[1], np.float32)
    found = 0
    for row in range(len(offsets) - 1):
        hidden[:] = 0
        count = _sum(data, offsets[row], offsets[row + 1], characters, ngrams, word, hidden)
        if count:
            hidden *= np.float32(1.0 / count)
            _walk(tree, hidden, reached)
            found = _take(reached[: len(tree.weights) + 1], top, labels, scores, found)
        ends[row + 1] = found


@compiled
def _sum(data: U8, i: Any, end: Any, characters: int, ngrams: Ngrams, word: U8, hidden: F32) -> int:
    """Add the vectors of a text's words; returns how many were added."""
    count, seen = 0, 0
    while True:
        size = 1
        while i < end:
            byte = data[i]
            begins = (byte & 0xC0) != 0x80
            if begins and seen == characters:
                end = i
                break
            if _SPACE[byte]:
                if size > 1:
                    break
            else:
                word[size] = byte
                size += 1
            seen += begins
            i += 1
        if size == 1:
            break
        if _equal(word[1:size], _END):
            break
        word[0], word[size] = _OPEN, _CLOSE
        count += _add_word(word[: size + 1], ngrams, hidden)
    if ngrams.end >= 0:
        _add(ngrams.rows[ngrams.end], hidden)
        count += 1
    return count


@compiled
def _add_word(word: U8, ngrams: Ngrams, hidden: F32) -> int:
    """`word` has its < and >."""
    count, mask = 0, len(ngrams.keys) - 1
    inner = word[1:-1]
    key = _word_key(inner)
    at = np.int64(key & np.uint64(mask))
    while ngrams.ids[at] >= 0 and ngrams.keys[at] != key:
        at = (at + 1) & mask
    if ngrams.ids[at] >= 0:
        _add(ngrams.rows[ngrams.ids[at]], hidden)
        count = 1
    elif len(inner) >= len(_LABEL) and _equal(inner[: len(_LABEL)], _LABEL):
        return 0
    return count + _add_ngrams(word, ngrams, hidden)


@compiled
def _add_ngrams(word: U8, ngrams: Ngrams, hidden: F32) -> int:
    count = 0
    buckets = np.uint32(len(ngrams.row))
    for start in range(len(word)):
        if word[start] & 0xC0 == 0x80:
            continue
        h = _BASIS
        i = start
        for n in range(1, ngrams.most + 1):
            if i >= len(word):
                break
            h = _step(h, word[i])
            i += 1
            while i < len(word) and word[i] & 0xC0 == 0x80:
                h = _step(h, word[i])
                i += 1
            if n >= ngrams.least and not (n == 1 and (start == 0 or i == len(word))):
                bucket = h % buckets
                if ngrams.known[bucket >> np.uint32(3)] >> (bucket & np.uint32(7)) & 1:
                    _add(ngrams.rows[ngrams.row[bucket]], hidden)
                    count += 1
    return count


@compiled
def _step(h: Any, byte: Any) -> Any:
    """One byte of FNV-1a as fastText has it: bytes are signed there."""
    signed = np.uint32(byte) | (np.uint32(0xFFFFFF00) if byte >= 0x80 else np.uint32(0))
    return np.uint32((h ^ signed) * _PRIME)


@compiled
def _add(row: F32, hidden: F32) -> None:
    for d in range(len(hidden)):
        hidden[d] += row[d]


@compiled
def _equal(a: U8, b: U8) -> bool:
    if len(a) != len(b):
        return False
    for i in range(len(b)):  # noqa: SIM110 (numba has no any() over a generator)
        if a[i] != b[i]:
            return False
    return True


@compiled
def _walk(tree: Tree, hidden: F32, reached: F32) -> None:
    """Log probabilities of every node, from the root, which is the last one, down."""
    leaves = len(tree.weights) + 1
    reached[2 * leaves - 2] = 0
    for node in range(leaves - 2, -1, -1):
        score = reached[leaves + node]
        dot = np.float32(0)
        for d in range(len(hidden)):
            dot += tree.weights[node, d] * hidden[d]
        yes = np.float32(1.0 / (np.float32(1) + np.exp(-dot)))
        reached[tree.children[node, 0]] = score + np.float32(np.log(np.float64(np.float32(1.0 - yes)) + 1e-5))
        reached[tree.children[node, 1]] = score + np.float32(np.log(np.float64(yes) + 1e-5))


@compiled
def _take(leaves: F32, top: int, labels: I64, scores: F64, found: int) -> int:
    """Write the best ones behind the first `found`; empties `leaves` on the way."""
    for _ in range(min(top, len(leaves))):
        best = np.argmax(leaves)
        if leaves[best] < _LEAST:
            break
        labels[found], scores[found] = best, np.float64(np.exp(leaves[best]))
        leaves[best] = -np.inf
        found += 1
    return found
