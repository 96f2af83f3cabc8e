"""Resolving: the lexicographically first maximal independent set of the verified pairs, against a naive one."""

import os
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from corpus.dedup import Settings, buckets, keys, resolve, shingles

DOCS = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("text", pa.large_string()),
        ("date", pa.string()),
        ("source", pa.string()),
        ("score", pa.float64()),
    ]
)
words = st.lists(st.sampled_from("abcdefgh"), max_size=7).map(" ".join)
document = st.fixed_dictionaries(
    {
        "id": st.integers(0, 12).map(lambda i: f"id{i:02d}"),
        "url": st.none() | st.integers(0, 8).map(lambda i: f"http://h/{i}"),
        "text": words,
        "date": st.none() | st.sampled_from(["2020", "2021-05"]),
        "source": st.sampled_from(["web", "book", "other"]),
        "score": st.none() | st.sampled_from([0.1, 0.9]),
    }
)
policy = st.lists(st.sampled_from(["score", "length", "date_oldest", "source"]), max_size=3, unique=True).map(tuple)


def run(docs: pa.Table, config: Settings, **options: Any) -> resolve.Outcome:
    part = keys.keys(docs, config)
    entries = buckets.entries(part, 0, np.ones(docs.num_rows, bool), config)
    collided = buckets.by_space((key, buckets.collisions([payload])) for key, payload in entries)
    ranks = resolve.ranks(part, 0, resolve.candidates(collided))
    needed = shingles.needed(collided, ranks)
    texts = docs["text"].take(buckets.rows_of(needed, 0))
    return resolve.resolve(collided, ranks, shingles.measure(texts, needed, config.shingle_words), config, **options)


def naive(docs: pa.Table, config: Settings) -> list[dict[str, Any]]:
    """The same by comparing every document with every kept one."""
    rows = keys.keys(docs, config).to_pylist()
    sets = [set(text.split()) for text in docs["text"].to_pylist()]
    directions = {"score": ("score", -1), "length": ("length", -1), "date_newest": ("date", -1)}
    directions |= {"date_oldest": ("date", 1), "source": ("source_rank", 1)}
    order = list(range(len(rows)))
    for column, sign in reversed([*(directions[word] for word in config.keep), ("id", 1), ("exact", 1)]):
        known = [i for i in order if rows[i][column] is not None]
        known.sort(key=lambda i: rows[i][column], reverse=sign < 0)  # stable in either direction
        order = known + [i for i in order if rows[i][column] is None]
    kept: list[int] = []
    verdicts = {}
    for i in order:
        verdict = naive_verdict(i, kept, rows, sets, config)
        if verdict is None:
            kept.append(i)
        else:
            verdicts[i] = verdict
    return [{"docref": i, "id": rows[i]["id"], **verdicts[i]} for i in sorted(verdicts)]


def naive_verdict(
    i: int, kept: list[int], rows: list[dict[str, Any]], sets: list[set[str]], config: Settings
) -> dict[str, Any] | None:
    for kind, column, asked in (("record", "id", True), ("url", "url", config.url), ("exact", "exact", config.exact)):
        for k in kept:
            if asked and rows[i][column] is not None and rows[i][column] == rows[k][column]:
                similarity = 1.0 if kind == "exact" else None
                evidence = {"jaccard": similarity, "containment": similarity, "bands": None}
                return {"kind": kind, "kept_id": rows[k]["id"], **evidence}
    best: dict[str, Any] | None = None
    for k in kept if config.near else []:
        both = (rows[i]["bands"] or [], rows[k]["bands"] or [])
        shared = sum(a == b for a, b in zip(*both, strict=False))
        if not shared:
            continue
        common = len(sets[i] & sets[k])
        jaccard = common / len(sets[i] | sets[k])
        if jaccard >= config.min_jaccard and (best is None or jaccard > best["jaccard"]):
            evidence = {"jaccard": jaccard, "containment": common / len(sets[i]), "bands": shared}
            best = {"kind": "near", "kept_id": rows[k]["id"], **evidence}
    return best


@given(st.lists(document, max_size=25), policy, st.sampled_from([0.3, 0.5, 1.0]), st.tuples(*[st.booleans()] * 3))
@hypothesis_settings(max_examples=300, deadline=None)
def test_equals_the_naive_way(
    rows: list[dict[str, Any]], keep: tuple[str, ...], min_jaccard: float, on: tuple[bool, bool, bool]
) -> None:
    url, exact, near = on
    config = Settings(
        url=url,
        exact=exact,
        near=near,
        shingle_words=1,
        bands=6,
        rows=1,
        min_jaccard=min_jaccard,
        keep=keep,
        source_priority=("book", "web"),
    )
    docs = pa.Table.from_pylist(rows, schema=DOCS)
    outcome = run(docs, config)
    assert outcome.verdicts.schema == resolve.VERDICTS
    assert outcome.verdicts.to_pylist() == naive(docs, config)
    assert outcome.capped == 0
    if len({row["id"] for row in rows}) == len(rows):
        rejected = set(outcome.verdicts["id"].to_pylist())
        assert not rejected & set(outcome.verdicts["kept_id"].to_pylist())  # stars, no chains


def texts(*values: str, **columns: list[Any]) -> pa.Table:
    rows: list[dict[str, Any]] = [{"id": f"{i}", "text": text, "source": "s"} for i, text in enumerate(values)]
    for name, column in columns.items():
        for row, value in zip(rows, column, strict=True):
            row[name] = value
    return pa.Table.from_pylist(rows, schema=DOCS)


LOOSE = Settings(shingle_words=1, bands=8, rows=1, min_jaccard=0.6)


def kept(docs: pa.Table, config: Settings) -> dict[str, str]:
    verdicts = run(docs, config).verdicts
    return dict(zip(verdicts["id"].to_pylist(), verdicts["kept_id"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("keep", "best"),
    [
        (("score",), "1"),
        (("length",), "2"),
        (("date_newest",), "3"),
        (("date_oldest",), "0"),
        (("source",), "4"),
        ((), "0"),
    ],
)
def test_policy_chooses_the_keeper(keep: tuple[str, ...], best: str) -> None:
    docs = texts(
        *["a b c", "a b c", "a  b  c", "a b c", "a b c", "a b c"],
        score=[0.1, 0.9, None, 0.2, 0.3, None],
        date=["2019", "2020", "2021", "2022-03-01", "2020", None],
        source=["web", "web", "web", "web", "book", "web"],
    )
    config = Settings(keep=keep, source_priority=("book",))
    assert kept(docs, config) == {str(i): best for i in range(6) if str(i) != best}


def test_no_chains() -> None:
    # A ~ B ~ C but A and C share too little: B falls to A, and C, which matches only the rejected B, is kept.
    docs = texts("a b c d e f g h", "a b c d e f g h i j k", "d e f g h i j k")
    assert kept(docs, Settings(shingle_words=1, bands=40, rows=1, min_jaccard=0.7, keep=())) == {"1": "0"}


def test_the_most_similar_keeper_is_named() -> None:
    docs = texts("a b c d e f g h i j", "a b c d e f x y z w", "a b c d e f x y z i")
    [verdict] = run(docs, Settings(shingle_words=1, bands=40, rows=1, min_jaccard=0.5, keep=())).verdicts.to_pylist()
    assert (verdict["id"], verdict["kept_id"], verdict["jaccard"]) == ("2", "1", 9 / 11)
    assert verdict["containment"] == 0.9


def test_a_million_copies_would_cost_one_comparison_each() -> None:
    base = [f"w{i}" for i in range(50)]
    copies = [" ".join([*base[:i], "x", *base[i + 1 :]]) for i in range(50)]
    outcome = run(texts(" ".join(base), *copies), Settings(shingle_words=1, bands=30, rows=2, keep=()))
    assert outcome.verdicts["kept_id"].to_pylist() == ["0"] * 50
    assert outcome.compared == 50


def crafted(sets: list[list[int]]) -> tuple[dict[int, list[bytes]], pa.Table, pa.Table]:
    """Documents that all share one band, with given sets."""
    part = keys.keys(texts(*[f"t{i}" for i in range(len(sets))]), LOOSE)
    refs = buckets.docrefs(0, range(len(sets)))
    collided = {3: [buckets.pack(np.full(len(sets), 7, np.uint64), refs)]}
    column = pa.array(sets, pa.large_list(pa.uint64()))
    return collided, resolve.ranks(part, 0, refs), pa.Table.from_arrays([pa.array(refs), column], shingles.SCHEMA.names)


def test_a_crowded_bucket_is_capped_and_counted() -> None:
    collided, ranks, sets = crafted([[1, 2], [3, 4], [5, 6], [5, 6], [1, 2]])
    free = resolve.resolve(collided, ranks, sets, LOOSE)
    assert (free.verdicts["id"].to_pylist(), free.capped) == (["3", "4"], 0)
    capped = resolve.resolve(collided, ranks, sets, LOOSE, max_keepers=2)
    assert (capped.verdicts["id"].to_pylist(), capped.capped) == (["4"], 2)
    assert capped.compared == 0 + 1 + 2 + 2 + 2


def test_what_is_missing_is_named() -> None:
    collided, ranks, sets = crafted([[1, 2], [1, 2], [3]])
    with pytest.raises(ValueError, match="ranks: a candidate is missing"):
        resolve.resolve(collided, ranks.slice(1), sets, LOOSE)
    with pytest.raises(ValueError, match="shingle_sets: 1 near candidates have none"):
        resolve.resolve(collided, ranks, sets.slice(0, 2), LOOSE)
    shuffled = resolve.resolve(collided, ranks.take([2, 0, 1]), sets.take([1, 2, 0]), LOOSE)
    assert shuffled.verdicts.equals(resolve.resolve(collided, ranks, sets, LOOSE).verdicts)


def test_sets_that_cannot_be_read_are_an_error() -> None:
    collided, ranks, table = crafted([[1, 2], [1, 2]])
    met = [(3, *buckets.unpack(collided[3][0]))]
    with shingles.SetFile() as sets:
        sets.add(table)
        assert resolve.decide(met, ranks, sets, LOOSE).verdicts.num_rows == 1
        os.ftruncate(sets.reading().file, 8)
        with pytest.raises(OSError, match="2 sets of shingles could not be read"):
            resolve.decide(met, ranks, sets, LOOSE)


def test_equal_hashes_of_unequal_texts_are_no_duplicates() -> None:
    part = keys.keys(texts("one", "two"), LOOSE)
    refs = buckets.docrefs(0, range(2))
    same = buckets.pack(np.full(2, 7, np.uint64), refs)
    empty = shingles.SCHEMA.empty_table()
    outcome = resolve.resolve({0: [same], 2: [same]}, resolve.ranks(part, 0, refs), empty, LOOSE)
    assert outcome.verdicts.num_rows == 0


def test_copies_are_read_once() -> None:
    docs = texts("a b c d", "A B C D", "a b c e")
    part = keys.keys(docs, LOOSE)
    entries = buckets.entries(part, 0, np.ones(3, bool), LOOSE)
    collided = buckets.by_space((key, buckets.collisions([payload])) for key, payload in entries)
    ranks = resolve.ranks(part, 0, resolve.candidates(collided))
    assert shingles.needed(collided, ranks).tolist() == [0, 2]
