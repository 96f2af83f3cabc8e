"""Which documents are kept: one sweep from the best to the worst.

A document is rejected when it matches one that is already kept, else it is kept and joins its buckets as a keeper. So
every rejected document points straight at a kept one, and it is compared with keepers only: a million copies cost one
comparison each, not half a billion pairs. What is kept is the lexicographically first maximal independent set, in
order of rank, of the graph of verified pairs: no union-find, whose chains reject documents unlike anything kept.
"""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.dedup import Settings, buckets, shingles
from corpus.dedup.buckets import U64
from corpus.dedup.sweep import EXACT, F64, I8, I64, NEAR, sweep

KINDS = ("record", "url", "exact", "near")
_FIELDS: list[tuple[str, pa.DataType]] = [
    ("docref", pa.uint64()),
    ("id", pa.string()),
    ("kind", pa.string()),  # record | url | exact | near
    ("kept_id", pa.string()),
    ("jaccard", pa.float64()),  # exact and near
    ("containment", pa.float64()),  # share of the rejected document's shingles that the kept one has
    ("bands", pa.int32()),  # near: bands that the two share
]
VERDICTS = pa.schema(_FIELDS)
RANKS = ("id", "exact", "score", "length", "date", "source_rank")
_ORDER = {
    "score": ("score", "descending"),
    "length": ("length", "descending"),
    "date_newest": ("date", "descending"),
    "date_oldest": ("date", "ascending"),
    "source": ("source_rank", "ascending"),
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Verdicts, one row of `VERDICTS` per rejected document in order of docref, and what the sweep cost."""

    verdicts: pa.Table
    compared: int  # pairs whose Jaccard similarity was computed
    capped: int  # documents that met a bucket with more than `max_keepers` keepers and were not compared with all
    keepers: U64 = dataclasses.field(default_factory=lambda: np.zeros(0, np.uint64))  # docref of each row's kept_id


def candidates(collisions: dict[int, list[bytes]]) -> U64:
    """Docrefs, sorted, of every document that shares a hash with another."""
    refs = [buckets.unpack(payload)[1] for payloads in collisions.values() for payload in payloads]
    return np.unique(np.concatenate(refs)) if refs else np.zeros(0, np.uint64)


def ranks(keys: pa.Table, part_index: int, candidates: U64) -> pa.Table:
    """The rows of a part's keys that `candidates` name, with their docrefs; concatenate those of all parts."""
    rows = buckets.rows_of(candidates, part_index)
    taken = keys.select(list(RANKS)).take(rows)
    return taken.append_column("docref", pa.array(buckets.docrefs(part_index, rows), pa.uint64()))


def resolve(
    collisions: dict[int, list[bytes]],
    ranks: pa.Table,
    shingle_sets: pa.Table,
    settings: Settings,
    max_keepers: int = 1000,
) -> Outcome:
    """Decide among the candidates. Those of earlier runs are settled: keepers all of them, before any other.

    `collisions` are `buckets.by_space`; `ranks` has every candidate (`ranks` of all parts); `shingle_sets` has those
    that `shingles.needed` names. At most the `max_keepers` best keepers of a bucket are compared. Raises ValueError
    where a candidate is in none of them.
    """
    ranks = ranks.sort_by("docref")
    refs = ranks["docref"].to_numpy()
    doc_offsets, doc_buckets, bucket_kind = _memberships(collisions, refs)
    settled = buckets.settled(refs)
    order = _order(ranks, settings.keep)
    order = np.concatenate([order[settled[order]], order[~settled[order]]])
    texts = _codes(ranks["exact"])
    set_of, values, offsets = _sets(shingle_sets, refs, texts)
    _check_sets(set_of, doc_offsets, doc_buckets, bucket_kind)
    keeper, kind = np.full(refs.size, -1, np.int64), np.full(refs.size, -1, np.int8)
    evidence, counts = np.zeros((refs.size, 3)), np.zeros(2, np.int64)
    members = (order, settled, doc_offsets, doc_buckets, bucket_kind, _codes(ranks["id"]), texts)
    out = (keeper, kind, evidence, counts)
    sweep(*members, set_of, values, offsets, settings.min_jaccard, max_keepers, *out)
    verdicts = _verdicts(ranks, keeper, kind, evidence)
    return Outcome(verdicts, int(counts[0]), int(counts[1]), refs[keeper[keeper >= 0]])


def _order(ranks: pa.Table, keep: tuple[str, ...]) -> I64:
    """Rows from best to worst: the policy, then id, then text, so that how documents were split never decides."""
    by: Any = [_ORDER[word] for word in keep] + [(name, "ascending") for name in ("id", "exact", "docref")]
    return np.asarray(pc.sort_indices(ranks, sort_keys=by), np.int64)  # nulls, what is not known, come last


def _codes(column: Any) -> I64:
    """Equal values, equal numbers; null is -1."""
    encoded = column.combine_chunks().dictionary_encode().indices
    return np.asarray(pc.fill_null(encoded, -1).to_numpy(), np.int64)


def _memberships(collisions: dict[int, list[bytes]], refs: U64) -> tuple[I64, I64, I8]:
    """Buckets of each document, by kind: those of document i are doc_buckets[doc_offsets[i]:doc_offsets[i + 1]].

    Documents count in `refs`. The third array is the kind of each bucket.
    """
    docs, ids, kinds, used = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int8)], 0
    for space in sorted(collisions):
        pairs = [buckets.unpack(payload) for payload in collisions[space]]
        hashes, members = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
        number = np.unique(hashes, return_inverse=True)[1].astype(np.int64)
        docs.append(_positions(members, refs))
        ids.append(number + used)
        kinds.append(np.full(int(number.max()) + 1, min(space, NEAR), np.int8))
        used += kinds[-1].size
    doc, bucket = np.concatenate(docs), np.concatenate(ids)
    doc_offsets = np.concatenate([[0], np.cumsum(np.bincount(doc, minlength=refs.size))]).astype(np.int64)
    return doc_offsets, bucket[np.argsort(doc, kind="stable")], np.concatenate(kinds)


def _positions(members: U64, refs: U64) -> I64:
    at = np.minimum(np.searchsorted(refs, members), max(refs.size - 1, 0))
    if members.size and (not refs.size or (refs[at] != members).any()):
        raise ValueError("ranks: a candidate is missing; it needs a row for each of `candidates`")
    return at.astype(np.int64)


def _sets(shingle_sets: pa.Table, refs: U64, texts: I64) -> tuple[I64, U64, I64]:
    """Which set each document has (-1: none), by its text; and the sets."""
    set_refs, values, offsets = shingles.arrays(shingle_sets)
    of_text = np.full(int(texts.max(initial=-1)) + 2, -1, np.int64)  # the last one is for text -1, which has none
    known = np.isin(set_refs, refs)
    of_text[texts[_positions(set_refs[known], refs)]] = np.flatnonzero(known)
    of_text[-1] = -1
    return of_text[texts], values, offsets


def _check_sets(set_of: I64, doc_offsets: I64, doc_buckets: I64, bucket_kind: I8) -> None:
    near = np.repeat(np.arange(set_of.size), np.diff(doc_offsets))[bucket_kind[doc_buckets] == NEAR]
    missing = np.unique(near[set_of[near] < 0]).size
    if missing:
        raise ValueError(f"shingle_sets: {missing} near candidates have none; it needs those of `shingles.needed`")


def _verdicts(ranks: pa.Table, keeper: I64, kind: I8, evidence: F64) -> pa.Table:
    rows = np.flatnonzero(keeper >= 0)
    kinds, found = kind[rows], evidence[rows]
    rejected, kept = ranks.take(rows), ranks["id"].take(keeper[rows])
    textual, near = kinds >= EXACT, kinds == NEAR
    columns: Any = [
        rejected["docref"],
        rejected["id"],
        pa.array(KINDS, pa.string()).take(kinds),
        kept,
        pa.array(found[:, 0], mask=~textual),
        pa.array(found[:, 1], mask=~textual),
        pa.array(found[:, 2].astype(np.int32), mask=~near),
    ]
    return pa.Table.from_arrays(columns, schema=VERDICTS)
