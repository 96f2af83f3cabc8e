"""Components: batches never cut one, hold no more than they may, and name whose text is needed."""

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from corpus.dedup.buckets import BANDS, EXACT
from corpus.dedup.components import Components

NUM_DOCUMENTS = 30
buckets = st.lists(
    st.tuples(
        st.sampled_from([0, 1, EXACT, BANDS, BANDS + 1]),
        st.lists(st.integers(0, NUM_DOCUMENTS - 1), min_size=2, max_size=6, unique=True).map(sorted),
    ),
    max_size=12,
)


def joined(drawn: list[tuple[int, list[int]]]) -> Components:
    found = Components(NUM_DOCUMENTS)
    for space in sorted({space for space, _ in drawn}):
        mine = [members for other, members in drawn if other == space]
        hashes = [number for number, members in enumerate(mine) for _ in members]
        found.join(space, np.array(hashes, np.uint64), np.array([doc for m in mine for doc in m], np.int64))
    return found


@given(buckets, st.integers(1, 20))
def test_a_bucket_is_never_cut_and_a_batch_holds_no_more_than_it_may(
    drawn: list[tuple[int, list[int]]], most: int
) -> None:
    batch = joined(drawn).batches(most)
    memberships: dict[int, int] = defaultdict(int)
    for _, members in drawn:
        [one] = {int(batch[doc]) for doc in members}
        memberships[one] += len(members)
    inside = {doc for _, members in drawn for doc in members}
    assert [doc for doc in range(NUM_DOCUMENTS) if batch[doc] >= 0] == sorted(inside)
    assert sorted(memberships) == list(range(len(memberships)))
    for number, size in memberships.items():
        roots = components([members for _, members in drawn if batch[members[0]] == number])
        assert size <= most or len(roots) == 1


def components(groups: list[list[int]]) -> list[set[int]]:
    found: list[set[int]] = []
    for group in groups:
        apart = [other for other in found if not other & set(group)]
        found = [*apart, set(group).union(*(other for other in found if other & set(group)))]
    return found


def test_of_equal_texts_the_first_alone_is_needed() -> None:
    found = joined([(EXACT, [3, 5, 7]), (BANDS, [3, 5, 7, 9]), (1, [1, 2])])
    assert np.flatnonzero(found.needed()).tolist() == [3, 9]
