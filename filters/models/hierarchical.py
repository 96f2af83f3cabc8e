"""fastText models of the kind of lid.176.ftz, read into arrays for a compiled loop (filters/kernels/ngram_sum.py).

fastText's own `predict` spends half a millisecond on 1,000 characters, nearly all of it on strings and hash maps: more
than every other filter together. Only this kind is read here: supervised, hierarchical softmax, quantised input,
single words with character n-grams. `load` says None to any other, and fastText itself is asked. What the loop reads
is checked here, for the loop checks nothing: a damaged file must not become a read outside an array.

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
# Past these fastText is asked, which keeps its input packed and has no table of buckets.
_MOST_NUMBERS, _MOST_BUCKETS, _LONGEST = 1 << 28, 1 << 26, 64
_LARGEST = 1e9  # of a vector's numbers: those of models are below a hundred, and sums must stay finite


class BadModel(ValueError):
    """A file that begins as a model of this kind and does not hold together."""


class Model(NamedTuple):
    """What the loop reads, and the label of each leaf of the tree without its prefix."""

    ngrams: Ngrams
    tree: Tree
    labels: tuple[str, ...]


@functools.cache
def load(path: str) -> Model | None:
    """The model at `path`, or None where it is of another kind. Raises OSError, BadModel."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return _model(_Reader(data))
    except _OtherKind:
        return None
    except (struct.error, ValueError, IndexError) as error:
        raise BadModel(f"model: {path} is damaged or cut off ({error}); put an intact copy in its place") from None


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
        if not 0 <= count <= len(self._data):
            raise ValueError(f"{count} numbers in {len(self._data)} bytes")
        found = np.frombuffer(self._data, kind, count, self._at)
        self._at += found.nbytes
        return found

    def word(self) -> bytes:
        end = self._data.index(b"\0", self._at)
        found, self._at = self._data[self._at : end], end + 1
        return found


def _need(holds: Any, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _model(reader: _Reader) -> Model:
    try:
        magic, version, dim, *_, words, loss, kind, bucket, least, most, _ = reader.numbers("14i")
    except struct.error:
        raise _OtherKind from None
    if (magic, version, loss, kind, words) != (_MAGIC, _VERSION, _HIERARCHICAL, _SUPERVISED, 1):
        raise _OtherKind
    if not 1 <= most <= _LONGEST or bucket > _MOST_BUCKETS:
        raise _OtherKind
    _need(dim >= 1 and bucket >= 1, f"dimension {dim}, {bucket} buckets")
    reader.numbers("d")
    size, num_words, num_labels, _, num_kept = reader.numbers("3i2q")
    if num_kept < 0:
        raise _OtherKind
    _need(num_words >= 0 and num_labels >= 1 and num_words + num_labels == size, f"{size} words and labels")
    entries = [(reader.word(), *reader.numbers("qb")) for _ in range(size)]
    kept = reader.array("<i4", 2 * num_kept).reshape(-1, 2)
    if not reader.numbers("?")[0]:
        raise _OtherKind
    rows = _quantised(reader, dim)
    if reader.numbers("?")[0]:
        raise _OtherKind
    _need(reader.numbers("2q") == (num_labels, dim), "the matrix of the labels has another shape")
    weights = reader.array("<f4", num_labels * dim).reshape(num_labels, dim).astype(np.float32)
    _need(_bounded(rows) and _bounded(weights), "a vector has numbers that are none, or far too large")
    labels = entries[num_words:]
    ngrams = _ngrams(rows, [entry[0] for entry in entries[:num_words]], kept, bucket, least, most)
    tree = _tree(np.array([count for _, count, _ in labels], np.int64), weights)
    return Model(ngrams, tree, tuple(word.removeprefix(_PREFIX).decode() for word, _, _ in labels))


def _bounded(numbers: F32) -> bool:
    return bool((np.abs(numbers) <= _LARGEST).all())  # NaN is not


def _quantised(reader: _Reader, dim: int) -> F32:
    """A product-quantised matrix, written out: float32[rows, dim]."""
    (has_norms,) = reader.numbers("?")
    rows, _, num_codes = reader.numbers("2qi")
    _need(rows >= 1, f"{rows} vectors")
    codes = reader.array(np.uint8, num_codes).reshape(rows, -1)
    if rows * dim > _MOST_NUMBERS:
        raise _OtherKind
    found = _looked_up(reader, codes, dim)
    if has_norms:
        norm_codes = reader.array(np.uint8, rows).reshape(rows, 1)
        with np.errstate(over="ignore", invalid="ignore"):  # looked for in the product
            found = found * _looked_up(reader, norm_codes, 1)
    return np.ascontiguousarray(found)


def _looked_up(reader: _Reader, codes: U8, wanted: int) -> F32:
    dim, num_parts, part, last = reader.numbers("4i")
    _need(part >= 1 and last >= 1 and (num_parts - 1) * part + last == dim == wanted, f"{num_parts} parts of {dim}")
    _need(num_parts == codes.shape[1], f"{codes.shape[1]} codes for {num_parts} parts")
    centroids = reader.array("<f4", dim * _CENTROIDS)
    columns = []
    for number in range(num_parts):
        width = last if number == num_parts - 1 else part
        at = number * _CENTROIDS * part
        columns.append(centroids[at : at + _CENTROIDS * width].reshape(_CENTROIDS, width)[codes[:, number]])
    return np.concatenate(columns, axis=1).astype(np.float32)


def _ngrams(rows: F32, words: list[bytes], kept: I32, bucket: int, least: int, most: int) -> Ngrams:
    _need(len(words) <= len(rows), f"{len(words)} words and {len(rows)} vectors")
    _need(not kept.size or (kept.min() >= 0 and kept[:, 0].max() < bucket), "an n-gram lies in no bucket")
    _need(not kept.size or int(kept[:, 1].max()) + len(words) < len(rows), "an n-gram has no vector")
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
    _need(counts.min() >= 0 and sum(counts.tolist()) < _UNSEEN, "labels have impossible counts")
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
