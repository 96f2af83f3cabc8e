"""Our Muon is torch's without its rounding: an orthogonal update, the same momentum, decay and scale."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from trainer import muon

SHAPES = ((24, 24), (40, 16), (16, 40), (24, 24), (1, 8))
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def parameters() -> list[Parameter]:
    draw = torch.Generator().manual_seed(0)
    return [Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]


def moved(optimizer: torch.optim.Optimizer, named: list[Parameter], steps: int = 4) -> list[torch.Tensor]:
    before, draw = [p.detach().clone() for p in named], torch.Generator().manual_seed(1)
    for _ in range(steps):
        for parameter in named:
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        optimizer.step()
    return [p.detach() - old for p, old in zip(named, before, strict=True)]


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw"])
def test_it_moves_as_torch_does_but_for_rounding(adjust: str, nesterov: bool) -> None:
    settings: dict[str, Any] = {
        "lr": 0.02,
        "weight_decay": 0.1,
        "momentum": 0.9,
        "nesterov": nesterov,
        "adjust_lr_fn": adjust,
    }
    ours, theirs = parameters(), parameters()
    one, other = muon.Muon(ours, **settings), torch.optim.Muon(theirs, **settings)
    for mine, reference in zip(moved(one, ours), moved(other, theirs), strict=True):
        assert (mine - reference).norm() < 0.05 * reference.norm()  # bfloat16 has 8 bits, and five products follow
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.state[mine], other.state[reference])


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 40, 16), (2, 16, 40)])
def test_an_update_is_nearly_orthogonal_and_keeps_its_directions(shape: tuple[int, int, int]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    out = muon.orthogonal(x, COEFFICIENTS, 5, 1e-7)
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    values = torch.diagonal(u.mT @ out @ v.mT, dim1=1, dim2=2)
    rest = u.mT @ out @ v.mT - torch.diag_embed(values)
    assert rest.abs().max() < 1e-4  # singular vectors stay
    large = torch.linalg.svdvals(x) > 0.1 * torch.linalg.matrix_norm(x)[:, None]
    assert values[large].min() > 0.6
    assert values.max() < 1.3


def test_matrices_do_not_touch_each_other() -> None:
    x = torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(3))
    alone = torch.cat([muon.orthogonal(one[None], COEFFICIENTS, 5, 1e-7) for one in x])
    torch.testing.assert_close(muon.orthogonal(x, COEFFICIENTS, 5, 1e-7), alone)


def test_how_many_are_taken_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one = parameters()
    many = moved(muon.Muon(one, lr=0.02), one)
    monkeypatch.setattr(muon, "BATCH_VALUES", 1)
    other = parameters()
    for a, b in zip(many, moved(muon.Muon(other, lr=0.02), other), strict=True):
        torch.testing.assert_close(a, b)


def test_a_parameter_without_a_gradient_stays() -> None:
    one, other = parameters()[:2]
    before = other.detach().clone()
    optimizer = muon.Muon([one, other], lr=0.02)
    one.grad = torch.ones_like(one)
    optimizer.step()
    assert torch.equal(other, before)
    assert other not in optimizer.state


def test_a_gradient_of_zeros_moves_nothing_but_the_decay() -> None:
    (one,) = parameters()[:1]
    before = one.detach().clone()
    one.grad = torch.zeros_like(one)
    muon.Muon([one], lr=0.02, weight_decay=0.1).step()
    torch.testing.assert_close(one.detach(), before * (1 - 0.002))
