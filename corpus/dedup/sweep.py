"""The compiled loop behind `resolve`: documents from best to worst, each against the keepers of its buckets.

Documents, buckets, ids and texts are numbers here. A bucket's kind is its index in `resolve.KINDS`; the buckets of a
document come in order of kind.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from filters.kernels.compiled import compiled

U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]
F64 = npt.NDArray[np.float64]

RECORD, URL, EXACT, NEAR = 0, 1, 2, 3


class State(NamedTuple):
    """What the sweep knows so far; it may stop and go on."""

    rank: I64  # place of each document in the order
    lists: I32  # keepers of a bucket, best first: first and last link
    links: I32  # (next, document)
    sizes: I32  # keepers of a bucket, those beyond `max_keepers` too
    shared: I32  # bands that a document shares with the one in hand
    met: I32
    counts: I64  # pairs compared, documents capped, links used


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
        np.zeros(3, np.int64),
    )


@compiled
def sweep(
    start: int,
    most_read: int,
    order: I64,
    settled: npt.NDArray[np.bool_],
    doc_offsets: I64,
    doc_buckets: I32,
    bucket_kind: I8,
    ids: I32,
    texts: I32,
    set_of: I32,
    values: U64,
    offsets: I64,
    min_jaccard: float,
    max_keepers: int,
    state: State,
    keeper: I32,
    kind: I8,
    evidence: F64,
) -> int:
    """Fill keeper (a row, or -1: kept), kind and evidence (jaccard, containment, bands) from place `start` on.

    Returns the place to go on from: it stops once some `most_read` shingles were read, so that memory can be let go.
    """
    rank, lists, links, sizes, shared, met, counts = state
    read = 0
    for place in range(start, order.size):
        doc = order[place]
        mine = doc_buckets[doc_offsets[doc] : doc_offsets[doc + 1]]
        found, how = -1, -1
        if not settled[doc]:
            found, how = _identical(doc, mine, bucket_kind, ids, texts, lists, links)
            if found >= 0:
                evidence[doc, 0] = evidence[doc, 1] = 1.0
            else:
                num_met, capped = _meet(mine, bucket_kind, sizes, max_keepers, lists, links, shared, met)
                near = met[:num_met]
                found, size = _best(doc, near, set_of, values, offsets, rank, shared, min_jaccard, evidence)
                how = NEAR
                read += size
                counts[0] += num_met
                counts[1] += capped
                shared[near] = 0
        if found >= 0:
            keeper[doc], kind[doc] = found, how
        else:
            _enlist(doc, mine, sizes, max_keepers, lists, links, counts)
        if read > most_read:
            return place + 1
    return order.size


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
    values: U64,
    offsets: I64,
    rank: I64,
    shared: I32,
    min_jaccard: float,
    evidence: F64,
) -> tuple[int, int]:
    """The keeper of highest Jaccard similarity from `min_jaccard` up, ties by rank, with its evidence; or -1.

    And how many shingles were read.
    """
    best, best_jaccard, read = -1, 0.0, 0
    for other in near:
        if set_of[doc] < 0 or set_of[other] < 0:
            continue
        a = values[offsets[set_of[doc]] : offsets[set_of[doc] + 1]]
        b = values[offsets[set_of[other]] : offsets[set_of[other] + 1]]
        read += a.size + b.size
        common = _common(a, b)
        jaccard = common / (a.size + b.size - common)
        better = jaccard > best_jaccard or (jaccard == best_jaccard and rank[other] < rank[best])
        if jaccard >= min_jaccard and better:
            best, best_jaccard = other, jaccard
            evidence[doc, 0], evidence[doc, 1], evidence[doc, 2] = jaccard, common / a.size, shared[other]
    return best, read


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
