"""L(N, D) = E + A / N^alpha + B / D^beta: fitted to small runs, with intervals, and turned into advice for a budget.

Approach 3 of Hoffmann et al. 2022 (arXiv 2203.15556). Arithmetic only: the runs are scale.py's. Needs scipy.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.failures import Failure, UsageFailure

HUBER_DELTA = 1e-3  # of log loss, section 3.3 of the paper: a run that is off by more than 0.1 % pulls linearly
MIN_RUNS = 7  # five numbers are fitted; below seven runs what is left over says nothing about the noise
LEVEL = 0.9  # of every interval
_RESAMPLES = 200
_EXPONENTS = (0.1, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.4)  # the grid of starts, for both
_KEPT_STARTS = 6  # of the 64, refined
_BOUNDS = (
    (-20.0, 10.0),
    (-20.0, 10.0),
    (-20.0, 10.0),
    (0.01, 2.5),
    (0.01, 2.5),
)  # of log A, B (at mean size, data), E; alpha, beta


@dataclasses.dataclass(frozen=True)
class Law:
    """Loss in the unit of the runs. N: parameters that every token meets; D: tokens read."""

    E: float  # what no size and no data removes
    A: float
    alpha: float
    B: float
    beta: float

    def loss(self, parameters: Any, tokens: Any) -> Any:
        """Loss for sizes and token counts, elementwise."""
        size, data = np.asarray(parameters, np.float64), np.asarray(tokens, np.float64)
        return self.E + self.A * size**-self.alpha + self.B * data**-self.beta

    def best(self, flops: float) -> tuple[float, float]:
        """(N, D) of least loss with 6 N D = flops: equation 4 of the paper."""
        ratio = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        parameters = ratio * (flops / 6) ** (self.beta / (self.alpha + self.beta))
        return parameters, flops / 6 / parameters


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate between bounds that hold LEVEL of the bootstrap's estimates."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Fit:
    """The law of the runs, and the laws of the resampled runs (none where the runs are too few)."""

    law: Law
    resampled: tuple[Law, ...]
    spread: float  # root mean square of the log residuals, as a share of the loss
    doubts: tuple[str, ...]  # why not to believe it; empty: nothing seen

    def interval(self, name: str) -> Interval:
        """Of one number of the law."""
        return interval(getattr(self.law, name), [getattr(law, name) for law in self.resampled])


@dataclasses.dataclass(frozen=True)
class Advice:
    """Where a budget is spent best, as the law has it."""

    flops: float
    parameters: Interval
    tokens: Interval
    loss: Interval
    stretch: float  # budget over the compute of the largest run


def interval(value: float, drawn: Sequence[float], level: float = LEVEL) -> Interval:
    """Bounds by percentiles; not known (NaN) without draws."""
    if not drawn:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(np.asarray(drawn), [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def fit(parameters: Sequence[float], tokens: Sequence[float], losses: Sequence[float], seed: int = 0) -> Fit:
    """Fit the law to one (N, D, loss) per run, and to resampled runs. UsageFailure on fewer than five runs.

    The runs stand on a grid that was chosen, so it is their residuals that are resampled, widened by sqrt(n / (n - 5))
    for the five numbers that the fit has used up.
    """
    size, data, loss = (np.asarray(x, np.float64) for x in (parameters, tokens, losses))
    _check(size, data, loss)
    law = _fit(size, data, loss)
    expected = law.loss(size, data)
    residuals = np.log(loss / expected)
    resampled: tuple[Law, ...] = ()
    if len(loss) >= MIN_RUNS:
        residuals_wide = (residuals - residuals.mean()) * np.sqrt(len(loss) / (len(loss) - 5))
        # raw bits, since numpy keeps these the same in every version
        draws = np.random.PCG64(seed).random_raw((_RESAMPLES, len(loss))) % len(loss)
        resampled = tuple(_fit(size, data, expected * np.exp(residuals_wide[draw]), law) for draw in draws)
    spread = float(np.sqrt(np.mean(residuals**2)))
    found = Fit(law, resampled, spread, ())
    return dataclasses.replace(found, doubts=tuple(_doubts(found, size, data, loss)))


def advise(found: Fit, flops: float, largest_flops: float) -> Advice:
    """The size and the tokens for a budget in FLOPs, by C = 6 N D, with intervals from the resampled laws."""
    size, data = found.law.best(flops)
    drawn = [(law, *law.best(flops)) for law in found.resampled]
    return Advice(
        flops,
        interval(size, [n for _, n, _ in drawn]),
        interval(data, [d for _, _, d in drawn]),
        interval(float(found.law.loss(size, data)), [float(law.loss(n, d)) for law, n, d in drawn]),
        flops / largest_flops,
    )


def _check(size: np.ndarray, data: np.ndarray, loss: np.ndarray) -> None:
    if not size.shape == data.shape == loss.shape or len(loss) < 5:
        raise UsageFailure(f"{len(loss)} runs for a law of five numbers: give more depths or token counts")
    if not all(np.all(np.isfinite(x) & (x > 0)) for x in (size, data, loss)):
        raise UsageFailure("a size, token count or loss that is not a positive number: leave that run out")


def _doubts(found: Fit, size: np.ndarray, data: np.ndarray, loss: np.ndarray) -> list[str]:
    """In plain words, what the runs cannot tell."""
    told = []
    for name, axis, values in (("alpha", "sizes", size), ("beta", "token counts", data)):
        distinct = len(np.unique(values))
        if distinct < 3:
            told.append(f"{name} is not identified: {distinct} different {axis}, at least 3 are needed")
    if not found.resampled:
        return [*told, f"no intervals: {len(loss)} runs, at least {MIN_RUNS} are needed"]
    for name, axis in (("alpha", "sizes"), ("beta", "token counts")):
        bounds = found.interval(name)
        if bounds.high - bounds.low > bounds.value:
            told.append(
                f"{name} is not identified: {LEVEL:.0%} interval {bounds.low:.2f} to {bounds.high:.2f} is wider than "
                f"the estimate {bounds.value:.2f}; spread the {axis} more, or repeat runs"
            )
    return told


def _fit(size: np.ndarray, data: np.ndarray, loss: np.ndarray, near: Law | None = None) -> Law:
    """Least sum of Huber losses of log residuals, by L-BFGS-B from several starts (from `near` too where given).

    The sum, not the mean, and tight tolerances: with the mean the search stops early and the intervals come out far too
    narrow (Besiroglu et al. 2024, arXiv 2404.10102, on the original fit).
    """
    try:
        from scipy.optimize import minimize
    except ImportError as error:
        raise Failure("scipy is needed to fit a law: pip install 'winnow-corpus[search]'") from error
    # Sizes and token counts are centred: else A and alpha move together and the search takes five times the steps.
    middle = float(np.log(size).mean()), float(np.log(data).mean())
    logs = np.log(size) - middle[0], np.log(data) - middle[1], np.log(loss)
    best, lowest = np.zeros(5), np.inf
    for start in [near] if near else _starts(size, data, loss):
        found = minimize(
            _objective, _vector(start, middle), logs, method="L-BFGS-B", jac=True, bounds=_BOUNDS,
            options={"maxiter": 2_000, "ftol": 1e-13, "gtol": 1e-8},
        )  # fmt: skip
        if found.fun < lowest:
            best, lowest = found.x, found.fun
    a, b, e, alpha, beta = (float(x) for x in best)
    return Law(float(np.exp(e)), float(np.exp(a + alpha * middle[0])), alpha, float(np.exp(b + beta * middle[1])), beta)


def _vector(law: Law, middle: tuple[float, float]) -> np.ndarray:
    a, b = np.log(law.A) - law.alpha * middle[0], np.log(law.B) - law.beta * middle[1]
    return np.array([a, b, np.log(law.E), law.alpha, law.beta])


def _objective(x: np.ndarray, size: np.ndarray, data: np.ndarray, loss: np.ndarray) -> tuple[float, np.ndarray]:
    """(sum of Huber losses in units of delta squared, gradient); sizes and data are centred logarithms."""
    a, b, e, alpha, beta = x
    terms = np.stack([a - alpha * size, b - beta * data, np.full_like(size, e)])
    top = terms.max(0)
    weights = np.exp(terms - top)
    total = weights.sum(0)
    weights /= total  # softmax: the slope of log-sum-exp
    off = (top + np.log(total) - loss) / HUBER_DELTA
    slope = np.clip(off, -1, 1) / HUBER_DELTA * weights
    gradient = [slope[0].sum(), slope[1].sum(), slope[2].sum(), -(slope[0] * size).sum(), -(slope[1] * data).sum()]
    return float(_huber(off).sum()), np.array(gradient)


def _huber(off: np.ndarray) -> np.ndarray:
    return np.where(np.abs(off) <= 1, off**2 / 2, np.abs(off) - 0.5)


def _starts(size: np.ndarray, data: np.ndarray, loss: np.ndarray) -> list[Law]:
    """The best of a grid over the exponents. For given exponents E, A and B are a linear fit with none below zero."""
    from scipy.optimize import nnls

    found = []
    for alpha, beta in itertools.product(_EXPONENTS, _EXPONENTS):
        powers = np.stack([np.ones_like(loss), size**-alpha, data**-beta], 1)
        scale = powers.max(0)
        factors, _ = nnls(powers / scale / loss[:, None], np.ones_like(loss))
        E, A, B = np.maximum(factors, 1e-6 * loss.min()) / scale  # above zero: its logarithm is searched
        law = Law(float(E), float(A), alpha, float(B), beta)
        found.append((_huber(np.log(law.loss(size, data) / loss) / HUBER_DELTA).sum(), law))
    return [law for _, law in sorted(found, key=lambda pair: pair[0])[:_KEPT_STARTS]]
