"""What came of the trials of a search: read out of optuna's study, as a table for a person and one for a file."""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from trainer import search_space
from trainer.failures import UsageFailure
from trainer.model import shape_of
from trainer.recipe import Recipe
from trainer.search_space import Range, Space

STATES = ("complete", "stopped", "failed", "running")


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came of one trial."""

    number: int
    state: str  # of STATES
    reason: str  # why it failed or was stopped
    bits_per_byte: float | None  # the best of its evaluations; None: failed before the first
    tokens: int  # read
    parameters: int
    picked: dict[str, Any]  # key -> number or label, as search_space has them
    evaluations: tuple[tuple[int, float], ...]  # (1 to EVALUATIONS, bits per byte)


def told(study: Any, space: Space, base: Recipe, vocab: int) -> list[Trial]:
    """Every trial so far that was begun, in order."""
    from optuna.trial import TrialState

    names = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "stopped", TrialState.FAIL: "failed"}
    found = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.WAITING:
            continue
        values = sorted(trial.intermediate_values.items())
        best = trial.user_attrs.get("bits_per_byte", min((value for _, value in values), default=None))
        picked = {key: trial.params[key] for key in space if key in trial.params}
        state = names.get(trial.state, "running")
        reason, tokens = trial.user_attrs.get("reason", ""), trial.user_attrs.get("tokens", 0)
        size = _parameters(base, space, picked, vocab)
        found.append(Trial(trial.number, state, reason, best, tokens, size, picked, tuple(values)))
    return found


def _parameters(base: Recipe, space: Space, picked: dict[str, Any], vocab: int) -> int:
    """Of a trial's model; 0 where its choices make none."""
    try:
        return shape_of(search_space.change(base, space, picked).model, vocab).num_parameters()
    except (UsageFailure, KeyError):
        return 0


def importance(study: Any, whole: Sequence[Trial]) -> dict[str, float]:
    """PED-ANOVA (arXiv 2304.10255): which keys set the better quarter apart. Sums to 1; it knows of no interaction."""
    import optuna

    if len(whole) < 20:  # a quarter of these are five, the least that its documentation asks for
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def table(trials: Sequence[Trial], space: Space) -> pa.Table:
    """A row per trial; a column per key, float64 for ranges and text for choices."""
    columns = {
        "trial": pa.array([t.number for t in trials], pa.int32()),
        "state": pa.array([t.state for t in trials], pa.string()),
        "reason": pa.array([t.reason for t in trials], pa.string()),
        "bits_per_byte": pa.array([t.bits_per_byte for t in trials], pa.float64()),
        "tokens": pa.array([t.tokens for t in trials], pa.int64()),
        "parameters": pa.array([t.parameters for t in trials], pa.int64()),
        "evaluations": pa.array([[v for _, v in t.evaluations] for t in trials], pa.list_(pa.float64())),
    }
    for key, each in space.items():
        picked = [trial.picked.get(key) for trial in trials]
        if isinstance(each, Range):
            columns[key] = pa.array([None if v is None else float(v) for v in picked], pa.float64())
        else:
            columns[key] = pa.array([None if v is None else json.dumps(v) for v in picked], pa.string())
    return pa.table(columns)


def lines(trials: Sequence[Trial], space: Space, most: int = 10) -> list[str]:
    """The best trials as a table, and what became of all."""
    ranked = sorted((trial for trial in trials if trial.bits_per_byte is not None), key=order)
    rows = [["trial", "bits/byte", "state", "tokens", "parameters", *(key.split(".")[-1] for key in space)]]
    for trial in ranked[:most]:
        numbers = [str(trial.number), f"{trial.bits_per_byte:.4f}", trial.state]
        numbers += [f"{trial.tokens:,}", f"{trial.parameters:,}"]
        rows.append([*numbers, *(say(trial.picked.get(key)) for key in space)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    told = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    counts = [(sum(trial.state == state for trial in trials), state) for state in STATES]
    spent = sum(trial.tokens for trial in trials)
    return [*told, ", ".join(f"{n} {state}" for n, state in counts if n) + f"; {spent:,} tokens in all"]


def say(value: Any) -> str:
    """A pick for a person."""
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def order(trial: Trial) -> tuple[float, int]:
    """Best first, and of equals the earlier."""
    return math.inf if trial.bits_per_byte is None else trial.bits_per_byte, trial.number
