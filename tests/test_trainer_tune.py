"""A search spends what it may, keeps the best, outlives kills and failures, and goes on as if nothing had been."""

import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from search_runs import Trained, planted, pretend
from small_corpus import text_run

pytest.importorskip("optuna", reason="the extra `search` is not installed")
pytest.importorskip("matplotlib", reason="the extra `search` is not installed")

from trainer import recipe, tune
from trainer.failures import Failure, UsageFailure
from trainer.recipe import Recipe
from trainer.tune import Found

SPACE = """
[optimizer]
lr = { low = 0.001, high = 0.4, log = true }
[model]
depth = { low = 1, high = 3 }
mlp = ["swiglu", "relu2"]
"""
BASE = recipe.parse(
    {
        "tokenizer": {"vocab": 300},
        "data": {"sequence_length": 32, "validation": 0.2},
        "model": {"depth": 1},
        "train": {"batch_tokens": 64, "tokens": 6400},
    },
    "test",
)


@pytest.fixture
def space(tmp_path: Path) -> Path:
    (tmp_path / "space.toml").write_text(SPACE)
    return tmp_path / "space.toml"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return text_run(tmp_path / "run", 20)


def search(space: Path, run: Path, out: Path, tokens: int = 12_000, **changes: Any) -> Found:
    told: list[str] = []
    return tune.search(
        space, changes.pop("recipe", BASE), [run], out, tokens=tokens, trial_tokens=1280, on_progress=told.append
    )


def numbers(found: Found) -> list[Any]:
    return [(t.number, t.state, t.bits_per_byte, t.picked, t.evaluations) for t in found.trials]


def test_a_search_keeps_its_budget_and_writes_what_it_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: Path, run: Path
) -> None:
    trained, out = pretend(monkeypatch), tmp_path / "out"
    found = search(space, run, out)
    assert found.tokens <= 12_000 < found.tokens + 1280
    assert found.trials[0].picked == {"optimizer.lr": 0.01, "model.depth": 1, "model.mlp": "swiglu"}
    whole = [t for t in found.trials if t.state == "complete"]
    assert found.best.bits_per_byte == min(t.bits_per_byte for t in whole if t.bits_per_byte is not None)
    assert any(t.state == "stopped" and t.tokens < 1280 for t in found.trials)
    assert all(r.train.tokens == 1280 and r.train.lineage == "off" for r in trained.recipes)
    assert {r.tokenizer.path for r in trained.recipes} == {str(out / "tokenizer")}
    best = recipe.load(out / "best.toml")
    assert best == found.recipe
    assert best.train == BASE.train
    assert best.optimizer.lr == found.best.picked["optimizer.lr"]
    table = pq.read_table(out / "trials.parquet")
    assert table["optimizer.lr"].to_pylist() == [t.picked["optimizer.lr"] for t in found.trials]
    assert table["state"].to_pylist() == [t.state for t in found.trials]
    assert str(found.best.number) in "\n".join(tune.lines(found))
    assert trained.folders[3] == out / "trials" / "3"


def test_a_stopped_search_goes_on_to_the_same_trials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: Path, run: Path
) -> None:
    pretend(monkeypatch)
    whole = search(space, run, tmp_path / "whole")
    for name in ("0", "4"):
        trained = pretend(monkeypatch)
        trained.stop_in = name
        with pytest.raises(SystemExit) as caught:
            search(space, run, tmp_path / "broken")
        assert caught.value.code == 0
    found = search(space, run, tmp_path / "broken")
    assert numbers(found) == numbers(whole)
    more = search(space, run, tmp_path / "broken", tokens=14_000)
    assert numbers(more)[: len(found.trials)] == numbers(found)
    assert len(more.trials) > len(found.trials)


def test_a_trial_that_fails_is_told_and_the_search_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: Path, run: Path
) -> None:
    def loss(wanted: Recipe, tokens: int) -> float:
        if wanted.model.depth == 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory\nmore")
        return math.nan if wanted.optimizer.lr > 0.1 else planted(wanted, tokens)

    pretend(monkeypatch, loss)
    found = search(space, run, tmp_path / "out")
    failed = {t.reason for t in found.trials if t.state == "failed"}
    assert any("can't allocate memory" in reason for reason in failed)
    assert any("lower optimizer.lr" in reason for reason in failed)
    assert found.best.state == "complete"
    assert found.best.picked["model.depth"] < 3


def test_a_process_that_dies_in_a_trial_again_and_again_leaves_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: Path, run: Path
) -> None:
    class DiesInTwo(Trained):
        def __call__(self, wanted: Recipe, corpora: Any, out: Path, **others: Any) -> Any:
            if out.name == "2":
                raise ZeroDivisionErrorOfTheKernel
            return super().__call__(wanted, corpora, out, **others)

    class ZeroDivisionErrorOfTheKernel(BaseException):
        """Nothing of ours is run after it, as after a kill."""

    monkeypatch.setattr("trainer.train.train", DiesInTwo(planted))
    for _ in range(tune.ATTEMPTS):
        with pytest.raises(ZeroDivisionErrorOfTheKernel):
            search(space, run, tmp_path / "out")
    found = search(space, run, tmp_path / "out")
    assert found.trials[2].state == "failed"
    assert "died in it 3 times" in found.trials[2].reason


def test_a_search_where_everything_fails_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: Path, run: Path
) -> None:
    pretend(monkeypatch, lambda wanted, tokens: math.inf)
    with pytest.raises(Failure, match=f"last {tune.FAILURES} trials failed"):
        search(space, run, tmp_path / "out")


def test_another_search_in_the_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space: Path, run: Path
) -> None:
    pretend(monkeypatch)
    search(space, run, tmp_path / "out", tokens=2560)
    space.write_text(SPACE.replace("0.4", "0.3"))
    with pytest.raises(UsageFailure, match="another space"):
        search(space, run, tmp_path / "out", tokens=2560)
    space.write_text(SPACE)
    with pytest.raises(UsageFailure, match="another recipe"):
        search(space, run, tmp_path / "out", tokens=2560, recipe=recipe.load(tmp_path / "out" / "best.toml"))
    with pytest.raises(UsageFailure, match="another corpus"):
        search(space, text_run(tmp_path / "other", 21), tmp_path / "out", tokens=2560)


def test_what_cannot_be_searched_is_said_first(tmp_path: Path, space: Path, run: Path) -> None:
    with pytest.raises(UsageFailure, match="--trial-tokens 100"):
        tune.search(space, BASE, [run], tmp_path / "out", tokens=1000, trial_tokens=100)
    with pytest.raises(UsageFailure, match="less than one trial"):
        tune.search(space, BASE, [run], tmp_path / "out", tokens=1000, trial_tokens=1280)
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "search.sqlite").write_text("no database, and long enough not to be taken for an empty one")
    with pytest.raises(Failure, match=r"search\.sqlite"):
        search(space, run, tmp_path / "out")
