"""The compiled loop behind `resolve`: documents from best to worst, each against the keepers of its buckets.

Documents, buckets, ids and texts are numbers here. A bucket's kind is its index in `resolve.KINDS`; the buckets of a
document come in order of kind. Sets of shingles are read from their file two at a time: mapped, the file would count
as memory, by up to 2 MiB for each set that is read.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import types

from filters.kernels.compiled import compiled

U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]
F64 = npt.NDArray[np.float64]

RECORD, URL, EXACT, NEAR = 0, 1, 2, 3
_pread: Any = types.ExternalFunction("pread", types.intp(types.int32, types.uintp, types.uintp, types.int64))


class Sets(NamedTuple):
    """The shingles of every set, sorted and unique: set i is [offsets[i]:offsets[i + 1]] of the file."""

    file: int  # a descriptor
    offsets: I64
    mine: U64  # room for the largest
    other: U64


class State(NamedTuple):
    """What the sweep knows so far."""

    rank: I64  # place of each document in the order
    lists: I32  # keepers of a bucket, best first: first and last link
    links: I32  # (next, document)
    sizes: I32  # keepers of a bucket, those beyond `max_keepers` too
    shared: I32  # bands that a document shares with the one in hand
    met: I32
    counts: I64  # pairs compared, documents capped, links used, sets that could not be read


def state(order: I64, num_buckets: int, num_memberships: int) -> State:
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    return State(
        rank,
        np.full((num_buckets, 2), -1, np.int32),
        np.empty((num_memberships, 2), np.int32),
        np.zeros(num_buckets, np.int32),
        np.zeros(order.size, np.int32),
        np.empty(order.size, np.int32),
        np.zeros(4, np.int64),
    )


@compiled
def sweep(
    order: I64,
    settled: npt.NDArray[np.bool_],
    doc_offsets: I64,
    doc_buckets: I32,
    bucket_kind: I8,
    ids: I32,
    texts: I32,
    set_of: I32,
    sets: Sets,
    min_jaccard: float,
    max_keepers: int,
    state: State,
    keeper: I32,
    kind: I8,
    evidence: F64,
) -> None:
    """Fill keeper (a row, or -1: kept), kind and evidence (jaccard, containment, bands)."""
    rank, lists, links, sizes, shared, met, counts = state
    for doc in order:
        mine = doc_buckets[doc_offsets[doc] : doc_offsets[doc + 1]]
        found, how = -1, -1
        if not settled[doc]:
            found, how = _identical(doc, mine, bucket_kind, ids, texts, lists, links)
            if found >= 0:
                evidence[doc, 0] = evidence[doc, 1] = 1.0
            else:
                num_met, capped = _meet(mine, bucket_kind, sizes, max_keepers, lists, links, shared, met)
                near = met[:num_met]
                found = _best(doc, near, set_of, sets, rank, shared, min_jaccard, evidence, counts)
                how = NEAR
                counts[0] += num_met
                counts[1] += capped
                shared[near] = 0
        if found >= 0:
            keeper[doc], kind[doc] = found, how
        else:
            _enlist(doc, mine, sizes, max_keepers, lists, links, counts)


@compiled
def _identical(doc: int, mine: I32, bucket_kind: I8, ids: I32, texts: I32, lists: I32, links: I32) -> tuple[int, int]:
    """The best keeper with the same id, URL or text, in this order, and which; or (-1, -1)."""
    for bucket in mine:
        kind = bucket_kind[bucket]
        if kind == NEAR:
            break
        at = lists[bucket, 0]
        while at >= 0:
            other = links[at, 1]
            # hashes of 64 bits met; what they stand for decides, but for URLs, which are not kept
            if kind == URL:
                return other, kind
            same = ids[doc] == ids[other] if kind == RECORD else texts[doc] == texts[other]
            if same:
                return other, kind
            at = links[at, 0]
    return -1, -1


@compiled
def _meet(
    mine: I32, bucket_kind: I8, sizes: I32, max_keepers: int, lists: I32, links: I32, shared: I32, met: I32
) -> tuple[int, int]:
    """Write the keepers that share a band to `met` and how many bands to `shared`; returns their number and 0 or 1."""
    num_met, capped = 0, 0
    for bucket in mine:
        if bucket_kind[bucket] != NEAR:
            continue
        if sizes[bucket] > max_keepers:
            capped = 1
        at = lists[bucket, 0]
        while at >= 0:
            other = links[at, 1]
            if shared[other] == 0:
                met[num_met] = other
                num_met += 1
            shared[other] += 1
            at = links[at, 0]
    return num_met, capped


@compiled
def _best(
    doc: int,
    near: I32,
    set_of: I32,
    sets: Sets,
    rank: I64,
    shared: I32,
    min_jaccard: float,
    evidence: F64,
    counts: I64,
) -> int:
    """The keeper of highest Jaccard similarity from `min_jaccard` up, ties by rank, with its evidence; or -1."""
    best, best_jaccard = -1, 0.0
    if set_of[doc] < 0 or not near.size:
        return best
    a = _read(set_of[doc], sets, sets.mine, counts)
    for other in near:
        if set_of[other] < 0:
            continue
        b = _read(set_of[other], sets, sets.other, counts)
        common = _common(a, b)
        jaccard = common / (a.size + b.size - common)
        better = jaccard > best_jaccard or (jaccard == best_jaccard and rank[other] < rank[best])
        if jaccard >= min_jaccard and better:
            best, best_jaccard = other, jaccard
            evidence[doc, 0], evidence[doc, 1], evidence[doc, 2] = jaccard, common / a.size, shared[other]
    return best


@compiled
def _read(number: int, sets: Sets, room: U64, counts: I64) -> U64:
    """A set, in `room`."""
    start, size = sets.offsets[number], sets.offsets[number + 1] - sets.offsets[number]
    done = 0
    while done < 8 * size:
        got = _pread(sets.file, room.ctypes.data + done, 8 * size - done, 8 * start + done)
        if got <= 0:
            counts[3] += 1
            break
        done += got
    return room[:size]


@compiled
def _common(a: U64, b: U64) -> int:
    """How many values two sorted sets share."""
    i, j, common = 0, 0, 0
    while i < a.size and j < b.size:
        common += a[i] == b[j]
        step_a, step_b = a[i] <= b[j], b[j] <= a[i]
        i += step_a
        j += step_b
    return common


@compiled
def _enlist(doc: int, mine: I32, sizes: I32, max_keepers: int, lists: I32, links: I32, counts: I64) -> None:
    """Add a kept document at the end of its buckets' lists of keepers, as far as they are not full."""
    for bucket in mine:
        sizes[bucket] += 1
        if sizes[bucket] > max_keepers:
            continue
        used = counts[2]
        links[used, 0], links[used, 1] = -1, doc
        if lists[bucket, 0] < 0:
            lists[bucket, 0] = used
        else:
            links[lists[bucket, 1], 0] = used
        lists[bucket, 1] = used
        counts[2] += 1


@compiled
def distribute(doc: I32, bucket: I32, ends: I64, doc_buckets: I32) -> None:
    """Put memberships, in order of bucket, under their documents; `ends` are where those of each begin, then end."""
    for at in range(doc.size):
        doc_buckets[ends[doc[at]]] = bucket[at]
        ends[doc[at]] += 1


@compiled
def without_set(set_of: I32, doc_offsets: I64, doc_buckets: I32, bucket_kind: I8) -> int:
    """How many near candidates have none, nor share the hash of their text: texts that meet in 64 bits have one set."""
    missing = 0
    for doc in range(set_of.size):
        near = exact = False
        for bucket in doc_buckets[doc_offsets[doc] : doc_offsets[doc + 1]]:
            near |= bucket_kind[bucket] == NEAR
            exact |= bucket_kind[bucket] == EXACT
        missing += set_of[doc] < 0 and near and not exact
    return missing
