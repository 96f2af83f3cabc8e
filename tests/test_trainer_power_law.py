"""A law that was planted is found again; one that the runs cannot tell is called so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.failures import UsageFailure
from trainer.power_law import Law, advise, fit, interval

SIZES = np.geomspace(2e5, 2e7, 4)
TOKENS = np.geomspace(1e6, 1e8, 4)


def grid(sizes: np.ndarray = SIZES, tokens: np.ndarray = TOKENS) -> tuple[np.ndarray, np.ndarray]:
    size, data = np.meshgrid(sizes, tokens)
    return size.ravel(), data.ravel()


def noisy(law: Law, size: np.ndarray, data: np.ndarray, share: float, seed: int) -> np.ndarray:
    losses: np.ndarray = law.loss(size, data) * np.exp(share * np.random.default_rng(seed).standard_normal(size.size))
    return losses


@settings(max_examples=12, deadline=None)
@given(
    alpha=st.floats(0.2, 0.6),
    beta=st.floats(0.2, 0.6),
    floor=st.floats(0.5, 1.5),
    at_smallest=st.tuples(st.floats(0.3, 2.0), st.floats(0.3, 2.0)),
)
def test_planted_law_is_found(alpha: float, beta: float, floor: float, at_smallest: tuple[float, float]) -> None:
    law = Law(floor, at_smallest[0] * SIZES[0] ** alpha, alpha, at_smallest[1] * TOKENS[0] ** beta, beta)
    size, data = grid()
    found = fit(size, data, law.loss(size, data)).law
    assert [found.alpha, found.beta, found.E] == pytest.approx([alpha, beta, floor], rel=0.02)
    assert found.best(1e16) == pytest.approx(law.best(1e16), rel=0.05)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    law, held = Law(0.9, 120.0, 0.34, 60.0, 0.28), []
    for seed in range(10):
        size, data = grid()
        found = fit(size, data, noisy(law, size, data, 0.003, seed))
        for name in ("alpha", "beta", "E"):
            bounds = found.interval(name)
            held.append(bounds.low <= getattr(law, name) <= bounds.high)
            assert bounds.low <= bounds.value <= bounds.high
    assert np.mean(held) >= 0.7  # 0.9 is meant; thirty draws of three dependent numbers scatter


def test_one_wild_run_moves_little() -> None:
    law = Law(0.9, 120.0, 0.34, 60.0, 0.28)
    size, data = grid()
    losses = law.loss(size, data)
    losses[5] *= 1.3
    found = fit(size, data, losses).law
    assert [found.alpha, found.beta] == pytest.approx([0.34, 0.28], abs=0.05)


def test_best_is_the_least_on_its_budget() -> None:
    law = Law(0.9, 120.0, 0.34, 60.0, 0.28)
    size, data = law.best(1e17)
    assert 6 * size * data == pytest.approx(1e17)
    for factor in (0.9, 1.1):
        assert law.loss(size * factor, data / factor) > law.loss(size, data)


def test_same_runs_give_the_same_bits() -> None:
    law = Law(0.9, 120.0, 0.34, 60.0, 0.28)
    size, data = grid()
    losses = noisy(law, size, data, 0.003, 1)
    assert fit(size, data, losses) == fit(size, data, losses)


@pytest.mark.parametrize(
    ("sizes", "tokens", "share", "said"),
    [
        (SIZES[:2], TOKENS, 0.0, "alpha is not identified: 2 different sizes"),
        (SIZES, TOKENS[:2], 0.0, "beta is not identified: 2 different token counts"),
        (np.geomspace(1e6, 1.3e6, 4), TOKENS, 0.01, " is not identified: "),
        (SIZES[:3], TOKENS[:2], 0.0, "no intervals: 6 runs"),
    ],
)
def test_what_cannot_be_told_is_said(sizes: np.ndarray, tokens: np.ndarray, share: float, said: str) -> None:
    law = Law(0.9, 120.0, 0.34, 60.0, 0.28)
    size, data = grid(sizes, tokens)
    assert any(said in doubt for doubt in fit(size, data, noisy(law, size, data, share, 0)).doubts)


def test_good_runs_raise_no_doubt_and_advice_has_intervals() -> None:
    law = Law(0.9, 120.0, 0.34, 60.0, 0.28)
    size, data = grid()
    found = fit(size, data, noisy(law, size, data, 0.002, 0))
    assert found.doubts == ()
    advice = advise(found, 1e16, 6 * size.max() * data.max())
    for bounds, truth in zip((advice.parameters, advice.tokens), law.best(1e16), strict=True):
        assert bounds.low < bounds.value < bounds.high
        assert bounds.value == pytest.approx(truth, rel=0.2)
    assert advice.stretch == pytest.approx(1e16 / (6 * 2e7 * 1e8))


@pytest.mark.parametrize("losses", [[1.0] * 4, [1.0, 2.0, 3.0, 4.0, float("nan")], [1.0, 2.0, 3.0, 4.0, -1.0]])
def test_runs_that_are_none_are_refused(losses: list[float]) -> None:
    with pytest.raises(UsageFailure):
        fit([1e6] * len(losses), [1e6] * len(losses), losses)


def test_no_draws_no_interval() -> None:
    assert np.isnan(interval(1.0, []).low)
