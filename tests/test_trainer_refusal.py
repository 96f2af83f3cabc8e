"""A step that must not be learnt from is refused on all ranks alike, named with its documents, and not read again."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_corpus import text_run
from tiny_training import lines, processes, tiny_recipe, train_target

from trainer import journal, lineage
from trainer.failures import Failure
from trainer.learner import Learner
from trainer.recipe import Recipe
from trainer.refusal import ENOUGH, ROLLBACKS, Refusals, spike_limit
from trainer.shards import Batch
from trainer.train import train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_run(tmp_path_factory.mktemp("refusal") / "run", 40)


def poison(steps: dict[int, set[int]], value: float = float("nan")) -> None:
    """Spoil the losses of these steps on these ranks, from now on and in this process."""
    honest_gradients, honest_losses = Learner.gradients, Learner.losses
    now = [0]

    def gradients(self: Learner, step: int, batches: Any, asked: bool) -> Any:
        now[0] = step
        return honest_gradients(self, step, batches, asked)

    def losses(self: Learner, batch: Batch) -> Any:
        found = honest_losses(self, batch)
        if self._ranks.rank in steps.get(now[0], ()):
            found[0] = found[0] * value
        return found

    Learner.gradients, Learner.losses = gradients, losses  # type: ignore[method-assign]


def poisoned_target(recipe: Recipe, corpora: list[Path], out: Path, told: dict[str, Any]) -> None:
    poison({int(step): set(ranks) for step, ranks in told.items()})
    train_target(recipe, corpora, out, {})


@pytest.fixture
def honest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what `poison` did, after the test."""
    monkeypatch.setattr(Learner, "gradients", Learner.gradients)
    monkeypatch.setattr(Learner, "losses", Learner.losses)


def events(out: Path, name: str) -> list[dict[str, Any]]:
    return [line for line in journal.read(out) if line["event"] == name]


def test_nan_on_one_rank_is_refused_by_both(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    recipe = tiny_recipe(train__tokens=256 * 8, train__checkpoint_every=2)
    with processes(poisoned_target, (recipe, [corpus], out, {"3": [1], "6": [0]}), ranks=2) as started:
        pass
    assert [process.exitcode for process in started] == [0, 0]  # ranks that disagreed would wait for each other
    refused = events(out, "refused")
    assert [line["step"] for line in refused] == [3, 6]
    assert [line["step"] for line in events(out, "step")] == [1, 2, 4, 5, 7, 8]
    for line in refused:
        assert line["reason"] == "the loss is nan"
        documents = {row["id"] for row in lineage.worst(lineage.at_step(out, line["step"]))}
        assert {row["id"] for row in line["documents"]} == documents
        broken = [row["loss"] is None for row in line["documents"]]
        assert any(broken)  # one rank's rows
        assert broken == sorted(broken, reverse=True)  # the worst first
    assert all(json.loads(line) for line in lines(out))
    assert "NaN" not in (out / "journal.jsonl").read_text()  # no JSON


def test_a_refused_step_leaves_the_weights_alone(corpus: Path, tmp_path: Path, honest: None) -> None:
    # the only difference of an unlearnt step is that it was not learnt: the next loss is that of the weights before
    poison({2: {0}})
    recipe = tiny_recipe(train__tokens=256 * 3)
    train(recipe, [corpus], tmp_path / "model")
    poison({}, 1.0)
    assert [line["step"] for line in events(tmp_path / "model", "step")] == [1, 3]
    assert all(part["bits_per_byte"] > 0 for part in events(tmp_path / "model", "evaluation"))


def test_after_enough_in_a_row_the_run_goes_back_and_skips_them(corpus: Path, tmp_path: Path, honest: None) -> None:
    poison({7: {0}, 8: {0}, 9: {0}})  # a checkpoint is written at 8, in the middle
    out = tmp_path / "model"
    result = train(tiny_recipe(), [corpus], out)
    assert result.finished
    kinds = [(line["event"], line["step"]) for line in journal.read(out) if line["event"] != "evaluation"]
    assert kinds[6:15] == [
        ("refused", 7), ("refused", 8), ("refused", 9), ("went back", 9),
        ("skipped", 7), ("skipped", 8), ("skipped", 9), ("step", 10), ("step", 11)]  # fmt: skip
    (back,) = events(out, "went back")
    assert (back["to"], back["skipped"]) == (6, [7, 8, 9])
    for step in range(1, 25):  # what was refused can be asked for, and all stands there once
        pieces = lineage.at_step(out, step)
        assert len(set(zip(pieces["row"].to_pylist(), pieces["first"].to_pylist(), strict=True))) == pieces.num_rows


def test_before_any_checkpoint_it_goes_back_to_the_beginning(corpus: Path, tmp_path: Path, honest: None) -> None:
    poison({1: {0}, 2: {0}, 3: {0}})
    train(tiny_recipe(train__checkpoint_every=100), [corpus], tmp_path / "model")
    assert events(tmp_path / "model", "went back")[0]["to"] == 0
    assert [line["step"] for line in events(tmp_path / "model", "step")] == list(range(4, 25))


def test_going_back_in_vain_ends_with_the_documents_named(corpus: Path, tmp_path: Path, honest: None) -> None:
    poison({step: {0} for step in range(5, 25)})
    with pytest.raises(Failure, match=r"going back to step [468] did not help 3 times: look at documents [0-9a-f]{32}"):
        train(tiny_recipe(), [corpus], tmp_path / "model")


def test_a_killed_run_goes_back_again_alike(corpus: Path, tmp_path: Path, honest: None) -> None:
    """Refusals are part of the state: stopped in the middle of them, the journal comes out the same."""
    poison({6: {0}, 7: {0}, 10: {0}, 11: {0}, 12: {0}})
    train(tiny_recipe(), [corpus], tmp_path / "one")
    from trainer import checkpoint

    train(tiny_recipe(), [corpus], tmp_path / "two")
    for step in checkpoint.listed(tmp_path / "two"):
        if step > 20:
            checkpoint.remove(tmp_path / "two", [step])
    train(tiny_recipe(), [corpus], tmp_path / "two")
    assert lines(tmp_path / "two") == lines(tmp_path / "one")


def test_a_spike_is_refused_only_after_warm_up_and_enough_steps() -> None:
    refusals = Refusals(6.0, 3)
    for n in range(ENOUGH - 1):
        refusals.accept(n, 3.0 + 0.01 * (n % 2))
    assert refusals.reason(9.0, 1.0, spikes_count=True) == ""
    refusals.accept(ENOUGH, 3.0)
    assert "9.0000 is above 3.0" in refusals.reason(9.0, 1.0, spikes_count=True)
    assert refusals.reason(9.0, 1.0, spikes_count=False) == ""
    assert refusals.reason(3.02, 1.0, spikes_count=True) == ""
    assert Refusals(0.0, 3, refusals.losses).reason(1e9, 1.0, spikes_count=True) == ""


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_always_refused(value: float) -> None:
    refusals = Refusals(0.0, 3)
    assert refusals.reason(value, 1.0, spikes_count=False)
    assert refusals.reason(1.0, value, spikes_count=False)


def test_a_refused_loss_moves_no_limit() -> None:
    refusals = Refusals(6.0, 3)
    refusals.accept(4, 1.0)
    assert [refusals.refuse(step) for step in (5, 6, 7)] == [False, False, True]
    assert list(refusals.losses) == [1.0]
    refusals.accept(8, 1.0)
    assert not refusals.refuse(9)


def test_progress_allows_going_back_again() -> None:
    refusals = Refusals(6.0, 1)
    for to in (10, 20, 30, 40):
        refusals.accept(to, 1.0)
        refusals.refuse(to + 1)
        refusals.go_back(to, ["a"])
    for _ in range(ROLLBACKS - 2):
        refusals.accept(39, 1.0)  # done again: no progress
        refusals.refuse(42)
        refusals.go_back(38, ["a"])
    refusals.refuse(43)
    with pytest.raises(Failure, match="documents a, b"):
        refusals.go_back(40, ["a", "b"])


@given(st.lists(st.floats(0, 20), min_size=1, max_size=200), st.sets(st.integers(1, 99)))
def test_its_state_comes_back_from_json_exactly(losses: list[float], skipped: set[int]) -> None:
    refusals = Refusals(6.0, 3, skipped=skipped)
    for step, loss in enumerate(losses):
        refusals.accept(step, loss)
    other = Refusals(6.0, 3)
    other.load(json.loads(json.dumps(refusals.state())))
    assert other == refusals


@given(st.lists(st.floats(0, 20), min_size=1, max_size=50), st.floats(0, 10))
def test_the_limit_is_at_or_above_the_mean(losses: list[float], sigmas: float) -> None:
    assert spike_limit(losses, sigmas) >= sum(losses) / len(losses) - 1e-9
    assert spike_limit(losses, 0) == pytest.approx(sum(losses) / len(losses))
