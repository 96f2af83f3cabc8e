"""Losses are added up by document without losing one, and can be asked for by step and by document."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_corpus import chat_run, text_run

from trainer import lineage, packing, recipe, tokenizer
from trainer.failures import Failure
from trainer.lineage import Lineage, pieces
from trainer.order import Order
from trainer.shards import IGNORED, PADDING, Shards

LENGTH = 32


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    run = text_run(tmp_path_factory.mktemp("lineage") / "run", 24)
    tokens = tokenizer.train([run], recipe.Tokenizer(vocab=300))
    return packing.open_shards([run], tokens, recipe.Data(validation=0.1))


@given(
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_pieces_hold_every_loss_once(rows: list[list[int]], seed: int) -> None:
    length = 8
    draw = np.random.default_rng(seed)
    documents = np.full((len(rows), length), PADDING, np.int32)
    number = 0
    for place, sizes in enumerate(rows):
        column = 0
        for size in sizes:
            documents[place, column : column + size] = number
            column, number = column + size, number + 1
    targets = np.where((documents == PADDING) | (draw.random(documents.shape) < 0.2), IGNORED, 7)
    losses = np.where(targets == IGNORED, 0, draw.exponential(4, documents.shape)).astype(np.float32)
    found = pieces(documents, targets, losses)
    assert found["tokens"].sum() == (targets != IGNORED).sum()
    assert found["loss"].sum() == pytest.approx(losses.sum(), rel=1e-5, abs=1e-5)
    for place in range(len(found["row"])):
        mine = documents == found["document"][place]
        mine[: found["row"][place]] = mine[found["row"][place] + 1 :] = False
        learnt = losses[mine & (targets != IGNORED)].astype(float)
        assert np.flatnonzero(mine[found["row"][place]])[0] == found["column"][place]
        assert found["tokens"][place] == len(learnt)
        assert found["loss_square"][place] == pytest.approx((learnt**2).sum(), rel=1e-5)
        assert found["max"][place] == pytest.approx(max(learnt, default=0.0))
        assert found["low"][place] == (learnt < 0.1).sum()
        assert found["high"][place] == (learnt > 8).sum()


def test_a_loss_that_is_no_number_spoils_its_own_document_alone() -> None:
    documents = np.array([[0, 0, 1, 1]], np.int32)
    losses = np.array([[1, 2, np.nan, 3]], np.float32)
    found = pieces(documents, np.ones((1, 4), np.int64), losses)
    assert found["loss"][0] == 3
    assert np.isnan(found["loss"][1])


def write(folder: Path, shards: Shards, steps: list[int], rank: int = 0, ranks: int = 1) -> Lineage:
    """A lineage of steps whose losses are all step + 1 / 4."""
    order = Order(shards.rows_per_source("train", LENGTH), None, 8, 0)
    made = Lineage(folder, rank, shards, LENGTH, full=False)
    for step in steps:
        batch = shards.read("train", *order.rows_at(step - 1, rank, ranks), LENGTH)
        losses = torch.where(torch.from_numpy(batch.targets_BT) == IGNORED, 0.0, step + 0.25)
        made.add(step, 8 * rank // ranks, batch, [losses])
    return made


def test_a_step_is_found_again_whatever_the_number_of_ranks(tmp_path: Path, shards: Shards) -> None:
    write(tmp_path / "one", shards, [1, 2, 3]).flush()
    for rank in range(3):
        write(tmp_path / "three", shards, [1, 2, 3], rank, 3).flush()
    one, three = (lineage.at_step(tmp_path / name, 2) for name in ("one", "three"))
    keys = [("row", "ascending"), ("document", "ascending")]
    plain = [t.set_column(3, "id", t["id"].cast(pa.string())).drop_columns(["source"]) for t in (one, three)]
    assert plain[0].sort_by(keys).equals(plain[1].sort_by(keys))
    assert (one["loss"].to_numpy() / one["tokens"].to_numpy() == 2.25).all()


def test_pieces_know_where_in_their_document_they_start(tmp_path: Path, shards: Shards) -> None:
    write(tmp_path, shards, list(range(1, 40))).flush()  # more than an epoch: every token of every document
    sizes = dict(zip(shards.documents["id"].to_pylist(), shards.documents["tokens"].to_pylist(), strict=True))
    splits = dict(zip(shards.documents["id"].to_pylist(), shards.documents["split"].to_pylist(), strict=True))
    for name, size in sizes.items():
        if splits[name] == "train":
            found = lineage.of_document(tmp_path, name)
            covered = np.zeros(size, int)
            for piece in found.to_pylist():
                covered[piece["first"] : piece["first"] + piece["tokens"]] += 1
            assert covered.min() >= 1
            assert covered.max() - covered.min() <= 1


def test_conversations_start_where_they_start(tmp_path: Path) -> None:
    run = chat_run(tmp_path / "run", 12)
    tokens = tokenizer.train([run], recipe.Tokenizer(vocab=300))
    shards = packing.open_shards([run], tokens, recipe.Data(kind="chat", validation=0.1))
    order = Order(shards.rows_per_source("train", 512), None, 2, 0)
    made = Lineage(tmp_path, 0, shards, 512, full=False)
    batch = shards.read("train", *order.rows_at(0, 0, 1), 512)
    made.add(1, 0, batch, [torch.ones(batch.targets_BT.shape) * torch.from_numpy(batch.targets_BT != IGNORED)])
    made.flush()
    found = lineage.at_step(tmp_path, 1)
    assert set(found["first"].to_pylist()) == {0}  # rows hold whole conversations
    learnt = dict(zip(shards.documents["id"].to_pylist(), shards.documents["learnt"].to_pylist(), strict=True))
    assert all(learnt[row["id"]] == row["tokens"] for row in found.to_pylist())


def test_what_follows_a_checkpoint_is_cut(tmp_path: Path, shards: Shards) -> None:
    made = write(tmp_path, shards, [1, 2])
    made.flush()
    made = write(tmp_path, shards, [3, 4])
    made.flush()
    lineage.cut(tmp_path, 2)
    assert lineage.at_step(tmp_path, 2).num_rows
    with pytest.raises(Failure, match="nothing about step 3; steps 1 to 2 are written down"):
        lineage.at_step(tmp_path, 3)


def test_taking_back_keeps_what_is_not_done_again(tmp_path: Path, shards: Shards) -> None:
    write(tmp_path, shards, [1, 2]).flush()
    write(tmp_path, shards, [3, 4]).flush()
    made = write(tmp_path, shards, [5])
    made.take_back(2, {4}, 1)
    made.flush()
    assert [lineage.at_step(tmp_path, step).num_rows > 0 for step in (1, 2, 4)] == [True] * 3
    for step in (3, 5):
        with pytest.raises(Failure):
            lineage.at_step(tmp_path, step)


def test_the_worst_documents_come_first_and_no_numbers_before_them() -> None:
    table = pa.table(
        {
            "id": ["a", "b", "b", "c", "d"],
            "source": ["s"] * 5,
            "tokens": pa.array([10, 5, 5, 0, 2], pa.int32()),
            "loss": pa.array([10.0, 30.0, 10.0, 0.0, float("nan")], pa.float32()),
            "max": pa.array([2.0, 9.0, 3.0, 0.0, float("nan")], pa.float32()),
        }
    )
    found = lineage.worst(table)
    assert [(row["id"], row["loss"], row["tokens"]) for row in found] == [
        ("d", None, 2), ("b", 4.0, 10), ("a", 1.0, 10), ("c", 0.0, 0)]  # fmt: skip
    assert [row["max"] for row in found] == [None, 9.0, 2.0, 0.0]
    assert len(lineage.worst(table, 2)) == 2


def test_a_document_that_was_not_read_is_a_failure(tmp_path: Path, shards: Shards) -> None:
    with pytest.raises(Failure, match="no step has read"):
        lineage.of_document(tmp_path, "00")
    write(tmp_path, shards, [1]).flush()
    with pytest.raises(Failure, match="no step has read"):
        lineage.of_document(tmp_path, "zz")
