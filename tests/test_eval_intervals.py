"""Intervals cover what they should, are the same every time, and agree with scikit-learn's figures."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.chance import Chance, indices
from eval.detection import detection
from eval.intervals import by_unit, mean, paired_difference, paired_ratio_difference, ratio, resampled_sums, statistic
from eval.intervals import wilson as wilson_interval

metrics = pytest.importorskip("sklearn.metrics", reason="the reference for detection figures")


def test_draws_are_uniform_and_do_not_depend_on_the_block_they_are_asked_in() -> None:
    whole = indices(3, 0, (40, 7), 7)
    assert (np.concatenate([indices(3, 0, (13, 7), 7), indices(3, 13, (27, 7), 7)]) == whole).all()
    counts = np.bincount(indices(0, 0, (1000, 50), 50).ravel(), minlength=50)
    assert ((counts - 1000) ** 2 / 1000).sum() < 85  # chi-square of 49 degrees: p = 0.001
    assert not (indices(1, 0, (5, 9), 9) == indices(2, 0, (5, 9), 9)).all()


def test_the_bootstrap_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        found = mean(rng.exponential(size=60), draws=300, seed=trial)
        hits += found.low <= 1 <= found.high
    assert 0.88 <= hits / 300 <= 0.98  # percentile intervals are a little short on 60 skewed values


def test_a_ratio_is_of_sums_and_units_stay_together() -> None:
    nats, size = np.array([1.0, 30.0, 2.0]), np.array([10.0, 10.0, 20.0])
    found = ratio(nats, size, seed=1)
    assert found.value == pytest.approx(33 / 40)
    assert found.low >= (1 / 10) - 1e-12
    assert found.high <= 3 + 1e-12
    assert ratio(size * 0.5, size).high == pytest.approx(0.5)  # numerator and denominator are drawn together
    assert math.isnan(ratio([], []).value)
    assert mean([]).units == 0


def test_pairing_cancels_what_units_share() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 10, 200)
    found = paired_difference(hard + 0.1 + rng.normal(0, 0.1, 200), hard)
    assert found.excludes_zero()
    assert found.high - found.low < 0.05
    size = np.full(200, 4.0)
    same = paired_ratio_difference(hard, size, hard, size)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    with pytest.raises(ValueError, match="cannot be paired"):
        resampled_sums([[1, 2], [1]])


def test_any_statistic_gives_what_the_vectorised_ones_give() -> None:
    values = np.arange(20.0) ** 2
    slow = statistic(20, lambda chosen: float(values[chosen].mean()), draws=200, seed=5)
    fast = mean(values, draws=200, seed=5)
    assert (slow.value, slow.low, slow.high) == pytest.approx((fast.value, fast.low, fast.high))


def test_rows_of_one_document_are_one_unit() -> None:
    over, under = by_unit(["b", "a", "b"], [1, 2, 3], [1, 1, 1])
    assert over.tolist() == [4, 2]
    assert under.tolist() == [2, 1]


def test_wilson_against_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263 and 15 of 148, and 0 of 20.
    for successes, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        found = wilson_interval(successes, trials)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert math.isnan(wilson_interval(0, 0).value)


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, 30, elements=st.sampled_from([0.0, 0.1, 0.5, 0.9])),
    hnp.arrays(np.bool_, 30).filter(lambda x: x.any() and not x.all()),
)
def test_detection_agrees_with_scikit_learn_ties_included(scores: np.ndarray, labels: np.ndarray) -> None:
    found = detection(scores, labels, max_false_positives=0.2, draws=3)
    assert found.auroc.value == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert found.auprc.value == pytest.approx(metrics.average_precision_score(labels, scores))
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    assert found.recall.value == pytest.approx(tpr[fpr <= 0.2 + 1e-12].max())


def test_detection_has_intervals_and_says_where_there_is_nothing() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(400) < 40
    found = detection(rng.normal(size=400) + labels, labels, draws=300)
    assert found.auroc.low < found.auroc.value < found.auroc.high
    assert 0.68 < found.auroc.value < 0.86  # d' = 1 gives 0.76
    perfect = detection(labels, labels)
    assert (perfect.precision.value, perfect.auprc.low, perfect.recall.low) == (1, 1, 1)
    assert detection([1, 1, 1, 1], [1, 0, 0, 0]).precision.value == pytest.approx(0.25)  # all equal: its share
    assert detection([3, 2, 1, 0], [1, 0, 1, 0], k=3).precision.value == pytest.approx(2 / 3)
    assert math.isnan(detection([1, 2], [False, False]).auroc.value)
    with pytest.raises(ValueError, match="not numbers"):
        detection([1, math.nan], [True, False])


def test_chance_depends_on_its_keys_alone() -> None:
    assert Chance("a", 1).shuffled(range(9)) == Chance("a", 1).shuffled(range(9))
    assert Chance("a", 1).shuffled(range(9)) != Chance("a", 2).shuffled(range(9))
    assert Chance("ab", "c").below(1 << 60) != Chance("a", "bc").below(1 << 60)
    assert sorted(Chance(0).shuffled(range(9))) == list(range(9))
    assert all(0 <= Chance(n).real() < 1 for n in range(50))
    assert Chance(1).sample([1], 5) == [1]
