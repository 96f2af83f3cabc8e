"""Low-rank adapters (LoRA, arXiv 2106.09685) by peft, an extra: the same loop trains them, the base stays as it is.

An adapter's folder has peft's own layout, so PeftModel.from_pretrained puts it on the exported model too.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from trainer.failures import Failure, UsageFailure
from trainer.model import Transformer

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_PREFIX, _FILE = "base_model.model.", "adapter_model.safetensors"


def inject(model: Transformer, rank: int, alpha: float, targets: Sequence[str] = TARGETS, seed: int = 0) -> None:
    """Put adapters beside the matrices named by `targets`, in place, and freeze everything else.

    An adapted matrix is W + alpha / rank x B A, with B = 0 at first, so outputs do not change; A depends on (seed,
    name) alone. Targets that a model lacks (gate_proj with relu2) are left out. UsageFailure names a wrong key.
    """
    if _layers(model):
        raise UsageFailure("adapter: the model has adapters already; merge them first")
    peft = _peft()
    present = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    if unknown := [target for target in targets if target not in TARGETS]:
        raise UsageFailure(f"adapter.targets: {unknown[0]!r} is not one of {', '.join(TARGETS)}")
    if rank < 1 or not alpha > 0:
        raise UsageFailure(f"adapter.rank, adapter.alpha: must be above 0; got {rank} and {alpha}")
    found = [target for target in targets if target in present]
    if not found:
        raise UsageFailure(f"adapter.targets: the model has none of {', '.join(targets)}")
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=found, lora_dropout=0.0, bias="none")
    peft.inject_adapter_in_model(config, model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_A." in name:
                parameter.copy_(_initial(name, parameter, seed))


def merge(model: Transformer) -> None:
    """Add the adapters to their matrices and remove them, in place; everything can be trained again."""
    for name, layer in _layers(model):
        layer.merge()
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, layer.get_base_layer())
    model.requires_grad_(True)


def save(model: Transformer, folder: Path) -> None:
    """Write adapter_config.json and adapter_model.safetensors."""
    layers = _layers(model)
    if not layers:
        raise UsageFailure("adapter: the model has none to save")
    state = dict(_state(layers))
    targets = sorted({name.rpartition(".")[2] for name, _ in layers})
    if model.shape.mlp == "relu2" and "up_proj" in targets:
        # An export has squared ReLU as a gate that equals the up matrix, and must go on doing so.
        copies = {key.replace("up_proj", "gate_proj"): key for key in state if "up_proj" in key}
        state |= {gate: state[up].clone() for gate, up in copies.items()}
        targets = sorted({*targets, "gate_proj"})
    _, first = layers[0]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "r": first.r["default"],
        "lora_alpha": first.lora_alpha["default"],
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
        "target_modules": targets,
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / _FILE, {"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def load(model: Transformer, folder: Path) -> None:
    """Put a saved adapter on the model that it was trained on. Failure names the tensor that does not fit."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        with safe_open(folder / _FILE, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it has no iterator
        rank, alpha, targets = int(config["r"]), float(config["lora_alpha"]), list(config["target_modules"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise Failure(f"{folder}: not an adapter's folder ({error!r})") from None
    inject(model, rank, alpha, targets)
    for name, parameter in _state(_layers(model)):
        value = state.get(name)
        if value is None or value.shape != parameter.shape:
            raise Failure(f"{folder / _FILE}: {name}: expected {tuple(parameter.shape)}; another model's adapter?")
        parameter.copy_(value)


def _peft() -> Any:
    try:
        import peft
    except ImportError:
        raise UsageFailure("adapter: needs peft: pip install 'winnow-corpus[adapters]'") from None
    return peft


def _layers(model: Transformer) -> list[tuple[str, Any]]:
    """Adapted matrices by the name that they have without an adapter."""
    return [(name, module) for name, module in model.named_modules() if hasattr(module, "lora_A")]


def _state(layers: list[tuple[str, Any]]) -> Iterator[tuple[str, Tensor]]:
    """Tensors of adapters under the names of peft's files; they share the model's memory."""
    for name, layer in layers:
        for part in ("lora_A", "lora_B"):
            yield f"{_PREFIX}{name}.{part}.weight", getattr(layer, part)["default"].weight.data


def _initial(name: str, parameter: Tensor, seed: int) -> Tensor:
    """Uniform in +-1/sqrt(inputs), which is what peft draws, from a generator of its own."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return (2 * torch.rand(parameter.shape, generator=generator) - 1) / math.sqrt(parameter.shape[1])
