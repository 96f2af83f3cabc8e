"""L(N, D) = E + A / N^alpha + B / D^beta: fitted to small runs, with intervals, and turned into advice for a budget.

Approach 3 of Hoffmann et al. 2022 (arXiv 2203.15556). Arithmetic only: the runs are scale.py's.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.failures import UsageFailure

HUBER_DELTA = 1e-3  # of log loss, section 3.3 of the paper: a run that is off by more than 0.1 % pulls linearly
MIN_RUNS = 7  # five numbers are fitted; below seven runs what is left over says nothing about the noise
LEVEL = 0.9  # of every interval
_RESAMPLES = 200
_EXPONENTS = (0.1, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.4)  # the grid of starts, for both
_STEPS = 150  # of the search; it has settled long before on the planted laws of the tests
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
    law = _fit(size, data, loss[None])[0]
    expected = law.loss(size, data)
    residuals = np.log(loss / expected)
    resampled: tuple[Law, ...] = ()
    if len(loss) >= MIN_RUNS:
        residuals_wide = (residuals - residuals.mean()) * np.sqrt(len(loss) / (len(loss) - 5))
        # raw bits, since numpy keeps these the same in every version
        draws = np.random.PCG64(seed).random_raw((_RESAMPLES, len(loss))) % len(loss)
        resampled = tuple(_fit(size, data, expected * np.exp(residuals_wide[draws]), law))
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
    if found.law.E / loss.min() < 0.01:
        told.append(
            "E is not identified: the fit puts it at 0, so the runs are far from what no size and no data removes"
        )
    if not found.resampled:
        return [*told, f"no intervals: {len(loss)} runs, at least {MIN_RUNS} are needed"]
    for name, axis in (("alpha", "sizes"), ("beta", "token counts")):
        bounds = found.interval(name)
        if bounds.high - bounds.low > bounds.value or bounds.high > 0.98 * _BOUNDS[-1][1]:
            told.append(
                f"{name} is not identified: estimate {bounds.value:.2f}, {LEVEL:.0%} interval {bounds.low:.2f} to "
                f"{bounds.high:.2f}; spread the {axis} more, or repeat runs"
            )
    return told


def _fit(size: np.ndarray, data: np.ndarray, loss: np.ndarray, near: Law | None = None) -> list[Law]:
    """The law of least Huber loss for each row of `loss`, which is (fits, runs); from a grid of starts, or `near`."""
    # Sizes and token counts are centred: else A and alpha move together.
    middle = float(np.log(size).mean()), float(np.log(data).mean())
    logs = np.log(size) - middle[0], np.log(data) - middle[1], np.log(loss)
    starts = [near] if near else [law for row in loss for law in _starts(size, data, row)]
    at = np.stack([_vector(law, middle) for law in starts])
    repeats = (len(loss), 1) if near else (1, 1)
    at, off = _descend(np.tile(at, repeats), *logs[:2], np.repeat(logs[2], len(starts) // len(loss) or 1, 0))
    each = off.reshape(len(loss), -1).argmin(1)
    best = at.reshape(len(loss), -1, 5)[np.arange(len(loss)), each]
    return [_law(x, middle) for x in best]


def _vector(law: Law, middle: tuple[float, float]) -> np.ndarray:
    a, b = np.log(law.A) - law.alpha * middle[0], np.log(law.B) - law.beta * middle[1]
    return np.array([a, b, np.log(law.E), law.alpha, law.beta])


def _law(x: np.ndarray, middle: tuple[float, float]) -> Law:
    a, b, e, alpha, beta = (float(v) for v in x)
    return Law(float(np.exp(e)), float(np.exp(a + alpha * middle[0])), alpha, float(np.exp(b + beta * middle[1])), beta)


def _descend(x: np.ndarray, size: np.ndarray, data: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levenberg-Marquardt on reweighted residuals, all fits (rows of x) at once: (where it ended, Huber losses).

    The paper takes L-BFGS, which stopped early there and made its intervals far too narrow (Besiroglu et al. 2024,
    arXiv 2404.10102). The objective is the same; scipy's L-BFGS-B gave these numbers too, in up to ten times the time.
    """
    low, high = np.array(_BOUNDS).T
    x = np.clip(x, low, high)
    damping = np.full(len(x), 1e-2)
    off, slope = _residuals(x, size, data, loss)
    value = _huber(off).sum(1)
    for _ in range(_STEPS):
        weight = 1 / np.maximum(np.abs(off) / HUBER_DELTA, 1)
        normal = np.einsum("fri,fr,frj->fij", slope, weight, slope)
        gradient = np.einsum("fri,fr->fi", slope, weight * off)
        diagonal = np.einsum("fii->fi", normal)
        normal = normal + (damping[:, None] * diagonal + 1e-12)[:, :, None] * np.eye(5)
        moved = np.clip(x - np.linalg.solve(normal, gradient[:, :, None])[:, :, 0], low, high)
        off_moved, slope_moved = _residuals(moved, size, data, loss)
        value_moved = _huber(off_moved).sum(1)
        better = value_moved < value
        x = np.where(better[:, None], moved, x)
        off, slope = np.where(better[:, None], off_moved, off), np.where(better[:, None, None], slope_moved, slope)
        value = np.where(better, value_moved, value)
        damping = np.clip(np.where(better, damping / 3, damping * 4), 1e-9, 1e9)
    return x, value


def _residuals(x: np.ndarray, size: np.ndarray, data: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(log residuals FR, their slopes FR5) of fits F and runs R; sizes and data are centred logarithms."""
    a, b, e, alpha, beta = x.T[:, :, None]
    terms = np.stack(np.broadcast_arrays(a - alpha * size, b - beta * data, e), -1)
    top = terms.max(-1, keepdims=True)
    weights = np.exp(terms - top)
    total = weights.sum(-1, keepdims=True)
    weights /= total  # softmax: the slope of log-sum-exp
    in_size, in_data = -weights[..., 0] * size, -weights[..., 1] * data
    slopes = np.concatenate([weights, in_size[..., None], in_data[..., None]], -1)
    return (top + np.log(total))[..., 0] - loss, slopes


def _huber(off: np.ndarray) -> np.ndarray:
    """In units of delta squared."""
    off = np.abs(off) / HUBER_DELTA
    return np.where(off <= 1, off**2 / 2, off - 0.5)


def _starts(size: np.ndarray, data: np.ndarray, loss: np.ndarray) -> list[Law]:
    """A grid over the exponents. For given exponents E, A and B are a linear fit, here with none below zero."""
    found = []
    for alpha, beta in itertools.product(_EXPONENTS, _EXPONENTS):
        powers = np.stack([np.ones_like(loss), size**-alpha, data**-beta], 1)
        scale = powers.max(0)
        factors = np.linalg.lstsq(powers / scale / loss[:, None], np.ones_like(loss), rcond=None)[0]
        E, A, B = np.maximum(factors, 1e-3 * loss.min()) / scale  # above zero: its logarithm is searched
        found.append(Law(float(E), float(A), alpha, float(B), beta))
    return found
