"""A study of sizes finds the law that its runs follow, goes on after a stop, and says what it cannot know."""

import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from search_runs import pretend
from small_corpus import text_run

pytest.importorskip("matplotlib", reason="the extra `search` is not installed")

from trainer import recipe, scale
from trainer.failures import UsageFailure
from trainer.model import shape_of
from trainer.recipe import Recipe
from trainer.scale import Study

BASE = recipe.parse(
    {
        "tokenizer": {"vocab": 300},
        "data": {"sequence_length": 32, "validation": 0.2},
        "train": {"batch_tokens": 64, "tokens": 6400},
    },
    "test",
)
DEPTHS, TOKENS = (1, 2, 4, 6), (1280, 2560, 6400, 12800)


def law(wanted: Recipe, tokens: int) -> float:
    size = shape_of(wanted.model, 300).num_parameters(embeddings=False)
    return float(0.9 + 120 * size**-0.34 + 30 * tokens**-0.28)


def study(run: Path, out: Path, **changes: Any) -> Study:
    settings = {"depths": DEPTHS, "tokens": TOKENS, "budget_flops": 1e14, **changes}
    return scale.study(BASE, [run], out, on_progress=lambda line: None, **settings)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return text_run(tmp_path / "run", 20)


def test_the_planted_law_is_found_and_the_advice_is_a_recipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Path
) -> None:
    pretend(monkeypatch, law)
    found = study(run, tmp_path / "out")
    assert found.fit is not None
    assert found.advice is not None
    assert [found.fit.law.alpha, found.fit.law.beta] == pytest.approx([0.34, 0.28], rel=0.01)
    assert len(found.runs) == 16
    for one in found.runs:
        assert one.flops == 6 * one.parameters * one.tokens
        assert one.counted > one.flops  # attention
    assert found.recipe == recipe.load(tmp_path / "out" / "advised.toml")
    size = shape_of(found.recipe.model, 300).num_parameters(embeddings=False)
    others = [
        shape_of(recipe.parse({"model": {"depth": depth}}, "t").model, 300).num_parameters(embeddings=False)
        for depth in range(1, 30)
    ]
    assert size == min(others, key=lambda n: abs(n / found.advice.parameters.value - 1))  # type: ignore[union-attr]
    assert 6 * size * found.recipe.train.tokens == pytest.approx(1e14, rel=0.01)
    assert any("epochs of this corpus" in doubt for doubt in found.doubts)
    assert any("far outside" in doubt for doubt in found.doubts)
    assert pq.read_table(tmp_path / "out" / "runs.parquet").num_rows == 16
    said = "\n".join(scale.lines(found))
    assert re.search(r"alpha = 0\.34", said)
    assert "advised.toml" in said


def test_a_stopped_study_does_only_what_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Path) -> None:
    trained = pretend(monkeypatch, law)
    trained.stop_in = "depth-2-tokens-2560"
    with pytest.raises(SystemExit) as caught:
        study(run, tmp_path / "out")
    assert caught.value.code == 0
    done = set(trained.folders) - {tmp_path / "out" / "runs" / "depth-2-tokens-2560"}
    rest = pretend(monkeypatch, law)
    found = study(run, tmp_path / "out")
    assert not done & set(rest.folders)
    assert found.runs == study(run, tmp_path / "other").runs
    assert study(run, tmp_path / "out", depths=(1, 2)).runs == tuple(r for r in found.runs if r.depth < 3)


def test_a_run_that_fails_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Path) -> None:
    def loss(wanted: Recipe, tokens: int) -> float:
        if wanted.model.depth == 6:
            raise RuntimeError("CUDA out of memory")
        return law(wanted, tokens)

    pretend(monkeypatch, loss)
    found = study(run, tmp_path / "out")
    assert len(found.runs) == 12
    assert sum("out of memory" in doubt for doubt in found.doubts) == 4


def test_too_few_runs_are_no_law(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Path) -> None:
    pretend(monkeypatch, law)
    found = study(run, tmp_path / "out", depths=(1, 2), tokens=(1280, 2560))
    assert found.fit is None
    assert found.recipe is None
    assert any("no law" in doubt for doubt in found.doubts)
    two = study(run, tmp_path / "out", depths=(1, 2))
    assert any("alpha is not identified" in doubt for doubt in two.doubts)


def test_without_a_budget_there_is_a_law_and_no_advice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Path
) -> None:
    pretend(monkeypatch, law)
    found = study(run, tmp_path / "out", budget_flops=0)
    assert found.fit is not None
    assert found.advice is None
    assert not (tmp_path / "out" / "advised.toml").exists()


def test_bad_questions_and_other_studies_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Path
) -> None:
    pretend(monkeypatch, law)
    for changes in ({"depths": ()}, {"depths": (0,)}, {"tokens": (100,)}):
        with pytest.raises(UsageFailure):
            study(run, tmp_path / "out", **changes)
    study(run, tmp_path / "out", depths=(1,), tokens=(1280,))
    with pytest.raises(UsageFailure, match="another recipe or corpus"):
        study(text_run(tmp_path / "other", 21), tmp_path / "out")
