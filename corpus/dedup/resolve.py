"""Which documents are kept: one sweep from the best to the worst.

A document is rejected when it matches one that is already kept, else it is kept and joins its buckets as a keeper. So
every rejected document points straight at a kept one, and it is compared with keepers only: a million copies cost one
comparison each, not half a billion pairs. What is kept is the lexicographically first maximal independent set, in
order of rank, of the graph of verified pairs: no union-find, whose chains reject documents unlike anything kept.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.dedup import Settings, buckets, shingles
from corpus.dedup.buckets import U64
from corpus.dedup.sweep import EXACT, F64, I8, I32, I64, NEAR, distribute, state, sweep, without_set

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
MAX_KEEPERS = 1000
Met = tuple[int, U64, U64]  # space, hashes or bucket numbers with equal ones side by side, docrefs


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
    max_keepers: int = MAX_KEEPERS,
) -> Outcome:
    """`decide` on payloads: `buckets.by_space`, the `ranks` of all parts, and the sets of `shingles.needed`."""
    met = ((space, *buckets.unpack(payload)) for space in sorted(collisions) for payload in collisions[space])
    with shingles.SetFile() as sets:
        sets.add(shingle_sets)
        return decide(met, ranks, sets, settings, max_keepers)


def decide(
    met: Iterable[Met],
    ranks: pa.Table,
    sets: shingles.SetFile,
    settings: Settings,
    max_keepers: int = MAX_KEEPERS,
) -> Outcome:
    """Decide among the candidates. Those of earlier runs are settled: keepers all of them, before any other.

    `met` comes in order of space and has at least whole connected components; `ranks` has every candidate; `sets` has
    those whose text is needed. At most the `max_keepers` best keepers of a bucket are compared. Raises ValueError where
    a candidate is in none of them, OSError where a set cannot be read.
    """
    ranks = ranks if _ascending(ranks) else ranks.sort_by("docref")
    refs = ranks["docref"].to_numpy()
    members = _memberships(met, refs)
    settled = buckets.settled(refs)
    order = _order(ranks, settings.keep)
    order = np.concatenate([order[settled[order]], order[~settled[order]]])
    texts = _codes(ranks["exact"])
    set_of = _set_of(sets.docrefs, refs, texts)
    if missing := without_set(set_of, *members):
        raise ValueError(f"shingle_sets: {missing} near candidates have none; it needs those of `shingles.needed`")
    keeper, kind = np.full(refs.size, -1, np.int32), np.full(refs.size, -1, np.int8)
    evidence = np.zeros((refs.size, 3))
    swept = state(order, members[2].size, members[1].size)
    sweep(order, settled, *members, _codes(ranks["id"]), texts, set_of, sets.reading(), settings.min_jaccard,
          max_keepers, swept, keeper, kind, evidence)  # fmt: skip
    if swept.counts[3]:
        raise OSError(f"{swept.counts[3]} sets of shingles could not be read from their temporary file")
    verdicts = _verdicts(ranks, keeper, kind, evidence)
    return Outcome(verdicts, int(swept.counts[0]), int(swept.counts[1]), refs[keeper[keeper >= 0]])


def _ascending(ranks: pa.Table) -> bool:
    refs = ranks["docref"].to_numpy()
    return bool((refs[1:] > refs[:-1]).all())


def _order(ranks: pa.Table, keep: tuple[str, ...]) -> I64:
    """Rows from best to worst: the policy, then id, then text, so that how documents were split never decides."""
    by: Any = [_ORDER[word] for word in keep] + [(name, "ascending") for name in ("id", "exact", "docref")]
    return np.asarray(pc.sort_indices(ranks, sort_keys=by), np.int64)  # nulls, what is not known, come last


def _codes(column: Any) -> I32:
    """Equal values, equal numbers; null is -1."""
    encoded = column.combine_chunks().dictionary_encode().indices
    return np.asarray(pc.fill_null(encoded, -1).to_numpy(), np.int32)


def _memberships(met: Iterable[Met], refs: U64) -> tuple[I64, I32, I8]:
    """Buckets of each document, by kind: those of document i are doc_buckets[doc_offsets[i]:doc_offsets[i + 1]].

    Documents count in `refs`. The third array is the kind of each bucket.
    """
    docs, ids, kinds, used = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)], [np.zeros(0, np.int8)], 0
    for space, hashes, members in met:
        if not hashes.size:
            continue
        number = np.cumsum(hashes[1:] != hashes[:-1], dtype=np.int32)
        docs.append(_positions(members, refs).astype(np.int32))
        ids.append(np.concatenate([np.zeros(1, np.int32), number]) + np.int32(used))
        kinds.append(np.full(int(number[-1] if number.size else 0) + 1, min(space, NEAR), np.int8))
        used += kinds[-1].size
    doc, bucket = np.concatenate(docs), np.concatenate(ids)
    doc_offsets = np.concatenate([[0], np.cumsum(np.bincount(doc, minlength=refs.size))]).astype(np.int64)
    doc_buckets = np.empty(bucket.size, np.int32)
    distribute(doc, bucket, doc_offsets[:-1].copy(), doc_buckets)
    return doc_offsets, doc_buckets, np.concatenate(kinds)


def _positions(members: U64, refs: U64) -> I64:
    at = np.minimum(np.searchsorted(refs, members), max(refs.size - 1, 0))
    if members.size and (not refs.size or (refs[at] != members).any()):
        raise ValueError("ranks: a candidate is missing; it needs a row for each of `candidates`")
    return at.astype(np.int64)


def _set_of(set_refs: U64, refs: U64, texts: I32) -> I32:
    """Which set each document has, by its text; -1: none."""
    of_text = np.full(int(texts.max(initial=-1)) + 2, -1, np.int32)  # the last one is for text -1, which has none
    known = np.isin(set_refs, refs)
    of_text[texts[_positions(set_refs[known], refs)]] = np.flatnonzero(known)
    of_text[-1] = -1
    return of_text[texts]


def _verdicts(ranks: pa.Table, keeper: I32, kind: I8, evidence: F64) -> pa.Table:
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
