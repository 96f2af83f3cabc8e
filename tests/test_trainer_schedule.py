"""The learning rate's share of its peak, for every step of every schedule."""

import dataclasses
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.recipe import Optimizer
from trainer.schedule import share, stable_until, warmup_steps

STEPS = st.integers(1, 500)
PARTS = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda parts: (parts[0] / 100, parts[1] / 100))
KINDS = st.sampled_from(["wsd", "cosine", "constant"])


@given(STEPS, PARTS, KINDS, st.sampled_from([0.0, 0.1, 1.0]))
def test_it_rises_then_never_rises_and_stays_between_its_ends(
    steps: int, parts: tuple[float, float], kind: Literal["wsd", "cosine", "constant"], final: float
) -> None:
    settings = Optimizer(warmup=parts[0], decay=parts[1], schedule=kind, final_lr=final)
    shares = [share(step, steps, settings) for step in range(1, steps + 1)]
    warm = warmup_steps(steps, settings)
    assert shares[:warm] == [step / warm for step in range(1, warm + 1)]
    after = shares[max(warm - 1, 0) :]
    assert all(a >= b - 1e-12 for a, b in zip(after, after[1:], strict=False))
    assert all(min(final, 1.0) - 1e-12 <= value <= 1 for value in after)
    if kind == "wsd":  # even the last step learns something
        assert all(value > 0 for value in shares)


def test_wsd_holds_its_peak_and_falls_on_a_line() -> None:
    settings = Optimizer(warmup=0.1, decay=0.4, schedule="wsd")
    shares = [share(step, 20, settings) for step in range(1, 21)]
    assert shares[:2] == [0.5, 1.0]
    assert shares[2:12] == [1.0] * 10
    assert shares[12:] == pytest.approx([8 / 9, 7 / 9, 6 / 9, 5 / 9, 4 / 9, 3 / 9, 2 / 9, 1 / 9])
    assert stable_until(20, settings) == 12
    assert stable_until(20, dataclasses.replace(settings, schedule="cosine")) == 0


def test_cosine_ends_at_its_final_share() -> None:
    settings = Optimizer(warmup=0.1, schedule="cosine", final_lr=0.1)
    assert share(10, 100, settings) == 1.0
    assert share(55, 100, settings) == pytest.approx(0.55)
    assert share(100, 100, settings) == pytest.approx(0.1)


def test_constant_is_constant_after_warm_up() -> None:
    assert {share(step, 50, Optimizer(warmup=0.0, schedule="constant")) for step in range(1, 51)} == {1.0}
