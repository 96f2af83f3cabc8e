"""Ids decide: what is held out, and who comes first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.failures import Failure
from trainer.splits import ids_as_words, in_validation

WORDS = st.integers(0, 2**64 - 1)


@given(numbers=st.lists(st.integers(0, 2**128 - 1), max_size=20))
def test_words_are_the_halves_of_the_id(numbers: list[int]) -> None:
    high, low = ids_as_words([f"{number:032x}" for number in numbers])
    assert [int(h) << 64 | int(w) for h, w in zip(high, low, strict=True)] == numbers


@pytest.mark.parametrize("name", ["", "abc", "g" * 32, "A" * 32, "0" * 33, " " * 32])
def test_what_is_no_id_is_named(name: str) -> None:
    with pytest.raises(Failure, match=f"document id '{name}' is not 32 hexadecimal digits"):
        ids_as_words(["0" * 32, name])


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), WORDS, WORDS), min_size=1, max_size=30),
    share=st.floats(0, 1) | st.sampled_from([0.0, 1.0, 1e-300, 0.5]),
)
def test_only_an_empty_side_is_filled(rows: list[tuple[int, int, int]], share: float) -> None:
    source = np.array([row[0] for row in rows])
    high, low = (np.array([row[n] for row in rows], np.uint64) for n in (1, 2))
    held = in_validation(source, high, low, share)
    by_hash = np.array([row[2] < share * 2**64 for row in rows])
    for number in set(source.tolist()):
        mine = source == number
        if share in (0, 1):
            assert held[mine].tolist() == [bool(share)] * mine.sum()
            continue
        assert not held[mine].all()
        assert held[mine].any() or mine.sum() == 1
        if by_hash[mine].any() and not by_hash[mine].all():
            assert np.array_equal(held[mine], by_hash[mine])
        else:
            assert (held[mine] != by_hash[mine]).sum() <= 1
