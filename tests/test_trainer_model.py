"""The model: its shape, its start, and what a token may depend on."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer import head, recipe
from trainer.failures import UsageFailure
from trainer.model import Shape, Transformer, shape_of

torch.set_num_threads(1)
SMALL: dict[str, Any] = {"depth": 2, "width": 32, "head_width": 16, "mlp_width": 64}
SHAPES: list[dict[str, Any]] = [
    {},
    {"mlp": "relu2", "tied": False},
    {"heads": 4, "head_width": 8, "kv_heads": 2, "qk_norm": False},
    {"depth": 3, "window": 5, "window_layers": "SL", "kv_heads": 1},
]


def build(vocab: int = 61, seed: int = 0, shaken: bool = True, **changes: Any) -> Transformer:
    """A small model; shaken: with output projections that are not 0 and gains that are not 1."""
    model = Transformer(shape_of(recipe.Model(**{**SMALL, **changes}), vocab))
    model.initialise(seed)
    if shaken:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def tokens(rows: int, length: int, vocab: int = 61, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, vocab, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("depth", [1, 3, 4, 8, 12, 17, 24])
def test_the_dial_gives_a_model_whose_sizes_fit(depth: int) -> None:
    shape = shape_of(recipe.Model(depth=depth), 2048)
    assert shape.width == 64 * depth == shape.heads * shape.head_width
    assert shape.heads % shape.kv_heads == 0
    assert shape.mlp_width % 64 == 0
    assert abs(shape.mlp_width / shape.width - 8 / 3) <= 0.5
    assert shape.head_width == (128 if depth in (16, 24) else 64)
    assert shape.tied == (dataclasses.replace(shape, tied=True).num_parameters() < 50e6)


@settings(max_examples=25, deadline=None)
@given(
    depth=st.integers(1, 3),
    heads=st.sampled_from([1, 2, 4]),
    kv_heads=st.sampled_from([1, 2, 4]),
    mlp=st.sampled_from(["swiglu", "relu2"]),
    tied=st.booleans(),
    qk_norm=st.booleans(),
)
def test_a_shape_counts_the_parameters_that_a_model_has(**changes: Any) -> None:
    if changes["heads"] % changes["kv_heads"]:
        return
    model = build(**changes, width=32, shaken=False)
    assert sum(parameter.numel() for parameter in model.parameters()) == model.shape.num_parameters()
    matrices = sum(parameter.numel() for _, parameter in model.matrices())
    assert matrices == model.shape.depth * model.shape.matrix_parameters()
    names = [name for name, _ in (*model.matrices(), *model.rest())]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    untied = model.shape.num_parameters() - model.shape.num_parameters(embeddings=False)
    assert untied == (0 if changes["tied"] else 61 * 32)


def test_flops_are_those_of_the_matrices_and_of_what_layers_see() -> None:
    shape = shape_of(recipe.Model(depth=4, window=64, window_layers="SSSL", tied=True), 1000)
    assert shape.window_layers == "SSSL"
    spans = 3 * 64 + 512
    assert shape.flops_per_token(512) == 6 * (4 * shape.matrix_parameters() + 1000 * 256) + 12 * 256 * spans


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"width": 96, "heads": 5}, "model.heads"),
        ({"width": 100, "head_width": 7}, "model.head_width"),
        ({"heads": 4, "kv_heads": 3}, "model.kv_heads"),
        ({"window_layers": "SX"}, "model.window_layers"),
        ({"window_layers": ""}, "model.window_layers"),
        ({"window_layers": "SL"}, "model.window:"),
        ({"window": 8}, "model.window_layers"),
    ],
)
def test_what_does_not_divide_is_named(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageFailure, match=key):
        shape_of(recipe.Model(**{"depth": 2, "width": 64, **changes}), 300)


@pytest.mark.parametrize("changes", [{}, {"tied": False}, {"width": 512}, {"mlp": "relu2"}])
@pytest.mark.parametrize("vocab", [300, 4096])
def test_training_starts_at_the_logarithm_of_the_vocabulary(changes: dict[str, Any], vocab: int) -> None:
    model = build(vocab, shaken=False, **changes)
    input_BT = tokens(4, 65, vocab)
    losses_BT = model(input_BT[:, :-1], input_BT[:, 1:])
    assert losses_BT.mean().item() == pytest.approx(math.log(vocab), rel=0.01)


def test_the_start_depends_on_the_seed_and_on_names_alone() -> None:
    first, again, other = build(shaken=False), build(shaken=False), build(seed=1, shaken=False)
    deeper = dict(build(depth=3, shaken=False).named_parameters())
    torch.manual_seed(5)
    for (name, value), copy, changed in zip(
        first.named_parameters(), again.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(value, copy)
        assert torch.equal(value, deeper[name])
        if value.ndim == 2 and not name.endswith(("o_proj.weight", "down_proj.weight")):
            assert not torch.equal(value, changed)


@pytest.mark.parametrize("changes", SHAPES)
def test_a_token_depends_on_nothing_after_it(changes: dict[str, Any]) -> None:
    model = build(**changes)
    input_BT = tokens(2, 12)
    altered_BT = input_BT.clone()
    altered_BT[:, 7] = (altered_BT[:, 7] + 1) % 61
    change_BT = (model.logits(input_BT) - model.logits(altered_BT)).abs().amax(-1)
    assert change_BT[:, :7].max() == 0
    assert change_BT[:, 7].min() > 1e-4


@pytest.mark.parametrize("changes", SHAPES)
def test_a_document_reads_as_if_it_were_alone(changes: dict[str, Any]) -> None:
    model = build(**changes)
    input_BT, documents_BT = tokens(2, 14), torch.tensor([[3] * 5 + [4] * 9, [1] * 13 + [-1]])
    together = model.logits(input_BT, documents_BT)
    torch.testing.assert_close(together[:1, :5], model.logits(input_BT[:1, :5]), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(together[:1, 5:], model.logits(input_BT[:1, 5:]), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(together[1:, :13], model.logits(input_BT[1:, :13]), atol=2e-5, rtol=1e-4)
    free = build(**changes, document_mask=False)
    assert torch.equal(free.logits(input_BT, documents_BT), free.logits(input_BT))


@pytest.mark.parametrize("changes", SHAPES)
def test_losses_are_cross_entropy_and_gradients_its_own(changes: dict[str, Any]) -> None:
    model = build(**changes)
    input_BT = tokens(3, 11)
    targets_BT = input_BT[:, 1:].clone()
    targets_BT[0, 2:5] = head.IGNORED
    losses_BT = model(input_BT[:, :-1], targets_BT)
    losses_BT.sum().backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    logits_BTV = model.logits(input_BT[:, :-1])
    expected = torch.nn.functional.cross_entropy(
        logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none", ignore_index=head.IGNORED
    ).view_as(targets_BT)
    expected.sum().backward()
    torch.testing.assert_close(losses_BT, expected)
    assert losses_BT[0, 2:5].tolist() == [0, 0, 0]
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, atol=1e-4, rtol=1e-4)


def test_the_kernels_of_a_cpu_mean_what_the_plain_forms_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    for changes in SHAPES:
        model, input_BT = build(**changes), tokens(3, 40)
        fast = model(input_BT[:, :-1], input_BT[:, 1:])
        fast.mean().backward()
        gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        model.zero_grad()
        with monkeypatch.context() as patched:
            patched.setattr("trainer.model.fusable", lambda x: False)
            patched.setattr("trainer.head.fusable", lambda x: False)
            plain = model(input_BT[:, :-1], input_BT[:, 1:])
            plain.mean().backward()
        torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)
        for found, parameter in zip(gradients, model.parameters(), strict=True):
            torch.testing.assert_close(found, parameter.grad, atol=1e-5, rtol=1e-3)


def test_a_batch_without_targets_is_zero_and_not_nan() -> None:
    model, input_BT = build(), tokens(2, 8)
    losses_BT, el2n_BT = model(input_BT, torch.full_like(input_BT, head.IGNORED), el2n=True)
    losses_BT.sum().backward()
    assert losses_BT.abs().max() == el2n_BT.abs().max() == 0
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


def test_bfloat16_arithmetic_keeps_float32_weights_and_losses() -> None:
    exact, input_BT = build(), tokens(2, 9)
    rounded = Transformer(exact.shape, dtype=torch.bfloat16)
    rounded.load_state_dict(exact.state_dict())
    losses_BT = rounded(input_BT[:, :-1], input_BT[:, 1:])
    losses_BT.mean().backward()
    assert losses_BT.dtype == torch.float32
    assert all(p.dtype == torch.float32 and p.grad is not None for p in rounded.parameters())
    torch.testing.assert_close(losses_BT, exact(input_BT[:, :-1], input_BT[:, 1:]), atol=0.2, rtol=0.05)


def test_a_shape_is_plain_data() -> None:
    shape = build().shape
    assert Shape(**dataclasses.asdict(shape)) == shape
