"""Micro-batches side by side come to what they come to one after the other, and to the same bits every time."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_corpus import text_run
from tiny_training import lines, tiny_recipe

from trainer.lanes import Lanes
from trainer.model import Transformer, shape_of
from trainer.recipe import Model
from trainer.train import train


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def gradients(count: int) -> list[torch.Tensor]:
    model = Transformer(shape_of(Model(depth=2, width=32), 64))
    model.initialise(0)
    parameters = list(model.parameters())
    batches = torch.randint(64, (5, 3, 17), generator=torch.Generator().manual_seed(1))

    def objective(batch: torch.Tensor) -> tuple[torch.Tensor, int]:
        return model(batch[:, :-1], batch[:, 1:]).sum(), int(batch[0, 0])

    side_by_side = Lanes(count)
    told = list(side_by_side.backward(objective, list(batches), parameters))
    assert told == batches[:, 0, 0].tolist()
    side_by_side.close()
    return [p.grad for p in parameters if p.grad is not None]


def test_gradients_are_those_of_one_lane_and_the_same_bits_every_time() -> None:
    one, two, again = gradients(1), gradients(2), gradients(2)
    assert len(one) == len(two) > 10
    for a, b, c in zip(one, two, again, strict=True):
        torch.testing.assert_close(a, b)
        assert torch.equal(b, c)


def test_results_come_in_the_order_of_the_items_however_long_each_takes() -> None:
    def late(item: int) -> tuple[int, int, int]:
        time.sleep(0.02 * (item % 2 == 0))
        return item, threading.get_ident(), torch.get_num_threads()

    two = Lanes(2)
    found = list(two.run(late, range(7)))
    two.close()
    assert [item for item, _, _ in found] == list(range(7))
    assert len({thread for _, thread, _ in found}) == 2
    assert {threads for _, _, threads in found} == {2}  # four threads for two lanes
    assert torch.get_num_threads() == 4


def test_one_lane_is_the_caller_itself() -> None:
    assert list(Lanes().run(lambda _: threading.get_ident(), [0, 1])) == [threading.get_ident()] * 2


def test_a_failure_in_a_lane_is_the_callers_and_its_threads_are_as_before() -> None:
    def work(item: int) -> float:
        return 1 / item

    two = Lanes(2)
    with pytest.raises(ZeroDivisionError):
        list(two.run(work, [1, 0]))
    assert torch.get_num_threads() == 4
    assert list(two.run(work, [1, 2, 4])) == [1.0, 0.5, 0.25]
    two.close()


def test_a_denormal_number_is_flushed_in_every_lane() -> None:
    torch.set_flush_denormal(True)
    two = Lanes(2)
    found = list(two.run(lambda _: float(torch.tensor([1e-40]) * 1.0), range(8)))
    two.close()
    torch.set_flush_denormal(False)
    assert found == [0.0] * 8


def test_a_run_in_lanes_learns_what_a_run_in_one_does_and_repeats_itself(tmp_path: Path) -> None:
    corpus = text_run(tmp_path / "run", 40)
    for name, threads in (("one", 1), ("three", 3), ("again", 3)):
        train(tiny_recipe(train__threads=threads), [corpus], tmp_path / name)
    one, three, again = (events(tmp_path / name) for name in ("one", "three", "again"))
    assert three == again
    for name in ("loss", "bits_per_byte"):
        ours, theirs = ([line[name] for line in found if name in line] for found in (one, three))
        assert theirs == pytest.approx(ours, rel=2e-3)


def events(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(out)]
