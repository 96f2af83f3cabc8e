"""Folders that transformers loads: a model written as Qwen3, Llama or Qwen2, and such folders read as a start.

Our parameters already have these names. What differs is said exactly: squared ReLU without a gate is a gated MLP whose
gate and up matrices are one, relu(u) * u; windows without normalised queries are Qwen2 with biases of 0.
"""

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainer import tokenizer
from trainer.failures import Failure, UsageFailure
from trainer.model import Shape, Transformer

ARCHITECTURES = {"qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
# What a config.json means by leaving a key out, where that is not nothing (transformers 5, configuration_*.py).
DEFAULTS: dict[str, dict[str, Any]] = {
    "qwen3": {"head_dim": 128, "sliding_window": 4096, "max_window_layers": 28},
    "llama": {},
    "qwen2": {"sliding_window": 4096, "max_window_layers": 28},
}
# Keys whose other values mean arithmetic that model.py does not have.
ONLY: dict[str, tuple[Any, ...]] = {
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "rope_scaling": (None,),
    "partial_rotary_factor": (None, 1, 1.0),
    "quantization_config": (None,),
    "hidden_act": ("silu", "relu", None),
}
_BIASES = tuple(f"self_attn.{name}_proj.bias" for name in "qkv")


def export(model: Transformer, tokenizer_folder: Path, out: Path, length: int = 4096) -> None:
    """Write `out`, which AutoModelForCausalLM and AutoTokenizer load, with the same float32 logits.

    length: what config.json names as the longest input (the trained row); no arithmetic depends on it. The folder
    appears whole or not at all. UsageFailure if it is there already, or the tokenizer has more tokens than the model.
    """
    words = tokenizer.load(tokenizer_folder)
    if words.vocab > model.shape.vocab:
        raise UsageFailure(f"{tokenizer_folder}: {words.vocab} tokens, but the model knows {model.shape.vocab}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageFailure(f"{out}: is there already; name another folder, or remove it")
    ends = [words.end, *([words.chat.end] if words.has_chat else [])]
    config = config_of(model.shape, words.end, ends, length)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        folder = Path(temporary) / out.name
        shutil.copytree(tokenizer_folder, folder)
        _write_json(folder / "config.json", config)
        _write_json(folder / "generation_config.json", _generation(words.end, ends))
        save_file(_state_for_export(model, config["model_type"]), folder / "model.safetensors", {"format": "pt"})
        if out.is_dir():
            out.rmdir()
        os.replace(folder, out)


def config_of(shape: Shape, end: int, ends: list[int], length: int) -> dict[str, Any]:
    """config.json of a shape."""
    kind = "qwen3" if shape.qk_norm else "qwen2" if "S" in shape.window_layers or shape.width % shape.heads else "llama"
    config = {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        "vocab_size": shape.vocab,
        "hidden_size": shape.width,
        "intermediate_size": shape.mlp_width,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_width,
        "hidden_act": "silu" if shape.mlp == "swiglu" else "relu",
        "max_position_embeddings": length,
        "rms_norm_eps": shape.norm_eps,
        # transformers 5 reads the second, transformers 4 and most other readers the first
        "rope_theta": shape.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "tie_word_embeddings": shape.tied,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": end,
        "eos_token_id": ends[0] if len(ends) == 1 else ends,
        "pad_token_id": end,
        "dtype": "float32",
        "torch_dtype": "float32",
    }
    if kind == "llama":
        return config | {"mlp_bias": False}
    windowed = "S" in shape.window_layers
    names = {"S": "sliding_attention", "L": "full_attention"}
    return config | {
        "use_sliding_window": windowed,
        "sliding_window": shape.window if windowed else None,
        "max_window_layers": shape.depth,
        "layer_types": [names[letter] for letter in shape.window_layers],
    }


def _generation(end: int, ends: list[int]) -> dict[str, Any]:
    return {"bos_token_id": end, "eos_token_id": ends, "pad_token_id": end, "do_sample": False}


def _state_for_export(model: Transformer, kind: str) -> dict[str, Tensor]:
    state = {name: value.detach().float().cpu().contiguous() for name, value in model.state_dict().items()}
    for layer in range(model.shape.depth):
        prefix = f"model.layers.{layer}."
        if model.shape.mlp == "relu2":
            state[f"{prefix}mlp.gate_proj.weight"] = state[f"{prefix}mlp.up_proj.weight"].clone()
        if kind == "qwen2":
            for name in _BIASES:
                rows = state[prefix + name.removesuffix("bias") + "weight"].shape[0]
                state[prefix + name] = torch.zeros(rows)
    return state


def load_folder(folder: Path) -> tuple[Shape, dict[str, Tensor]]:
    """Shape and float32 weights of a Qwen3, Llama or Qwen2 folder, one file or sharded.

    Failure names the file and the key of config.json, or the tensor, that model.py has no arithmetic for.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageFailure(f"{path}: cannot be read ({error}); is this a folder that transformers loads?") from None
    shape = _shape_of_config(config, path)
    state = {name: value.float() for name, value in _tensors(folder) if not name.endswith("rotary_emb.inv_freq")}
    _drop_what_is_zero_or_twice(state, shape, folder)
    shape = _ungated(state, shape, config, path)
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in Transformer(shape).state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            wanted, there = expected.get(name, "no such tensor"), found.get(name, "is missing")
            raise Failure(f"{folder}: {name}: {there}; config.json means {wanted}")
    return shape, state


def _shape_of_config(config: Any, path: Path) -> Shape:
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in ARCHITECTURES:
        raise Failure(f"{path}: model_type: {kind!r} is not one of {', '.join(ARCHITECTURES)}")
    given = {**DEFAULTS[kind], **{key: value for key, value in config.items() if value is not None}}
    for key, accepted in ONLY.items():
        if given.get(key) not in accepted:
            raise Failure(f"{path}: {key}: {given[key]!r} is not supported")
    rope = given.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default" or rope.get("partial_rotary_factor", 1) != 1:
        raise Failure(f"{path}: rope_parameters: {rope!r} is not supported; only plain rotary positions are")
    try:
        heads, width, depth = (int(given[key]) for key in ("num_attention_heads", "hidden_size", "num_hidden_layers"))
        return Shape(
            vocab=int(given["vocab_size"]),
            depth=depth,
            width=width,
            heads=heads,
            kv_heads=int(given.get("num_key_value_heads") or (32 if kind != "llama" else heads)),
            head_width=int(given.get("head_dim") or width // heads),
            mlp="swiglu",
            mlp_width=int(given["intermediate_size"]),
            qk_norm=kind == "qwen3",
            tied=bool(given.get("tie_word_embeddings", False)),
            **_windows(given, depth),
            document_mask=True,
            rope_theta=float(rope.get("rope_theta") or given.get("rope_theta") or 10_000.0),
            norm_eps=float(given.get("rms_norm_eps", 1e-6)),
        )
    except KeyError as error:
        raise Failure(f"{path}: {error.args[0]}: is missing") from None
    except (TypeError, ValueError) as error:
        raise Failure(f"{path}: a size is no number ({error})") from None


def _windows(given: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """Fields window and window_layers."""
    if not given.get("use_sliding_window"):
        return {"window": 0, "window_layers": "L" * depth}
    kinds = given.get("layer_types") or [
        "sliding_attention" if layer >= given["max_window_layers"] else "full_attention" for layer in range(depth)
    ]
    letters = "".join("S" if kind == "sliding_attention" else "L" for kind in kinds)
    if len(letters) != depth:
        raise ValueError(f"layer_types has {len(letters)} entries for {depth} layers")
    return {"window": int(given["sliding_window"]) if "S" in letters else 0, "window_layers": letters}


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the folder's safetensors files."""
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if not (folder / names[0]).exists() and index.exists():
        try:
            names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise Failure(f"{index}: no map from tensors to files ({error!r})") from None
    for name in names:
        # A file named by the index stays inside the folder.
        path = folder / Path(name).name
        if not path.is_file():
            raise Failure(f"{path}: is missing; only safetensors are read (pickled .bin files can run code)")
        try:
            with safe_open(path, "pt") as file:
                for key in file.keys():  # noqa: SIM118  # it has no iterator
                    yield key, file.get_tensor(key)
        except (SafetensorError, OSError) as error:
            raise Failure(f"{path}: cannot be read ({error})") from None


def _drop_what_is_zero_or_twice(state: dict[str, Tensor], shape: Shape, folder: Path) -> None:
    """Biases of 0 (Qwen2), and an output matrix that is stored beside the embeddings that it is tied to."""
    if shape.tied:
        state.pop("lm_head.weight", None)
    for name in [name for name in state if name.endswith(_BIASES)]:
        if state[name].any():
            raise Failure(f"{folder}: {name}: is not 0, and layers without normalised queries have no bias here")
        del state[name]


def _ungated(state: dict[str, Tensor], shape: Shape, config: Mapping[str, Any], path: Path) -> Shape:
    """With hidden_act "relu": squared ReLU, if every gate is the up matrix; the gates are dropped."""
    if config.get("hidden_act", "silu") != "relu":
        return shape
    for layer in range(shape.depth):
        prefix = f"model.layers.{layer}.mlp."
        gate, up = state.pop(f"{prefix}gate_proj.weight", None), state.get(f"{prefix}up_proj.weight")
        if gate is None or up is None or not torch.equal(gate, up):
            raise Failure(f"{path}: hidden_act: relu is supported only where gate_proj equals up_proj ({prefix})")
    return dataclasses.replace(shape, mlp="relu2")


def extend_vocab(state: Mapping[str, Tensor], new_vocab: int) -> dict[str, Tensor]:
    """The state with rows for more tokens in the embeddings and, untied, in the output matrix: the mean of the others.

    A new token then starts as the average one, which leaves all other probabilities nearly as they were (Hewitt 2021).
    The shape's `vocab` is the caller's to change.
    """
    old_vocab = state["model.embed_tokens.weight"].shape[0]
    if new_vocab < old_vocab:
        raise UsageFailure(f"tokenizer: {new_vocab} tokens, but the model already knows {old_vocab}")
    extended = dict(state)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in state:
            mean_1C = state[name].mean(0, keepdim=True)
            extended[name] = torch.cat([state[name], mean_1C.expand(new_vocab - old_vocab, -1)])
    return extended


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", "utf-8")
