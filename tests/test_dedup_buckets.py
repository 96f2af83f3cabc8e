"""Buckets: those with equal hashes meet, whatever the order of arrival and however spaces are split."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.dedup import Settings, buckets, keys

pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 40)), max_size=40, unique_by=lambda pair: pair[1])


def payload(entries: list[tuple[int, int]]) -> bytes:
    array = np.array(entries, np.uint64).reshape(-1, 2)
    return buckets.pack(array[:, 0], array[:, 1])


@given(pairs, st.randoms(), st.integers(1, 4))
def test_collisions_are_the_shared_hashes(entries: list[tuple[int, int]], random, num_payloads: int) -> None:  # type: ignore[no-untyped-def]
    groups = defaultdict(list)
    for pair in entries:
        groups[pair[0]].append(pair)
    expected = sorted(pair for group in groups.values() if len(group) > 1 for pair in group)
    random.shuffle(entries)
    found = buckets.collisions([payload(entries[i::num_payloads]) for i in range(num_payloads)])
    assert found == (payload(expected) if expected else None)


def test_nothing_in_nothing_out() -> None:
    assert buckets.collisions([]) is None
    assert buckets.collisions([b""]) is None
    with pytest.raises(ValueError, match="17 bytes"):
        buckets.unpack(b"x" * 17)


def docs() -> pa.Table:
    texts = ["a b c d e f", "A b c d e  f", "one two", None, "g h i j k l"]
    return pa.table(
        {
            "id": [f"{i}" for i in range(5)],
            "url": ["http://a/1", None, "http://a/1", "http://a/2", "books/x"],
            "text": pa.array(texts, pa.large_string()),
            "date": pa.nulls(5, pa.string()),
            "source": ["s"] * 5,
        }
    )


def members(sent: list[tuple[int, bytes]], partitions: int = 1) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for key, entry in sent:
        found[key // partitions] += buckets.unpack(entry)[1].tolist()
    return {space: sorted(refs) for space, refs in found.items()}


def test_entries_leave_out_nulls_and_the_rejected() -> None:
    config = Settings(bands=2, rows=2)
    part = keys.keys(docs(), config)
    sent = buckets.entries(part, 3, np.array([True, True, True, True, False]), config)
    refs = [(3 << 32) | row for row in range(5)]
    assert members(sent) == {0: refs[:4], 1: [refs[0], refs[2], refs[3]], 2: refs[:3], 3: refs[:2], 4: refs[:2]}
    collided = buckets.by_space((key, buckets.collisions([entry])) for key, entry in sent)
    assert members([(space, entry) for space, found in collided.items() for entry in found]) == {
        1: [refs[0], refs[2]],
        2: refs[:2],
        3: refs[:2],
        4: refs[:2],
    }


def test_settings_switch_spaces_off() -> None:
    config = Settings(url=False, exact=False, near=False)
    sent = buckets.entries(keys.keys(docs(), config), 0, np.ones(5, bool), config)
    assert [key for key, _ in sent] == [0]


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_partitions_split_a_space_by_hash(partitions: int) -> None:
    config = Settings(bands=2, rows=2)
    part = keys.keys(docs(), config)
    whole = buckets.entries(part, 1, np.ones(5, bool), config)
    split = buckets.entries(part, 1, np.ones(5, bool), config, partitions)
    assert members(split, partitions) == members(whole)
    for key, entry in split:
        assert (buckets.unpack(entry)[0] % np.uint64(partitions) == key % partitions).all()


def test_survives_must_fit() -> None:
    config = Settings()
    with pytest.raises(ValueError, match="4 values for 5 documents"):
        buckets.entries(keys.keys(docs(), config), 0, np.ones(4, bool), config)


def test_docrefs_name_part_and_row() -> None:
    refs = np.concatenate([buckets.docrefs(2, [5, 6]), buckets.docrefs(7, [1])])
    assert refs.dtype == np.uint64
    assert buckets.rows_of(refs, 2).tolist() == [5, 6]
    assert buckets.rows_of(refs, 7).tolist() == [1]
    assert buckets.rows_of(refs, 0).tolist() == []
