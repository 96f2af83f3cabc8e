"""The compiled loop behind `resolve`: documents from best to worst, each against the keepers of its buckets.

Documents, buckets, ids and texts are numbers here. A bucket's kind is its index in `resolve.KINDS`; the buckets of a
document come in order of kind.
"""

import numpy as np
import numpy.typing as npt

from filters.kernels.compiled import compiled

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]
F64 = npt.NDArray[np.float64]

RECORD, URL, EXACT, NEAR = 0, 1, 2, 3


@compiled
def sweep(
    order: I64,
    settled: npt.NDArray[np.bool_],
    doc_offsets: I64,
    doc_buckets: I64,
    bucket_kind: I8,
    ids: I64,
    texts: I64,
    set_of: I64,
    values: U64,
    offsets: I64,
    min_jaccard: float,
    max_keepers: int,
    keeper: I64,
    kind: I8,
    evidence: F64,
    counts: I64,
) -> None:
    """Fill keeper (a row, or -1: kept), kind, evidence (jaccard, containment, bands) and counts (compared, capped)."""
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    # keepers of a bucket, best first, are a linked list through links[:, 0]; links[:, 1] is the document
    lists = np.full((bucket_kind.size, 2), -1, np.int64)
    links, used = np.empty((doc_buckets.size, 2), np.int64), 0
    sizes = np.zeros(bucket_kind.size, np.int64)
    shared, met = np.zeros(order.size, np.int64), np.empty(order.size, np.int64)
    for doc in order:
        mine = doc_buckets[doc_offsets[doc] : doc_offsets[doc + 1]]
        if settled[doc]:
            used = _enlist(doc, mine, sizes, max_keepers, lists, links, used)
            continue
        found, how = _identical(doc, mine, bucket_kind, ids, texts, lists, links)
        if found >= 0:
            evidence[doc, 0] = evidence[doc, 1] = 1.0
        else:
            num_met, capped = _meet(mine, bucket_kind, sizes, max_keepers, lists, links, shared, met)
            near = met[:num_met]
            found = _best(doc, near, set_of, values, offsets, rank, shared, min_jaccard, evidence)
            how = NEAR
            counts[0] += num_met
            counts[1] += capped
            shared[near] = 0
        if found >= 0:
            keeper[doc], kind[doc] = found, how
        else:
            used = _enlist(doc, mine, sizes, max_keepers, lists, links, used)


@compiled
def _identical(doc: int, mine: I64, bucket_kind: I8, ids: I64, texts: I64, lists: I64, links: I64) -> tuple[int, int]:
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
    mine: I64, bucket_kind: I8, sizes: I64, max_keepers: int, lists: I64, links: I64, shared: I64, met: I64
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
    near: I64,
    set_of: I64,
    values: U64,
    offsets: I64,
    rank: I64,
    shared: I64,
    min_jaccard: float,
    evidence: F64,
) -> int:
    """The keeper of highest Jaccard similarity from `min_jaccard` up, ties by rank, with its evidence; or -1."""
    best, best_jaccard = -1, 0.0
    for other in near:
        a = values[offsets[set_of[doc]] : offsets[set_of[doc] + 1]]
        b = values[offsets[set_of[other]] : offsets[set_of[other] + 1]]
        common = _common(a, b)
        jaccard = common / (a.size + b.size - common)
        better = jaccard > best_jaccard or (jaccard == best_jaccard and rank[other] < rank[best])
        if jaccard >= min_jaccard and better:
            best, best_jaccard = other, jaccard
            evidence[doc, 0], evidence[doc, 1], evidence[doc, 2] = jaccard, common / a.size, shared[other]
    return best


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
def _enlist(doc: int, mine: I64, sizes: I64, max_keepers: int, lists: I64, links: I64, used: int) -> int:
    """Add a kept document at the end of its buckets' lists of keepers, as far as they are not full."""
    for bucket in mine:
        sizes[bucket] += 1
        if sizes[bucket] > max_keepers:
            continue
        links[used, 0], links[used, 1] = -1, doc
        if lists[bucket, 0] < 0:
            lists[bucket, 0] = used
        else:
            links[lists[bucket, 1], 0] = used
        lists[bucket, 1] = used
        used += 1
    return used
