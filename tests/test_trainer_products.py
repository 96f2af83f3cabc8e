"""Products of bfloat16: what is rounded is told, everything else is float32's, and a model learns the same."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from trainer import memory, products
from trainer.model import Transformer, shape_of
from trainer.recipe import Model, Recipe, Train

SHAPE = shape_of(Model(depth=2, width=64, head_width=32), 256)


def rounded(x: torch.Tensor) -> torch.Tensor:
    return x.bfloat16().double()


def test_a_product_rounds_what_it_reads_and_what_it_gives() -> None:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(3, 5, 16, generator=draw, requires_grad=True)
    weight = torch.randn(8, 16, generator=draw, requires_grad=True)
    gradient = torch.randn(3, 5, 8, generator=draw)
    found = products.product(x, weight)
    assert found.dtype == torch.float32
    assert found.shape == (3, 5, 8)
    torch.testing.assert_close(found.double(), rounded(x) @ rounded(weight).T, rtol=2**-7, atol=1e-3)
    found.backward(gradient)
    assert x.grad is not None
    assert weight.grad is not None
    assert x.grad.dtype == weight.grad.dtype == torch.float32
    torch.testing.assert_close(x.grad.double(), rounded(gradient) @ rounded(weight), rtol=2**-7, atol=1e-3)
    flat = rounded(gradient).flatten(0, 1).T @ rounded(x).flatten(0, 1)
    torch.testing.assert_close(weight.grad.double(), flat, rtol=2**-7, atol=1e-3)


@pytest.mark.parametrize("el2n", [False, True])
def test_a_model_says_and_learns_nearly_the_same(el2n: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    tokens_BT = torch.randint(256, (4, 32), generator=draw)
    told = []
    for half in (False, True):
        model = Transformer(SHAPE, half_products=half)
        model.initialise(0)
        with torch.no_grad():
            for number, parameter in enumerate(model.parameters()):  # nothing at 0, or gradients would be
                noise = torch.Generator().manual_seed(number)
                parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.05)
        out = model(tokens_BT, tokens_BT.roll(-1, 1), el2n=el2n)
        losses = out[0] if el2n else out
        losses.mean().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        assert gradient.isfinite().all()
        told.append((losses.detach(), gradient, out[1] if el2n else losses.detach()))
    (one, there, size), (other, back, half_size) = told
    torch.testing.assert_close(other, one, rtol=0.02, atol=0.05)
    torch.testing.assert_close(half_size, size, rtol=0.02, atol=0.05)
    assert F.cosine_similarity(there, back, dim=0) > 0.999
    assert not torch.equal(one, other)  # it was really in use


def test_the_recipe_decides_and_auto_asks_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for has in (False, True):
        monkeypatch.setattr(products, "supported", lambda has=has: has)
        for dtype, on_cpu in (("auto", has), ("float32", False), ("bfloat16", True)):
            recipe = dataclasses.replace(Recipe(), train=Train(dtype=dtype))  # type: ignore[arg-type]
            assert memory.half_products(recipe, cpu) == on_cpu
            assert not memory.half_products(recipe, cuda)
            assert memory.dtype_bytes(recipe, cpu) == 4
            assert memory.dtype_bytes(recipe, cuda) == (4 if dtype == "float32" else 2)
