"""The order is arithmetic: every row once, shares kept at every moment, the same for any number of ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.failures import UsageFailure
from trainer.order import Order, keyed, permuted, shares

SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any)
SEEDS = st.integers(0, 2**64 - 1)
RANKS = st.sampled_from([1, 2, 3, 4, 5, 7, 8])
HUGE = 10**12


def pairs(rows: tuple[np.ndarray, np.ndarray]) -> list[tuple[int, int]]:
    return list(zip(rows[0].tolist(), rows[1].tolist(), strict=True))


@st.composite
def weighted(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    """Sources with rows, some of them left out."""
    sizes = draw(st.lists(st.integers(1, 30), min_size=1, max_size=6))
    weights = draw(
        st.lists(st.sampled_from([0.0, 0.001, 0.1, 1.0, 3.0, 7.5]), min_size=len(sizes), max_size=len(sizes))
    )
    return sizes, weights if any(weights) else [1.0] * len(sizes)


@given(n=st.integers(1, 3000), seed=SEEDS)
def test_a_permutation_meets_every_number_once(n: int, seed: int) -> None:
    found = permuted(np.arange(n), np.int64(n), keyed(seed))
    assert np.array_equal(np.sort(found), np.arange(n))


def test_permutations_of_several_sizes_are_those_of_each() -> None:
    index, n, key = np.array([0, 3, 999, HUGE - 1, 3]), np.array([1, 5, 1000, HUGE, 5]), keyed(7, np.arange(5))
    alone = [permuted(index[[j]], n[[j]], key[[j]])[0] for j in range(5)]
    assert permuted(index, n, key).tolist() == alone


def test_permutations_look_drawn_by_chance() -> None:
    """Each number in each place about equally often, and no pull between neighbours."""
    n, seeds = 12, 6000
    found = np.stack([permuted(np.arange(n), np.int64(n), keyed(seed)) for seed in range(seeds)])
    counts = np.stack([np.bincount(found[:, place], minlength=n) for place in range(n)])
    chi2 = ((counts - seeds / n) ** 2 / (seeds / n)).sum()
    assert chi2 < 121 + 4 * np.sqrt(2 * 121)  # (n - 1)**2 degrees of freedom, 4 standard deviations
    large = permuted(np.arange(100_000), np.int64(100_000), keyed(1)).astype(float)
    assert abs(np.corrcoef(large[:-1], large[1:])[0, 1]) < 4 / np.sqrt(100_000)
    assert abs(np.corrcoef(large, np.arange(100_000))[0, 1]) < 4 / np.sqrt(100_000)


def test_the_order_of_a_seed_never_changes() -> None:
    """Written down once: a stored run must be resumed by any later version."""
    assert pairs(Order([5, 7, 3], None, 6, 1).rows_at(2, 0, 1)) == [(2, 1), (1, 6), (0, 3), (2, 1), (0, 2), (1, 5)]
    assert pairs(Order([5, 7, 3], [1, 2, 1], 6, 1).rows_at(2, 0, 1)) == [(1, 0), (2, 0), (0, 2), (1, 6), (1, 1), (2, 1)]


@given(sizes=SIZES, seed=SEEDS, batch=st.integers(1, 50), epoch=st.integers(0, 3))
def test_without_weights_an_epoch_is_every_row_once(sizes: list[int], seed: int, batch: int, epoch: int) -> None:
    order = Order(sizes, None, batch, seed)
    found = pairs(order.rows_between(epoch * sum(sizes), (epoch + 1) * sum(sizes)))
    assert sorted(found) == [(source, row) for source, size in enumerate(sizes) for row in range(size)]


@given(sizes=SIZES, seed=SEEDS, batch=st.integers(1, 50), step=st.integers(0, 10**6), ranks=RANKS, mixed=st.booleans())
def test_ranks_divide_a_step_without_changing_it(
    sizes: list[int], seed: int, batch: int, step: int, ranks: int, mixed: bool
) -> None:
    order = Order(sizes, [float(size) + bool(size) for size in sizes] if mixed else None, batch, seed)
    alone = pairs(order.rows_at(step, 0, 1))
    blocks = [pairs(order.rows_at(step, rank, ranks)) for rank in range(ranks)]
    assert [row for block in blocks for row in block] == alone
    assert len(alone) == batch
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1


@given(case=weighted(), seed=SEEDS, start=st.integers(0, 10**5), cut=st.integers(0, 200))
def test_a_mixture_is_the_same_read_in_any_pieces(
    case: tuple[list[int], list[float]], seed: int, start: int, cut: int
) -> None:
    order = Order(*case, 1, seed)
    whole = pairs(order.rows_between(start, start + 200))
    assert pairs(order.rows_between(start, start + cut)) + pairs(order.rows_between(start + cut, start + 200)) == whole


@given(case=weighted(), seed=SEEDS)
def test_a_mixture_keeps_its_shares_at_every_moment(case: tuple[list[int], list[float]], seed: int) -> None:
    sizes, weights = case
    source, _ = Order(sizes, weights, 1, seed).rows_between(0, 500)
    read = np.cumsum(source[:, None] == np.arange(len(sizes)), axis=0)
    wanted = np.arange(1, 501)[:, None] * np.array(weights) / sum(weights)
    assert np.abs(read - wanted).max() <= len(sizes)
    assert not read[:, np.array(weights) == 0].any()


@given(case=weighted(), seed=SEEDS)
def test_in_a_mixture_each_source_is_walked_through_pass_by_pass(
    case: tuple[list[int], list[float]], seed: int
) -> None:
    sizes, weights = case
    source, row = Order(sizes, weights, 1, seed).rows_between(0, 400)
    for number, size in enumerate(sizes):
        walk = row[source == number]
        for start in range(0, len(walk) - size + 1, size):
            assert sorted(walk[start : start + size]) == list(range(size))


@pytest.mark.parametrize("weights", [None, [0.3, 0.699999, 0.000001]])
def test_a_huge_corpus_needs_no_memory(weights: list[float] | None) -> None:
    order = Order([HUGE, 3 * HUGE, 2], weights, 64, 5)
    for step in (0, 10**9, 10**9 + 1):
        source, row = order.rows_at(step, 0, 1)
        assert len(row) == 64
        assert (row >= 0).all()
        assert (row < np.array([HUGE, 3 * HUGE, 2])[source]).all()
    late = order.rows_between(10**12, 10**12 + 4000)
    assert len(set(pairs(late))) == 4000


def test_seeds_differ_and_epochs_differ() -> None:
    first, other = (pairs(Order([50], None, 50, seed).rows_at(0, 0, 1)) for seed in (0, 1))
    assert first != other
    assert pairs(Order([50], None, 50, 0).rows_at(1, 0, 1)) != first


def test_what_cannot_be_ordered() -> None:
    with pytest.raises(UsageFailure, match="no row to train on"):
        Order([0, 0], None, 4, 0)
    with pytest.raises(UsageFailure, match="sequence_length"):
        Order([3], None, 0, 0)
    with pytest.raises(UsageFailure, match="2 sources need a weight"):
        Order([3, 3], [1.0], 4, 0)
    with pytest.raises(UsageFailure, match="source 1 has a weight but no row"):
        Order([3, 0], [1.0, 1.0], 4, 0)


def test_shares_of_patterns_are_divided_by_rows() -> None:
    assert shares(["web/a", "web/b", "books"], [30, 10, 5], {"web/*": 0.8, "books": 0.2}) == [0.6, 0.2, 0.2]
    assert shares(["web/a", "web/b", "books"], [30, 10, 5], {"web/b": 1, "*": 7}) == [6, 1, 1]
    assert shares(["web/a", "books"], [30, 5], {"books": 2}) == [0, 2]
    assert shares(["web/a", "books"], [30, 5], {}) is None


def test_a_pattern_that_names_nothing_is_an_error() -> None:
    with pytest.raises(UsageFailure, match=r"data.mixture: 'bokks' .* sources: web, books"):
        shares(["web", "books"], [3, 5], {"web": 1, "bokks": 2})
    with pytest.raises(UsageFailure, match="'books' names no source with text"):
        shares(["web", "books"], [3, 0], {"web": 1, "books": 2})
