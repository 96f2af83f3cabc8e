"""fastText models of the kind of lid.176.ftz, read into arrays for a compiled loop (filters/kernels/ngram_sum.py).

fastText's own `predict` spends half a millisecond on 1,000 characters, nearly all of it on strings and hash maps: more
than every other filter together. Only this kind is read here: supervised, hierarchical softmax, quantised input,
single words with character n-grams. `load` says None to any other, and fastText itself is asked.

File layout: fastText 0.9.2, `FastText::loadModel` and the `load` of its Dictionary, QuantMatrix and DenseMatrix.
"""

import functools
import struct
from typing import Any, NamedTuple

import numpy as np

from filters.kernels.compiled import F32, I32, I64, U8
from filters.kernels.ngram_sum import Ngrams, Tree, enter_words

_MAGIC, _VERSION = 793712314, 12
_HIERARCHICAL, _SUPERVISED = 1, 3
_CENTROIDS = 256
_UNSEEN = 10**15  # fastText's count of a node that is not made yet
_PREFIX = b"__label__"


class Model(NamedTuple):
    """What the loop reads, and the label of each leaf of the tree without its prefix."""

    ngrams: Ngrams
    tree: Tree
    labels: tuple[str, ...]


@functools.cache
def load(path: str) -> Model | None:
    """The model at `path`, or None where it is of another kind. Raises OSError."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return _model(_Reader(data))
    except (_OtherKind, struct.error, ValueError, IndexError):
        return None


class _OtherKind(Exception):
    pass


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def numbers(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + layout, self._data, self._at)
        self._at += struct.calcsize("<" + layout)
        return found

    def array(self, kind: Any, count: int) -> Any:
        found = np.frombuffer(self._data, kind, count, self._at)
        self._at += found.nbytes
        return found

    def word(self) -> bytes:
        end = self._data.index(b"\0", self._at)
        found, self._at = self._data[self._at : end], end + 1
        return found


def _model(reader: _Reader) -> Model:
    magic, version, dim, *_, words, loss, kind, bucket, least, most, _ = reader.numbers("14i")
    reader.numbers("d")
    if (magic, version, loss, kind, words) != (_MAGIC, _VERSION, _HIERARCHICAL, _SUPERVISED, 1) or most < 1:
        raise _OtherKind
    size, num_words, _, _, num_kept = reader.numbers("3i2q")
    entries = [(reader.word(), *reader.numbers("qb")) for _ in range(size)]
    if num_kept < 0:
        raise _OtherKind
    kept = reader.array("<i4", 2 * num_kept).reshape(-1, 2)
    if not reader.numbers("?")[0]:
        raise _OtherKind
    rows = _quantised(reader)
    if reader.numbers("?")[0] or rows.shape[1] != dim:
        raise _OtherKind
    nodes, _ = reader.numbers("2q")
    weights = reader.array("<f4", nodes * dim).reshape(nodes, dim).astype(np.float32)
    ngrams = _ngrams(rows, [entry[0] for entry in entries[:num_words]], kept, bucket, least, most)
    labels = entries[num_words:]
    tree = _tree(np.array([count for _, count, _ in labels], np.int64), weights)
    return Model(ngrams, tree, tuple(word.removeprefix(_PREFIX).decode() for word, _, _ in labels))


def _quantised(reader: _Reader) -> F32:
    """A product-quantised matrix, written out: float32[rows, dim]."""
    (has_norms,) = reader.numbers("?")
    rows, _, num_codes = reader.numbers("2qi")
    codes = reader.array(np.uint8, num_codes).reshape(rows, -1)
    found = _looked_up(reader, codes)
    if has_norms:
        norm_codes = reader.array(np.uint8, rows).reshape(rows, 1)
        found = found * _looked_up(reader, norm_codes)
    return np.ascontiguousarray(found)


def _looked_up(reader: _Reader, codes: U8) -> F32:
    dim, num_parts, part, last = reader.numbers("4i")
    centroids = reader.array("<f4", dim * _CENTROIDS)
    columns = []
    for number in range(num_parts):
        width = last if number == num_parts - 1 else part
        at = number * _CENTROIDS * part
        columns.append(centroids[at : at + _CENTROIDS * width].reshape(_CENTROIDS, width)[codes[:, number]])
    return np.concatenate(columns, axis=1).astype(np.float32)


def _ngrams(rows: F32, words: list[bytes], kept: I32, bucket: int, least: int, most: int) -> Ngrams:
    size = 1 << max(4, (4 * len(words)).bit_length())
    keys, ids = np.zeros(size, np.uint64), np.full(size, -1, np.int32)
    ends = np.cumsum([0, *map(len, words)]).astype(np.int64)
    enter_words(np.frombuffer(b"".join(words), np.uint8), ends, keys, ids)
    row = np.full(bucket, -1, np.int32)
    row[kept[:, 0]] = kept[:, 1] + len(words)
    known = np.packbits(row >= 0, bitorder="little")
    end = words.index(b"</s>") if b"</s>" in words else -1
    return Ngrams(rows, keys, ids, known, row, end, least, most)


def _tree(counts: I64, weights: F32) -> Tree:
    """Huffman's, as fastText builds it: leaves in falling order of counts, two least nodes at a time."""
    leaves = len(counts)
    total = [*counts.tolist(), *[_UNSEEN] * (leaves - 1)]
    children = np.zeros((leaves - 1, 2), np.int32)
    leaf, node = leaves - 1, leaves
    for made in range(leaves, 2 * leaves - 1):
        for side in range(2):
            if leaf >= 0 and total[leaf] < total[node]:
                children[made - leaves, side], leaf = leaf, leaf - 1
            else:
                children[made - leaves, side], node = node, node + 1
        total[made] = sum(total[child] for child in children[made - leaves].tolist())
    return Tree(children, np.ascontiguousarray(weights[: leaves - 1]))
