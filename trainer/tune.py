"""`tune`: a search over recipes under a budget of tokens, each trial a training run that is stopped when it lags.

optuna keeps the trials in OUT/search.sqlite; what a trial tries depends on the trials before it and its number alone,
so the same command goes on after a kill as if there had been none. All trials read the same documents in one order.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from trainer import recipe_text, search_space, train, trials
from trainer.failures import Failure, UsageFailure
from trainer.files import locked, replacing
from trainer.recipe import Recipe, plain
from trainer.search_space import Range, Space
from trainer.shared_start import EVALUATIONS, Stopped, check_steps, prepare, short
from trainer.trials import Trial

WARMUP = 4  # evaluations before a trial may be stopped: learning rates show their worth late
STARTUP = 5  # whole trials before any is stopped
PERCENTILE = 66.7  # a trial goes on while it is among these of the whole ones; with the median hardly any came through
RANDOM = 10  # trials before the sampler draws on what it saw; optuna's own number
FAILURES = 8  # in a row, before the search gives up
ATTEMPTS = 3  # at a trial in which the process was killed (by the kernel, for memory, most likely)

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Found:
    """A search's result."""

    folder: Path
    best: Trial
    recipe: Recipe  # as OUT/best.toml holds it: the best trial's choices at the length of the recipe searched from
    space: Space
    trials: tuple[Trial, ...]
    importance: dict[str, float]  # empty: too few trials to tell

    @property
    def tokens(self) -> int:
        """Read in all trials."""
        return sum(trial.tokens for trial in self.trials)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a search works with."""

    study: Any  # optuna's
    space: Space
    base: Recipe  # of every trial, before its choices
    vocab: int
    corpora: Sequence[Path]
    out: Path

    def trials(self) -> list[Trial]:
        """All so far that were begun."""
        return trials.told(self.study, self.space, self.base, self.vocab)


def search(
    space: Path | None,
    recipe: Recipe,
    corpora: Sequence[Path],
    out: Path,
    *,
    tokens: int,
    trial_tokens: int,
    on_progress: Progress = print,
) -> Found:
    """Try recipes from `space` (a TOML file; None: trainer/recipes/tune.toml) until `tokens` are spent in all.

    The first trial is `recipe` itself, where it lies in the space, at `trial_tokens`. The same command goes on; with a
    larger `tokens` it searches further. Writes OUT/best.toml, trials.parquet, report.html. Raises Failure.
    """
    looked_for = search_space.load(space, recipe)
    check_steps(recipe, trial_tokens, "--trial-tokens")
    if tokens < trial_tokens:
        raise UsageFailure(f"--tokens {tokens} is less than one trial, --trial-tokens {trial_tokens}")
    with locked(out), _study(out) as study:
        ground = prepare(recipe, corpora, out)
        base = short(ground.recipe, trial_tokens)
        _same(study, out, looked_for, base, ground.shards.key)
        plan = Plan(study, looked_for, base, ground.tokenizer.vocab, corpora, out)
        try:
            _run_all(plan, tokens, on_progress)
        except Stopped as error:
            on_progress(str(error))
            raise SystemExit(0) from None
        found = _found(plan, recipe)
    _write(found, trial_tokens)
    return found


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise Failure("optuna is needed to search: pip install 'winnow-corpus[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextlib.contextmanager
def _study(out: Path) -> Iterator[Any]:
    """The study in OUT/search.sqlite, begun or gone on with, open while the block runs."""
    optuna = _optuna()
    from sqlalchemy import URL  # optuna's own

    address = URL.create("sqlite", database=str(out.absolute() / "search.sqlite"))
    try:
        storage = optuna.storages.RDBStorage(address.render_as_string(hide_password=False))
        pruner = optuna.pruners.PercentilePruner(PERCENTILE, n_startup_trials=STARTUP, n_warmup_steps=WARMUP)
        study = optuna.create_study(study_name="tune", storage=storage, pruner=pruner, load_if_exists=True)
    except Exception as error:  # of sqlalchemy, alembic or optuna: a damaged file, another version's tables
        said = str(error).splitlines()[0]
        raise Failure(f"{out / 'search.sqlite'}: cannot be opened: {said}; take another --out") from error
    try:
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _same(study: Any, out: Path, space: Space, base: Recipe, corpus: str) -> None:
    """Note what is searched, or hold it against the note: UsageFailure where it is another search."""
    now = {
        "space": search_space.as_json(space),
        "recipe": json.dumps(plain(base), sort_keys=True),
        "corpus": corpus,
    }
    for name, value in now.items():
        noted = study.user_attrs.get(name)
        if noted is not None and noted != value:
            what = "recipe or --trial-tokens" if name == "recipe" else name
            raise UsageFailure(f"{out}: holds a search with another {what}; take another --out")
        study.set_user_attr(name, value)


def _run_all(plan: Plan, tokens: int, on_progress: Progress) -> None:
    first = search_space.picked_by(plan.base, plan.space)
    if not plan.study.trials and first is not None:
        plan.study.enqueue_trial(first)
    while True:
        so_far = plan.trials()
        spent = sum(trial.tokens for trial in so_far if trial.state != "running")
        if spent + plan.base.train.tokens > tokens:
            return
        last = so_far[-FAILURES:]
        if len(last) == FAILURES and all(trial.state == "failed" for trial in last):
            raise Failure(f"{plan.out}: the last {FAILURES} trials failed, the last one with: {last[-1].reason}")
        trial = _next(plan)
        picked = _pick(trial, plan.space)
        on_progress(f"trial {trial.number}: " + ", ".join(f"{key} {trials.say(v)}" for key, v in picked.items()))
        on_progress(f"trial {trial.number}: {_run(plan, trial, picked)}")


def _next(plan: Plan) -> Any:
    """The trial that a kill broke off, else a new one, its sampler seeded by its number."""
    optuna = _optuna()
    from optuna.trial import Trial as Asked
    from optuna.trial import TrialState

    open_states = (TrialState.RUNNING, TrialState.WAITING)
    unfinished = plan.study.get_trials(deepcopy=False, states=open_states)
    number = unfinished[0].number if unfinished else len(plan.study.trials)
    seed = hashlib.sha256(f"{plan.base.train.seed}/{number}".encode()).digest()
    plan.study.sampler = optuna.samplers.TPESampler(seed=int.from_bytes(seed[:4], "big"), n_startup_trials=RANDOM)
    broken_off = bool(unfinished) and unfinished[0].state == TrialState.RUNNING
    trial = Asked(plan.study, unfinished[0]._trial_id) if broken_off else plan.study.ask()
    trial.set_user_attr("attempts", trial.user_attrs.get("attempts", 0) + 1)
    return trial


def _pick(trial: Any, space: Space) -> dict[str, Any]:
    """The trial's choice for every key; those made before a kill are given again."""
    return {key: _pick_one(trial, key, each) for key, each in space.items()}


def _pick_one(trial: Any, key: str, each: Any) -> Any:
    if not isinstance(each, Range):
        return trial.suggest_categorical(key, list(each.options))
    if each.whole:
        return trial.suggest_int(key, each.low, each.high, step=each.step or 1, log=each.log)
    return trial.suggest_float(key, each.low, each.high, log=each.log)


def _run(plan: Plan, trial: Any, picked: dict[str, Any]) -> str:
    """Train one trial and write down what came of it, in words too."""
    from optuna.trial import TrialState

    try:
        if trial.user_attrs["attempts"] > ATTEMPTS:
            raise Failure(f"the process died in it {ATTEMPTS} times; it may need more memory than there is")
        recipe = search_space.change(plan.base, plan.space, picked, f"trial {trial.number}")
        value, stopped = _train(trial, recipe, plan.corpora, plan.out / "trials" / str(trial.number))
    except (KeyboardInterrupt, Stopped):
        trial.set_user_attr("attempts", trial.user_attrs["attempts"] - 1)  # that was no fault of the trial
        raise
    except (Failure, MemoryError, RuntimeError, ArithmeticError) as error:  # torch's out-of-memory is a RuntimeError
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        trial.set_user_attr("reason", reason)
        plan.study.tell(trial.number, state=TrialState.FAIL)
        return f"failed: {reason}"
    if stopped:
        plan.study.tell(trial.number, state=TrialState.PRUNED)
        return stopped
    plan.study.tell(trial.number, value)
    return f"{value:.4f} bits per byte"


def _train(trial: Any, recipe: Recipe, corpora: Sequence[Path], folder: Path) -> tuple[float, str]:
    """(best bits per byte, why it was stopped early). A trial that a kill broke off goes on from its checkpoint."""
    if "bits_per_byte" not in trial.user_attrs:
        result = train.train(recipe, corpora, folder, on_evaluation=_early_stop(trial, recipe))
        trial.set_user_attr("tokens", result.tokens)
        if not result.finished:
            raise Stopped("stopped; the same command goes on with this trial")
        if not math.isfinite(result.bits_per_byte):
            raise Failure(f"bits per byte are {result.bits_per_byte}; lower optimizer.lr")
        trial.set_user_attr("bits_per_byte", result.bits_per_byte)
    return trial.user_attrs["bits_per_byte"], trial.user_attrs.get("reason", "")


def _early_stop(trial: Any, recipe: Recipe) -> Callable[[int, float], bool]:
    """What training calls after an evaluation: tells optuna, and answers whether the trial should end there."""
    steps = math.ceil(recipe.train.tokens / recipe.train.batch_tokens)
    seen = dict(trial.storage.get_trial(trial._trial_id).intermediate_values)  # also those of before a kill

    def on_evaluation(step: int, bits_per_byte: float) -> bool:
        at = round(step / steps * EVALUATIONS)
        if not math.isfinite(bits_per_byte):
            raise Failure(f"step {step}: bits per byte are {bits_per_byte}; lower optimizer.lr")
        if at not in seen:
            seen[at] = bits_per_byte
            trial.report(bits_per_byte, at)
            trial.set_user_attr("tokens", step * recipe.train.batch_tokens)
        if "reason" not in trial.user_attrs and at < EVALUATIONS and trial.should_prune():
            said = (
                f"stopped at {at / EVALUATIONS:.0%}: {bits_per_byte:.4f} is worse than two thirds of the others there"
            )
            trial.set_user_attr("reason", said)
        return "reason" in trial.user_attrs

    return on_evaluation


def _found(plan: Plan, recipe: Recipe) -> Found:
    every = plan.trials()
    whole = [trial for trial in every if trial.state == "complete"]
    if not whole:
        reasons = [trial.reason for trial in every if trial.reason] or ["none was begun"]
        raise Failure(f"{plan.out}: no trial came to its end: {reasons[-1]}")
    best = min(whole, key=trials.order)
    changed = search_space.change(recipe, plan.space, best.picked)
    return Found(plan.out, best, changed, plan.space, tuple(every), trials.importance(plan.study, whole))


def _write(found: Found, trial_tokens: int) -> None:
    from trainer import search_report  # only now: matplotlib

    said = (
        f"Found by a search: trial {found.best.number} of {len(found.trials)}, {found.best.bits_per_byte:.4f} bits per "
        f"byte after {trial_tokens:,} tokens."
    )
    with replacing(found.folder / "best.toml") as path:
        path.write_text(recipe_text.text(found.recipe, said), "utf-8")
    with replacing(found.folder / "trials.parquet") as path:
        pq.write_table(trials.table(found.trials, found.space), path, compression="zstd")
    with replacing(found.folder / "report.html") as path:
        path.write_text(search_report.tune_page(found, trial_tokens), "utf-8")


def lines(found: Found) -> list[str]:
    """The best trials as a table, and what to do next."""
    files = ", ".join(str(found.folder / name) for name in ("best.toml", "trials.parquet", "report.html"))
    return [*trials.lines(found.trials, found.space), f"written: {files}"]
