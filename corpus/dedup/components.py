"""Documents that may have to do with each other: connected through shared hashes, and cut into batches.

What is decided about a document depends on those it shares hashes with, and on theirs: on its connected component and
nothing else. So components are decided apart, several at a time, and memory follows from a batch, not from the corpus.
Documents are numbers here, from 0; all arrays have an entry for each.
"""

import numpy as np
import numpy.typing as npt

from corpus.dedup.buckets import BANDS, EXACT, U64
from filters.kernels.compiled import compiled

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
_PROPOSED, _COPY = 1, 2


class Components:
    """A union-find over the documents of a corpus: 9 bytes each, 16 more in `batches`."""

    def __init__(self, num_documents: int) -> None:
        self._parent: I32 = np.arange(num_documents, dtype=np.int32)
        self._memberships: I32 = np.zeros(num_documents, np.int32)
        self._flags: U8 = np.zeros(num_documents, np.uint8)

    def join(self, space: int, hashes: U64, documents: I64) -> None:
        """Documents with equal hashes, which stand side by side, are of one component."""
        kind = _PROPOSED if space >= BANDS else _COPY if space == EXACT else 0
        _join(hashes, documents, kind, self._parent, self._memberships, self._flags)

    def batches(self, most: int) -> I32:
        """Of each document its batch, from 0; -1 where it shares no hash.

        A batch has at most so many memberships in buckets, unless one component has more: it is never cut.
        """
        return _batches(self._parent, self._memberships, most)

    def needed(self) -> npt.NDArray[np.bool_]:
        """Whose text must be read: what LSH proposes, but of equal texts the first alone."""
        found: npt.NDArray[np.bool_] = self._flags == _PROPOSED
        return found


@compiled
def _join(hashes: U64, documents: I64, kind: int, parent: I32, memberships: I32, flags: U8) -> None:
    for at in range(hashes.size):
        document = documents[at]
        memberships[document] += 1
        again = at > 0 and hashes[at] == hashes[at - 1]
        if kind == _PROPOSED or again:
            flags[document] |= kind
        if again:
            a, b = _root(parent, document), _root(parent, documents[at - 1])
            if a < b:
                parent[b] = a
            else:
                parent[a] = b


@compiled
def _root(parent: I32, document: int) -> int:
    while parent[document] != document:
        parent[document] = parent[parent[document]]
        document = parent[document]
    return document


@compiled
def _batches(parent: I32, memberships: I32, most: int) -> I32:
    size = np.zeros(parent.size, np.int64)
    for document in range(parent.size):
        size[_root(parent, document)] += memberships[document]
    batch, current, held = np.full(parent.size, -1, np.int32), 0, 0
    for document in range(parent.size):  # a root is the first document of its component
        root = _root(parent, document)
        if root == document and memberships[document]:
            if held and held + size[root] > most:
                current, held = current + 1, 0
            held += size[root]
            batch[root] = current
        elif root != document:
            batch[document] = batch[root]
    return batch
