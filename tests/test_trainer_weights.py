"""A document's weight multiplies its losses in the gradient, and changes nothing else."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from small_corpus import text_run, texts, write_run
from tiny_training import lines, tiny_recipe

from corpus import corrections
from trainer import journal, packing, tokenizer, weights
from trainer.failures import Failure, UsageFailure
from trainer.run_folder import open_runs
from trainer.train import train


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def weigh(run: Path, **weight_by_id: float) -> Path:
    rows = [{"id": name, "weight": weight, "reason": "r", "signed_by": "b"} for name, weight in weight_by_id.items()]
    pq.write_table(pa.Table.from_pylist(rows, schema=corrections.WEIGHT_SCHEMA), run / weights.FILE)
    return run


def found(*runs: Path) -> tuple[weights.Weights | None, Any]:
    recipe = tiny_recipe()
    tokens = tokenizer.train(list(runs), recipe.tokenizer)
    shards = packing.open_shards(list(runs), tokens, recipe.data)
    return weights.read(open_runs(list(runs)), shards), shards


def ids(run: Path) -> list[str]:
    names: list[str] = pq.read_table(run / "docs")["id"].to_pylist()
    return sorted(names)


def first_losses(out: Path, count: int = 3) -> list[float]:
    return [line["loss"] for line in journal.read(out) if line["event"] == "step"][:count]


def test_the_name_is_the_one_that_a_build_writes() -> None:
    assert weights.FILE == corrections.WEIGHTS
    assert {"id", "weight"} <= set(corrections.WEIGHT_SCHEMA.names)


def test_every_document_finds_its_own(tmp_path: Path) -> None:
    run = text_run(tmp_path / "run")
    one, other = ids(run)[3], ids(run)[20]
    weigh(run, **{one: 0.25, other: 3.0, "0" * 32: 9.0})  # a document that was taken down since
    read, shards = found(run)
    assert read is not None
    assert read.count == 2
    wanted = {one: 0.25, other: 3.0}
    names = shards.documents["id"].to_pylist()
    assert read.values.tolist() == [*(wanted.get(name, 1.0) for name in names), 1.0]
    positions = np.array([[names.index(one), names.index(other), -1]], np.int32)
    assert read.of(positions).tolist() == [[0.25, 3.0, 1.0]]


def test_a_document_of_two_corpora_weighs_what_each_says(tmp_path: Path) -> None:
    one, two = (write_run(tmp_path / name, texts(20)) for name in ("one", "two"))
    name = ids(one)[0]
    weigh(two, **{name: 0.5})
    read, shards = found(one, two)
    assert read is not None
    rows = shards.documents.to_pylist()
    told = {row["source"].split("/")[0]: read.values[row["document"]] for row in rows if row["id"] == name}
    assert told == {"one": 1.0, "two": 0.5}


@pytest.mark.parametrize("weight", [None, 1.0])
def test_without_weights_nothing_is_kept(weight: float | None, tmp_path: Path) -> None:
    run = text_run(tmp_path / "run", 20)
    if weight is not None:
        weigh(run, **{ids(run)[0]: weight})
    assert found(run)[0] is None


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_named(weight: float, tmp_path: Path) -> None:
    run = text_run(tmp_path / "run", 20)
    weigh(run, **{ids(run)[0]: weight})
    with pytest.raises(Failure, match=r"weights\.parquet: row 1"):
        found(run)


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    run = text_run(tmp_path / "run", 20)
    (run / weights.FILE).write_bytes(b"PAR1 not")
    with pytest.raises(Failure, match=r"weights\.parquet: cannot be read"):
        found(run)


def test_losses_are_told_as_they_are_and_learnt_as_they_weigh(tmp_path: Path) -> None:
    plain, weighed = (text_run(tmp_path / name / "run", 40) for name in ("plain", "weighed"))
    weigh(weighed, **dict.fromkeys(ids(weighed)[::2], 0.0))
    for run in (plain, weighed):
        train(tiny_recipe(), [run], run.parent / "model")
    one, other = first_losses(tmp_path / "plain" / "model"), first_losses(tmp_path / "weighed" / "model")
    assert one[0] == other[0]  # the same rows, and a loss is what the document's text says
    assert one[1:] != other[1:]


def test_weights_all_alike_are_a_factor_of_the_gradient(tmp_path: Path) -> None:
    plain, weighed = (text_run(tmp_path / name / "run", 40) for name in ("plain", "weighed"))
    weigh(weighed, **dict.fromkeys(ids(weighed), 0.5))
    recipe = tiny_recipe()
    recipe = dataclasses.replace(recipe, optimizer=dataclasses.replace(recipe.optimizer, clip=0.0))
    for run in (plain, weighed):
        train(recipe, [run], run.parent / "model")
    one, other = (
        next(line["gradient_norm"] for line in journal.read(tmp_path / name / "model") if line["event"] == "step")
        for name in ("plain", "weighed")
    )
    assert other == pytest.approx(0.5 * one, rel=1e-5)


def test_what_weighs_nothing_teaches_nothing(tmp_path: Path) -> None:
    run = text_run(tmp_path / "run", 40)
    weigh(run, **dict.fromkeys(ids(run), 0.0))
    train(tiny_recipe(), [run], tmp_path / "model")
    steps = [line for line in journal.read(tmp_path / "model") if line["event"] == "step"]
    assert all(line["gradient_norm"] == 0.0 for line in steps)


def test_a_run_goes_on_only_with_the_weights_that_it_began_with(tmp_path: Path) -> None:
    run = text_run(tmp_path / "run", 40)
    name = ids(run)[0]
    weigh(run, **{name: 2.0})
    train(tiny_recipe(), [run], tmp_path / "model")
    before = lines(tmp_path / "model")
    train(tiny_recipe(), [run], tmp_path / "model")
    assert lines(tmp_path / "model") == before
    weigh(run, **{name: 3.0})
    with pytest.raises(UsageFailure, match="other weights"):
        train(tiny_recipe(), [run], tmp_path / "model")
