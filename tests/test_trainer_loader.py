"""Read ahead or not, backwards or not: a step is its rows."""

import numpy as np
import pytest
from small_corpus import text_run

from trainer import recipe
from trainer.loader import Loader
from trainer.order import Order
from trainer.packing import open_shards
from trainer.shards import Batch, Shards
from trainer.tokenizer import train


class Counting:
    """Shards that remember how often each row was read, and break where told to."""

    def __init__(self, shards: Shards, broken: tuple[int, ...] = ()) -> None:
        self.shards, self.broken, self.reads = shards, broken, 0

    def read(self, split: str, source: np.ndarray, row: np.ndarray, length: int) -> Batch:
        self.reads += len(row)
        if self.reads in self.broken:
            raise OSError("the disk is gone")
        return self.shards.read(split, source, row, length)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    run = text_run(tmp_path_factory.mktemp("corpus") / "run")
    return open_shards([run], train([run], recipe.Tokenizer(vocab=400)), recipe.Data())


@pytest.fixture(scope="module")
def order(shards: Shards) -> Order:
    return Order(shards.rows_per_source("train", 32), None, 10, 3)


def same(one: list[Batch], other: list[Batch]) -> bool:
    fields = ("tokens_BT", "targets_BT", "documents_BT", "source_B", "row_B")
    return len(one) == len(other) and all(
        np.array_equal(getattr(a, f), getattr(b, f)) for a, b in zip(one, other, strict=True) for f in fields
    )


@pytest.mark.parametrize(("rank", "ranks", "micro", "sizes"), [(0, 1, 4, [4, 4, 2]), (1, 3, 0, [3]), (2, 3, 3, [3, 1])])
def test_a_step_is_its_rows_in_micro_batches(
    shards: Shards, order: Order, rank: int, ranks: int, micro: int, sizes: list[int]
) -> None:
    with Loader(shards, "train", order, 32, rank, ranks, micro) as loader:
        for step in (0, 1, 2, 17, 5):
            found = loader.step(step)
            source, row = order.rows_at(step, rank, ranks)
            assert [len(batch.row_B) for batch in found] == sizes
            assert np.concatenate([batch.source_B for batch in found]).tolist() == source.tolist()
            assert np.concatenate([batch.row_B for batch in found]).tolist() == row.tolist()
            assert np.array_equal(
                np.concatenate([batch.tokens_BT for batch in found]), shards.read("train", source, row, 32).tokens_BT
            )


def test_steps_after_a_restore_are_those_of_an_unbroken_run(shards: Shards, order: Order) -> None:
    with Loader(shards, "train", order, 32, micro_rows=4) as loader:
        unbroken = [loader.step(step) for step in range(12)]
        back = [loader.step(step) for step in (3, 4, 5)]
    assert all(same(one, other) for one, other in zip(unbroken[3:6], back, strict=True))
    with Loader(shards, "train", order, 32, micro_rows=4, ahead=0) as loader:
        assert same(loader.step(7), unbroken[7])


def test_nothing_is_read_twice(shards: Shards, order: Order) -> None:
    counting = Counting(shards)
    with Loader(counting, "train", order, 32, ahead=3) as loader:  # type: ignore[arg-type]
        for step in (0, 1, 2, 4, 5):
            loader.step(step)
    assert counting.reads <= 9 * 10  # steps 0 to 8
    assert counting.reads >= 6 * 10


def test_what_breaks_in_the_thread_reaches_the_caller(shards: Shards, order: Order) -> None:
    with Loader(Counting(shards, broken=(30,)), "train", order, 32) as loader:  # type: ignore[arg-type]
        loader.step(0)
        loader.step(1)
        with pytest.raises(OSError, match="the disk is gone"):
            loader.step(2)
        loader.step(3)  # and the next is read


def test_a_rank_without_rows_has_no_batch(shards: Shards) -> None:
    order = Order(shards.rows_per_source("train", 32), None, 2, 0)
    with Loader(shards, "train", order, 32, 0, 4) as loader:
        assert loader.step(0) == []
