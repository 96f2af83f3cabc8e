"""Adapters change outputs and not the base; merged, they compute the same."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from trainer import adapters, recipe
from trainer.failures import Failure, UsageFailure
from trainer.huggingface import load_folder
from trainer.model import Transformer, shape_of

torch.set_num_threads(1)
INPUT_BT = torch.randint(0, 50, (2, 17), generator=torch.Generator().manual_seed(2))


def build(**changes: Any) -> Transformer:
    model = Transformer(shape_of(recipe.Model(**{"depth": 2, "width": 32, "mlp_width": 48, **changes}), 50))
    model.initialise(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def trained(model: Transformer, steps: int = 3) -> Transformer:
    """A few steps on what can be trained."""
    optimizer = torch.optim.AdamW([value for _, value in (*model.matrices(), *model.rest())], lr=0.02)
    for _ in range(steps):
        losses_BT = model(INPUT_BT[:, :-1], INPUT_BT[:, 1:])
        assert isinstance(losses_BT, torch.Tensor)
        losses_BT.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


@pytest.fixture(autouse=True)
def _extra() -> None:
    pytest.importorskip("peft", reason="needs peft, an extra")


@pytest.mark.parametrize("mlp", ["swiglu", "relu2"])
def test_only_adapters_learn_and_merging_changes_no_output(mlp: str) -> None:
    model = build(mlp=mlp)
    before, base = model.logits(INPUT_BT), {name: value.clone() for name, value in model.state_dict().items()}
    adapters.inject(model, 4, 8.0)
    assert torch.equal(model.logits(INPUT_BT), before)
    assert model.matrices() == []
    assert all(".lora_" in name for name, _ in model.rest())
    assert len(model.rest()) == 2 * 2 * (7 if mlp == "swiglu" else 6)
    after = trained(model).logits(INPUT_BT)
    assert (after - before).abs().max() > 0.01
    state = model.state_dict()
    assert all(
        torch.equal(state.get(n, state.get(n.replace(".weight", ".base_layer.weight"))), v) for n, v in base.items()
    )
    adapters.merge(model)
    assert model.state_dict().keys() == base.keys()
    torch.testing.assert_close(model.logits(INPUT_BT), after, atol=2e-5, rtol=1e-4)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks transformers so
@pytest.mark.parametrize("mlp", ["swiglu", "relu2"])
def test_a_saved_adapter_loads_here_and_on_the_exported_model(mlp: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers", reason="needs transformers, an extra")
    from trainer.huggingface import _state_for_export, config_of

    base = build(mlp=mlp)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps(config_of(base.shape, 0, [0], 64)))
    save_file(_state_for_export(base, "qwen3"), tmp_path / "base" / "model.safetensors", {"format": "pt"})
    adapters.inject(base, 3, 6.0, ("q_proj", "up_proj"))
    expected = trained(base).logits(INPUT_BT)
    adapters.save(base, tmp_path / "adapter")
    again = Transformer(base.shape)
    again.load_state_dict(load_folder(tmp_path / "base")[1])
    adapters.load(again, tmp_path / "adapter")
    assert torch.equal(again.logits(INPUT_BT), expected)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(INPUT_BT).logits, expected, atol=5e-5, rtol=1e-4)


def test_the_start_depends_on_the_seed_alone() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(states))
        model = build()
        adapters.inject(model, 2, 4.0, ("q_proj",), seed)
        states.append(torch.cat([value.flatten() for _, value in model.rest()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageFailure, match=r"adapter\.targets: 'lm_head'"):
        adapters.inject(build(), 2, 4.0, ("lm_head",))
    with pytest.raises(UsageFailure, match=r"adapter\.targets: the model has none"):
        adapters.inject(build(mlp="relu2"), 2, 4.0, ("gate_proj",))
    with pytest.raises(UsageFailure, match=r"adapter\.rank"):
        adapters.inject(build(), 0, 4.0)
    with pytest.raises(UsageFailure, match="none to save"):
        adapters.save(build(), tmp_path)
    with pytest.raises(Failure, match="not an adapter"):
        adapters.load(build(), tmp_path)
    model = build()
    adapters.inject(model, 2, 4.0)
    with pytest.raises(UsageFailure, match="already"):
        adapters.inject(model, 2, 4.0)
    adapters.save(model, tmp_path)
    with pytest.raises(Failure, match=r"expected \(2, 64\)"):
        adapters.load(build(width=64), tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    save_file(dict(list(load_file(path).items())[1:]), path)
    with pytest.raises(Failure, match="expected"):
        adapters.load(build(), tmp_path)
