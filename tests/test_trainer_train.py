"""A run goes on as if nothing had been: after kill -9, with other ranks, after a signal; and from other weights."""

import dataclasses
import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from small_corpus import chat_run, conversation, text_run, write_run
from tiny_training import lines, processes, run_ranks, tiny_recipe, train_target

from trainer import checkpoint, journal, lineage
from trainer import train as training
from trainer.failures import Failure, UsageFailure
from trainer.train import train


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_run(tmp_path_factory.mktemp("train") / "run", 40)


@pytest.fixture(scope="module")
def unbroken(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("train") / "model"
    assert train(tiny_recipe(), [corpus], out).finished
    return out


def events(out: Path, name: str) -> list[dict[str, Any]]:
    return [line for line in journal.read(out) if line["event"] == name]


def all_lineage(out: Path) -> pa.Table:
    tables = [pq.read_table(path) for path in (out / "lineage").glob("part-*")]
    plain = [table.set_column(3, "id", table["id"].cast(pa.string())).drop_columns(["source"]) for table in tables]
    return pa.concat_tables(plain).sort_by([("step", "ascending"), ("row", "ascending"), ("document", "ascending")])


def test_it_learns_and_says_how_well(unbroken: Path) -> None:
    steps, scores = events(unbroken, "step"), events(unbroken, "evaluation")
    assert [line["step"] for line in steps] == list(range(1, 25))
    assert [line["step"] for line in scores] == [6, 12, 18, 24]
    assert steps[0]["loss"] == pytest.approx(5.7, abs=0.1)  # ln(300)
    assert steps[-1]["loss"] < 4.6
    assert scores[-1]["bits_per_byte"] < scores[0]["bits_per_byte"]
    assert set(scores[-1]["sources"]) == {"books", "web"}


def test_the_journal_has_no_clock_and_the_same_run_the_same_one(unbroken: Path, corpus: Path, tmp_path: Path) -> None:
    train(tiny_recipe(), [corpus], tmp_path / "model")
    assert lines(tmp_path / "model") == lines(unbroken)


def test_a_run_killed_at_any_moment_goes_on_exactly(unbroken: Path, corpus: Path, tmp_path: Path) -> None:
    out, draw = tmp_path / "model", random.Random(7)
    killed = 0
    while killed < 5:
        with processes(train_target, (tiny_recipe(), [corpus], out, {})) as (process,):
            before = len(lines(out)) if (out / "journal.jsonl").exists() else 0
            wanted = before + draw.randrange(1, 8)
            until = time.monotonic() + 20
            while process.is_alive() and time.monotonic() < until:
                if (out / "journal.jsonl").exists() and len(lines(out)) >= wanted:
                    break
            time.sleep(draw.random() * 0.05)
            process.kill()
        killed += 1
    result = train(tiny_recipe(), [corpus], out)
    assert lines(out) == lines(unbroken)
    assert all_lineage(out).equals(all_lineage(unbroken))
    assert (result.steps, result.best_step) == (24, 24)
    for name in (checkpoint.MODEL, checkpoint.OPTIMIZER):
        ours, theirs = (load_file(checkpoint.path_of(folder, 24) / name) for folder in (out, unbroken))
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert checkpoint.listed(out) == checkpoint.listed(unbroken)


def test_other_numbers_of_ranks_read_the_same_and_learn_the_same(unbroken: Path, corpus: Path, tmp_path: Path) -> None:
    """1 -> 2 -> 1 ranks, in runs that are stopped between."""
    out = tmp_path / "model"
    train(tiny_recipe(), [corpus], out, on_evaluation=lambda step, bits: step == 6)
    _not_finished(out, 6)
    assert run_ranks(2, tiny_recipe(), [corpus], out) == [0, 0]
    assert train(tiny_recipe(), [corpus], out, restore="16").steps == 24
    ours, theirs = events(out, "step"), events(unbroken, "step")
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    assert [line["loss"] for line in ours] == pytest.approx([line["loss"] for line in theirs], rel=2e-3)
    keys = ["step", "row", "document", "first", "tokens"]
    assert all_lineage(out).select(keys).equals(all_lineage(unbroken).select(keys))


def _not_finished(out: Path, step: int) -> None:
    """Make an early stop one that goes on: its checkpoint says that it is not finished."""
    found = checkpoint.read(out, step)
    state = {key: value for key, value in found.state.items() if key != "step"} | {"finished": False}
    checkpoint.save(out, step, found.model, found.optimizer, state)


def test_rows_that_do_not_divide_among_the_ranks(corpus: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(train__batch_tokens=7 * 32, train__tokens=4 * 7 * 32, train__micro_batch_tokens=64)
    train(recipe, [corpus], tmp_path / "one")
    assert run_ranks(2, recipe, [corpus], tmp_path / "two") == [0, 0]
    one, two = ([line["loss"] for line in events(tmp_path / name, "step")] for name in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-3)


def test_more_ranks_than_rows_is_a_clear_error(corpus: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(train__batch_tokens=32, train__tokens=32)
    assert run_ranks(2, recipe, [corpus], tmp_path / "model", tmp_path / "errors") == [2, 2]
    assert "train.batch_tokens: 1 rows for 2 ranks" in (tmp_path / "errors").read_text()


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_signal_writes_a_checkpoint_and_ends_well(corpus: Path, tmp_path: Path, ranks: int) -> None:
    out = tmp_path / "model"
    recipe = tiny_recipe(train__tokens=256 * 4000, train__checkpoint_every=100_000, train__evaluate_every=100_000)
    with processes(train_target, (recipe, [corpus], out, {}), ranks) as started:
        until = time.monotonic() + 60
        while time.monotonic() < until and not ((out / "journal.jsonl").exists() and len(lines(out)) > 3):
            time.sleep(0.01)
        started[-1].terminate()  # SIGTERM to one rank: all of them stop
    assert [process.exitcode for process in started] == [0] * ranks
    (step,) = checkpoint.listed(out)
    assert events(out, "step")[-1]["step"] == step
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_losses_of_documents_add_up_to_the_journals(unbroken: Path) -> None:
    for line in events(unbroken, "step"):
        pieces = lineage.at_step(unbroken, line["step"])
        total, tokens = (pieces[name].to_numpy().sum(dtype="f8") for name in ("loss", "tokens"))
        assert total / tokens == pytest.approx(line["loss"], rel=1e-6)
        for source, part in line["sources"].items():
            mine = pieces.filter(pa.compute.equal(pieces["source"].cast(pa.string()), source))
            assert mine["loss"].to_numpy().sum(dtype="f8") == pytest.approx(part["loss"] * part["tokens"], rel=1e-6)
            assert mine["tokens"].to_numpy().sum() == part["tokens"]


def test_micro_batches_change_nothing_but_rounding(unbroken: Path, corpus: Path, tmp_path: Path) -> None:
    train(tiny_recipe(train__micro_batch_tokens=96), [corpus], tmp_path / "model")
    ours, theirs = ([line["loss"] for line in events(out, "step")] for out in (tmp_path / "model", unbroken))
    assert ours == pytest.approx(theirs, rel=2e-3)


def test_a_finished_run_says_so_and_does_nothing(unbroken: Path, corpus: Path) -> None:
    before = lines(unbroken)
    result = train(tiny_recipe(), [corpus], unbroken)
    assert (result.steps, result.finished) == (24, True)
    assert lines(unbroken) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer__lr": 0.5}, "optimizer.lr = 0.02"),
        ({"train__seed": 3}, "train.seed"),
        ({"model__depth": 2}, "depth"),
    ],
)
def test_another_recipe_in_the_same_folder_is_refused(
    unbroken: Path, corpus: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageFailure, match=said):
        train(tiny_recipe(**changes), [corpus], unbroken)


def test_what_does_not_change_the_result_may_change(unbroken: Path, corpus: Path) -> None:
    assert train(tiny_recipe(train__threads=2, train__keep_last=5), [corpus], unbroken).finished


def test_another_corpus_in_the_same_folder_is_refused(unbroken: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageFailure, match="other documents"):
        train(tiny_recipe(), [text_run(tmp_path / "run", 41)], unbroken)


def test_a_folder_of_something_else_is_refused(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageFailure, match=r"thesis\.tex"):
        train(tiny_recipe(), [corpus], tmp_path)


def test_what_a_kill_left_of_a_beginning_is_begun_anew(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()
    (out / "recipe.json").write_text("{}")
    assert train(tiny_recipe(train__tokens=512), [corpus], out).finished


def test_early_stopping_keeps_the_best(corpus: Path, tmp_path: Path) -> None:
    # without a learning rate to speak of, no evaluation is better than the first by more than nothing
    recipe = tiny_recipe(optimizer__lr=0.6, optimizer__lr_rest=0.6, train__stop_after=1, optimizer__schedule="constant",
                         train__evaluate_every=1, train__tokens=256 * 60)  # fmt: skip
    result = train(recipe, [corpus], tmp_path / "model")
    assert result.finished
    assert result.steps < 60
    assert result.best_step < result.steps
    assert result.best_step in checkpoint.listed(tmp_path / "model")
    assert train(recipe, [corpus], tmp_path / "model").steps == result.steps


def test_weights_of_a_run_are_where_another_starts(unbroken: Path, corpus: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(optimizer__lr=1e-9, optimizer__lr_rest=1e-9, train__tokens=256)
    short = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, depth=4, width=0))  # the defaults
    train(short, [corpus], tmp_path / "model", init=f"{unbroken}@best")
    came, went = (checkpoint.read(folder, step).model for folder, step in ((tmp_path / "model", 1), (unbroken, 24)))
    assert all(torch.allclose(came[name], went[name], atol=1e-6) for name in went)
    scores = [events(folder, "evaluation")[-1]["bits_per_byte"] for folder in (tmp_path / "model", unbroken)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)
    with pytest.raises(UsageFailure, match=r"model\.width: the recipe says 64"):
        train(tiny_recipe(model__width=64), [corpus], tmp_path / "other", init=str(unbroken))
    with pytest.raises(UsageFailure, match="was begun with --init"):
        train(short, [corpus], tmp_path / "model")


def test_weights_of_a_larger_tokenizer_need_leave(unbroken: Path, corpus: Path, tmp_path: Path) -> None:
    from trainer import recipe as recipes
    from trainer import tokenizer

    recipe = dataclasses.replace(tiny_recipe(train__tokens=256), model=recipes.Model())
    tokenizer.train([corpus], recipes.Tokenizer(vocab=320)).save(tmp_path / "larger")
    larger = dataclasses.replace(recipe, tokenizer=recipes.Tokenizer(path=str(tmp_path / "larger")))
    with pytest.raises(UsageFailure, match="--extend-vocab"):
        train(larger, [corpus], tmp_path / "model", init=str(unbroken))
    train(larger, [corpus], tmp_path / "model", init=str(unbroken), extend_vocab=True)
    assert json.loads((tmp_path / "model" / "model.json").read_text())["vocab"] == 320


def test_chat_learns_from_what_the_assistant_says_alone(tmp_path: Path) -> None:
    run = chat_run(tmp_path / "run", 24)
    recipe = tiny_recipe(data__kind="chat", data__sequence_length=128, train__tokens=4 * 1024, train__batch_tokens=1024)
    train(recipe, [run], tmp_path / "model")
    for line in events(tmp_path / "model", "step"):
        assert 0 < line["sources"]["talks"]["tokens"] < 900  # questions, system messages and padding are no targets
        pieces = lineage.at_step(tmp_path / "model", line["step"])
        assert pieces["tokens"].to_numpy().sum() == line["sources"]["talks"]["tokens"]


def test_a_conversation_without_an_answer_is_no_nan(tmp_path: Path) -> None:
    mute = [conversation([("user", f"question {n} " + "and so on " * 12)]) for n in range(6)]
    spoken = [conversation([("user", f"why {n}?"), ("assistant", "because of the rain " * 3)]) for n in range(6)]
    run = write_run(tmp_path / "run", mute + spoken)
    recipe = tiny_recipe(data__kind="chat", data__validation=0.2, train__batch_tokens=32, train__tokens=32 * 12,
                         train__checkpoint_every=0)  # fmt: skip
    result = train(recipe, [run], tmp_path / "model")
    assert result.bits_per_byte > 0
    assert not events(tmp_path / "model", "refused")
    assert all(line["gradient_norm"] > 0 for line in events(tmp_path / "model", "step"))


def test_replay_mixes_two_corpora_in_their_shares(tmp_path: Path) -> None:
    new, old = text_run(tmp_path / "new", 30), text_run(tmp_path / "old", 44)
    recipe = tiny_recipe(data__mixture={"new/*": 0.75, "old/*": 0.25}, train__tokens=256 * 16)
    train(recipe, [new, old], tmp_path / "model")
    pieces = all_lineage(tmp_path / "model")
    names = lineage.at_step(tmp_path / "model", 1)["source"].cast(pa.string()).to_pylist()
    assert {name.split("/")[0] for name in names} == {"new", "old"}
    by_id = {row["id"]: row["source"] for step in range(1, 17) for row in lineage.at_step(tmp_path / "model", step)
             .select(["id", "source"]).to_pylist()}  # fmt: skip
    tokens = {"new": 0, "old": 0}
    for row in pieces.select(["id", "tokens"]).to_pylist():
        tokens[by_id[row["id"]].split("/")[0]] += row["tokens"]
    assert tokens["new"] / sum(tokens.values()) == pytest.approx(0.75, abs=0.05)


def test_no_validation_text_is_no_best(corpus: Path, tmp_path: Path) -> None:
    result = train(tiny_recipe(data__validation=0.0, train__tokens=512), [corpus], tmp_path / "model")
    assert result.best_step == 0
    assert result.bits_per_byte != result.bits_per_byte


def test_el2n_is_written_when_the_lineage_is_full(corpus: Path, tmp_path: Path) -> None:
    train(tiny_recipe(train__lineage="full", train__tokens=512), [corpus], tmp_path / "model")
    pieces = lineage.at_step(tmp_path / "model", 1)
    per_token = pieces["el2n"].to_numpy() / pieces["tokens"].to_numpy()
    assert ((per_token > 0.5) & (per_token < 1.5)).all()  # ||p - onehot|| of an untrained model is about 1


def test_a_run_that_fails_closes_what_it_opened(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.Run, "_once", lambda self: (_ for _ in ()).throw(Failure("the disk is full")))
    with pytest.raises(Failure, match="disk"):
        train(tiny_recipe(), [corpus], tmp_path / "model")
    monkeypatch.undo()
    assert train(tiny_recipe(train__tokens=24 * 256), [corpus], tmp_path / "model").finished


def test_adapters_alone_are_learnt_and_merged_when_read(unbroken: Path, corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="adapters are an extra")
    out = tmp_path / "model"
    raw = tiny_recipe(adapter__rank=2, train__tokens=256 * 8)
    recipe = dataclasses.replace(raw, model=dataclasses.replace(raw.model, depth=4, width=0))
    with pytest.raises(UsageFailure, match=r"adapter\.rank.*--init"):
        train(recipe, [corpus], tmp_path / "other")
    train(recipe, [corpus], out, init=str(unbroken))
    base, tuned = checkpoint.read(unbroken, 24).model, checkpoint.read(out, 8).model
    name = "model.layers.0.self_attn.q_proj"
    assert torch.equal(tuned[f"{name}.base_layer.weight"], base[f"{name}.weight"])
    assert torch.equal(tuned["model.embed_tokens.weight"], base["model.embed_tokens.weight"])
    merged = checkpoint.load_model(out, "last")[0].state_dict()
    assert merged.keys() == base.keys()
    assert not torch.equal(merged[f"{name}.weight"], base[f"{name}.weight"])
    journal_before = lines(out)
    checkpoint.remove(out, [8])
    train(recipe, [corpus], out, init=str(unbroken))  # goes on exactly, too
    assert lines(out) == journal_before
    train(dataclasses.replace(recipe, adapter=type(recipe.adapter)()), [corpus], tmp_path / "next", init=str(out))
