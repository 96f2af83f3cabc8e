"""Muon takes the matrices, AdamW the rest, and a state that was put away comes back exactly."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch.nn import Parameter

from trainer.failures import Failure
from trainer.optimizer import Named, Optimizers
from trainer.recipe import Optimizer


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def parameters() -> tuple[Named, Named]:
    draw = torch.Generator().manual_seed(0)

    def made(*shape: int) -> Parameter:
        return Parameter(torch.randn(shape, generator=draw))

    return [("a.weight", made(8, 4)), ("b.weight", made(4, 8))], [
        ("embed.weight", made(16, 4)),
        ("norm.weight", made(4)),
    ]


def learn(named: Named, optimizers: Optimizers, steps: int, seed: int = 1) -> None:
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for _, parameter in named:
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        optimizers.step()
        optimizers.zero_grad()


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_state_by_name_comes_back_exactly(kind: str) -> None:
    settings = dataclasses.replace(Optimizer(), matrices=kind)
    matrices, rest = parameters()
    one = Optimizers(matrices, rest, settings)
    learn([*matrices, *rest], one, 3)
    state = {name: value.clone() for name, value in one.state().items()}
    assert ("a.weight/momentum_buffer" in state) == (kind == "muon")
    assert ("a.weight/exp_avg" in state) == (kind == "adamw")
    assert {"embed.weight/exp_avg", "embed.weight/exp_avg_sq", "embed.weight/step"} <= state.keys()

    again_matrices, again_rest = parameters()
    with torch.no_grad():
        for (_, new), (_, old) in zip([*again_matrices, *again_rest], [*matrices, *rest], strict=True):
            new.copy_(old)
    two = Optimizers(again_matrices, again_rest, settings)
    two.load(state)
    learn([*matrices, *rest], one, 2, seed=5)
    learn([*again_matrices, *again_rest], two, 2, seed=5)
    for (_, new), (_, old) in zip([*again_matrices, *again_rest], [*matrices, *rest], strict=True):
        assert torch.equal(new, old)


def test_loading_nothing_forgets_everything() -> None:
    matrices, rest = parameters()
    one = Optimizers(matrices, rest, Optimizer())
    learn([*matrices, *rest], one, 1)
    one.load({})
    assert one.state() == {}


def test_a_muon_update_has_the_spectral_norm_that_its_rate_says() -> None:
    # original: rate x sqrt(max(1, out / in)); Newton-Schulz leaves singular values between about 0.7 and 1.2
    matrices, rest = parameters()
    before = [parameter.detach().clone() for _, parameter in matrices]
    one = Optimizers(matrices, rest, dataclasses.replace(Optimizer(), lr=0.1, weight_decay=0.0))
    learn([*matrices, *rest], one, 1)
    for old, (_, new), stretch in zip(before, matrices, (2**0.5, 1.0), strict=True):
        values = torch.linalg.svdvals(new.detach() - old) / (0.1 * stretch)
        assert ((values > 0.6) & (values < 1.3)).all()


def test_a_share_of_zero_moves_nothing_and_gains_are_not_decayed() -> None:
    matrices, rest = parameters()
    one = Optimizers(matrices, rest, dataclasses.replace(Optimizer(), weight_decay=0.5))
    before = [parameter.detach().clone() for _, parameter in [*matrices, *rest]]
    one.set_share(0.0)
    learn([*matrices, *rest], one, 1)
    assert all(torch.equal(old, new) for old, (_, new) in zip(before, [*matrices, *rest], strict=True))
    one.load({})
    one.set_share(1.0)
    for _, parameter in [*matrices, *rest]:
        parameter.grad = torch.zeros_like(parameter)
    one.step()
    changed = [not torch.equal(old, new) for old, (_, new) in zip(before, [*matrices, *rest], strict=True)]
    assert changed == [True, True, True, False]


def test_a_state_of_another_model_is_refused() -> None:
    matrices, rest = parameters()
    one = Optimizers(matrices, rest, Optimizer())
    with pytest.raises(Failure, match=r"c\.weight: this model has no such parameter"):
        one.load({"c.weight/exp_avg": torch.zeros(2)})
    with pytest.raises(Failure, match=r"shape \[2\] where the model has \[8, 4\]"):
        one.load({"a.weight/momentum_buffer": torch.zeros(2)})
