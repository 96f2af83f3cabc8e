"""Bradley-Terry: how strong models are by the votes between them, ties included, with a bootstrap over prompts.

Votes on one prompt are not independent, so prompts are drawn, not votes (as Chatbot Arena's votes would need it too).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eval.chance import indices
from eval.intervals import NOTHING, Floats, Interval, percentiles, wilson

ELO = 400 / np.log(10)
_RIDGE = 1e-2  # keeps a model that never lost at a finite strength; a hundredth of a vote
_TIES_MODELLED = 0.2  # above this share ties are modelled (Davidson 1970), below they count as half a win each
_ROUNDS = 50


@dataclass(frozen=True)
class Vote:
    """One comparison: 1 the first won, 0 the second, 0.5 a tie."""

    prompt: str
    first: str
    second: str
    outcome: float


@dataclass(frozen=True)
class Strengths:
    """Elo per model, mean 0. `ties` is the share of votes that are ties; `model` says how they were taken."""

    elo: dict[str, Interval]
    ties: float
    model: Literal["half", "davidson"]


def strengths(
    votes: Sequence[Vote], draws: int = 1000, level: float = 0.95, seed: int = 0, ridge: float = _RIDGE
) -> Strengths:
    """Fit votes by maximum likelihood with a weak ridge. Models never compared with others stay near 0.

    A model that always won, or never, has no finite strength: its value is the ridge's, its interval is unbounded. The
    win rate's interval is what to look at there.
    """
    models = sorted({name for vote in votes for name in (vote.first, vote.second)})
    ties = sum(vote.outcome == 0.5 for vote in votes) / len(votes) if votes else 0.0
    kind: Literal["half", "davidson"] = "davidson" if ties > _TIES_MODELLED else "half"
    if not votes:
        return Strengths({}, 0.0, kind)
    counts = _counts(votes, models, kind)
    prompts = counts.shape[0]
    chosen = indices(seed, 0, (draws, prompts), prompts)
    weights = np.zeros((draws + 1, prompts))
    weights[0] = 1
    np.add.at(weights, (np.arange(1, draws + 1)[:, None], chosen), 1)
    fitted = _fit(np.einsum("dn,npo->dpo", weights, counts), _outcomes(len(models), kind), ridge)[:, : len(models)]
    elo = ELO * (fitted - fitted.mean(axis=1, keepdims=True))
    found = {m: percentiles(float(elo[0, at]), elo[1:, at], level, prompts) for at, m in enumerate(models)}
    for model in models:
        won = [v.outcome if v.first == model else 1 - v.outcome for v in votes if model in (v.first, v.second)]
        if min(won) == max(won) != 0.5:
            found[model] = Interval(found[model].value, -math.inf, math.inf, prompts)
    return Strengths(found, ties, kind)


def _counts(votes: Sequence[Vote], models: list[str], kind: str) -> Floats:
    """float64[prompts, pairs, outcomes]: wins of the first, of the second, and ties where they are modelled."""
    pairs = {pair: at for at, pair in enumerate(itertools.combinations(range(len(models)), 2))}
    prompts = {name: at for at, name in enumerate(sorted({vote.prompt for vote in votes}))}
    place = {name: at for at, name in enumerate(models)}
    out = np.zeros((len(prompts), len(pairs), 3 if kind == "davidson" else 2))
    for vote in votes:
        a, b = place[vote.first], place[vote.second]
        if a == b:
            continue
        won = vote.outcome if a < b else 1 - vote.outcome
        cell = out[prompts[vote.prompt], pairs[min(a, b), max(a, b)]]
        if kind == "davidson":
            cell[{1.0: 0, 0.0: 1, 0.5: 2}[won]] += 1
        else:
            cell += [won, 1 - won]
    return out


def _outcomes(models: int, kind: str) -> Floats:
    """float64[pairs, outcomes, parameters]: the log-odds of each outcome are linear in the parameters."""
    tied = kind == "davidson"
    out = np.zeros((models * (models - 1) // 2, 2 + tied, models + tied))
    for at, (a, b) in enumerate(itertools.combinations(range(models), 2)):
        out[at, 0, a] = out[at, 1, b] = 1
        if tied:
            out[at, 2, [a, b]] = 0.5  # Davidson: sqrt of the product of both strengths
            out[at, 2, models] = 1
    return out


def _fit(counts: Floats, outcomes: Floats, ridge: float) -> Floats:
    """float64[draws, parameters] by damped Newton steps on all draws at once; the likelihood is concave."""
    draws, size = counts.shape[0], outcomes.shape[2]
    theta = np.zeros((draws, size))
    total = counts.sum(axis=2)
    observed = np.einsum("dpo,pok->dk", counts, outcomes)
    for _ in range(_ROUNDS):
        logits = np.einsum("pok,dk->dpo", outcomes, theta)
        odds = np.exp(logits - logits.max(axis=2, keepdims=True))
        share = odds / odds.sum(axis=2, keepdims=True)
        middle = np.einsum("dpo,pok->dpk", share, outcomes)
        gradient = observed - np.einsum("dp,dpk->dk", total, middle) - ridge * theta
        spread = np.einsum("dpo,pok,pol->dpkl", share, outcomes, outcomes) - middle[..., :, None] * middle[..., None, :]
        curvature = np.einsum("dp,dpkl->dkl", total, spread) + ridge * np.eye(size)
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        # At most 2 a step: far from the optimum the quadratic is no guide.
        theta += step * np.minimum(1, 2 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return theta


def win_rate(votes: Sequence[Vote], model: str) -> Interval:
    """Share of a model's votes that it won, ties as half, with Wilson's interval."""
    won = [v.outcome if v.first == model else 1 - v.outcome for v in votes if model in (v.first, v.second)]
    return wilson(sum(won), len(won)) if won else NOTHING
