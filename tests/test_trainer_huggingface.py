"""Exported folders are what transformers takes them for, and come back as they went."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from trainer import recipe
from trainer.failures import Failure, UsageFailure
from trainer.generate import Sampling, generate
from trainer.huggingface import export, extend_vocab, load_folder
from trainer.model import Transformer, shape_of

torch.set_num_threads(1)
VOCAB = 70
SHAPES: dict[str, dict[str, Any]] = {
    "qwen3": {"heads": 4, "head_width": 16, "kv_heads": 2, "tied": True},
    "qwen3 windows": {"depth": 3, "window": 5, "window_layers": "SL", "tied": False},
    "qwen3 relu2": {"mlp": "relu2", "tied": False, "rope_theta": 500_000.0, "norm_eps": 1e-5},
    "llama": {"qk_norm": False, "heads": 4, "head_width": 8, "kv_heads": 2, "tied": False},
    "llama relu2": {"qk_norm": False, "mlp": "relu2", "tied": True},
    "qwen2 windows": {"qk_norm": False, "depth": 3, "window": 4, "window_layers": "S", "tied": True},
    "qwen2 odd heads": {"qk_norm": False, "heads": 3, "head_width": 8},
}


def build(**changes: Any) -> Transformer:
    model = Transformer(shape_of(recipe.Model(**{"depth": 2, "width": 32, "mlp_width": 48, **changes}), VOCAB))
    model.initialise(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer's folder."""
    folder = tmp_path_factory.mktemp("tokenizer")
    inner = Tokenizer(models.BPE({"<|endoftext|>": 0, **{chr(97 + i): i + 1 for i in range(26)}}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.add_special_tokens(["<|endoftext|>"])
    inner.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"})
    )
    return folder


@pytest.mark.parametrize("name", SHAPES)
def test_transformers_computes_the_same(name: str, words: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers, an extra")
    model = build(**SHAPES[name])
    export(model, words, tmp_path / "out")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert theirs.config.model_type == name.split()[0]
    input_BT = torch.randint(0, VOCAB, (3, 23), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(theirs(input_BT).logits, model.logits(input_BT), atol=2e-5, rtol=1e-4)
    prompt = [0, 3, 14, 15, 9, 2]
    greedy = theirs.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, 6), max_new_tokens=12, do_sample=False, eos_token_id=-1
    )
    assert greedy[0, 6:].tolist() == generate(model, [prompt], Sampling(max_tokens=12, temperature=0))[0]
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out").eos_token_id == 0
    assert theirs.generation_config.eos_token_id == [0]


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_exported_comes_back(name: str, words: Path, tmp_path: Path) -> None:
    model = build(**SHAPES[name])
    export(model, words, tmp_path / "out")
    shape, state = load_folder(tmp_path / "out")
    assert shape == model.shape
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    with pytest.raises(UsageFailure, match="is there already"):
        export(model, words, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_folder_that_transformers_wrote_in_pieces_is_read(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers, an extra")
    config = transformers.Qwen3Config(
        vocab_size=50, hidden_size=32, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, use_sliding_window=True, sliding_window=4, max_window_layers=1,
    )  # fmt: skip
    theirs = transformers.Qwen3ForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="10KB")
    assert (tmp_path / "theirs" / "model.safetensors.index.json").exists()
    shape, state = load_folder(tmp_path / "theirs")
    assert (shape.window_layers, shape.window, shape.tied) == ("LSS", 4, False)
    model = Transformer(shape)
    model.load_state_dict(state)
    input_BT = torch.randint(0, 50, (2, 11), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(model.logits(input_BT), theirs(input_BT).logits, atol=2e-5, rtol=1e-4)


def test_a_tied_folder_may_hold_its_matrix_twice(words: Path, tmp_path: Path) -> None:
    export(build(tied=True), words, tmp_path / "out")
    path = tmp_path / "out" / "model.safetensors"
    state = load_file(path)
    save_file({**state, "lm_head.weight": state["model.embed_tokens.weight"].clone()}, path)
    assert "lm_head.weight" not in load_folder(tmp_path / "out")[1]


@pytest.mark.parametrize(
    ("changes", "words_of_error"),
    [
        ({"model_type": "gpt2"}, "model_type: 'gpt2'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "rope_parameters"),
        ({"attention_bias": True}, "attention_bias"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"vocab_size": 71}, "model.embed_tokens.weight"),
        ({"num_hidden_layers": 1}, r"model.layers.1.*"),
        ({"hidden_size": None}, "hidden_size: is missing"),
        ({"intermediate_size": "wide"}, "no number"),
    ],
)
def test_what_is_not_supported_is_named(
    changes: dict[str, Any], words_of_error: str, words: Path, tmp_path: Path
) -> None:
    export(build(), words, tmp_path / "out")
    path = tmp_path / "out" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(Failure, match=words_of_error):
        load_folder(tmp_path / "out")


def test_damaged_folders_are_failures(words: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageFailure, match=r"config\.json"):
        load_folder(tmp_path)
    export(build(qk_norm=False, window=4, window_layers="S"), words, tmp_path / "out")
    path = tmp_path / "out" / "model.safetensors"
    state = load_file(path)
    save_file({**state, "model.layers.0.self_attn.q_proj.bias": torch.ones(32)}, path)
    with pytest.raises(Failure, match=r"q_proj\.bias"):
        load_folder(tmp_path / "out")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(Failure, match=r"model\.safetensors"):
        load_folder(tmp_path / "out")
    path.unlink()
    with pytest.raises(Failure, match=r"model\.safetensors"):
        load_folder(tmp_path / "out")


def test_a_tokenizer_of_more_tokens_is_refused(words: Path, tmp_path: Path) -> None:
    small = Transformer(dataclasses.replace(build().shape, vocab=20))
    with pytest.raises(UsageFailure, match="27 tokens"):
        export(small, words, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tied", [True, False])
def test_new_tokens_start_as_the_average_one(tied: bool) -> None:
    model = build(tied=tied)
    wider = Transformer(dataclasses.replace(model.shape, vocab=VOCAB + 6))
    wider.load_state_dict(extend_vocab(model.state_dict(), VOCAB + 6))
    input_BT = torch.arange(20)[None]
    old, new = model.logits(input_BT), wider.logits(input_BT)
    torch.testing.assert_close(new[..., :VOCAB], old)
    torch.testing.assert_close(new[..., VOCAB:], old.mean(-1, keepdim=True).expand(-1, -1, 6), atol=1e-5, rtol=1e-4)
    assert (new[0, :, VOCAB:].amax(-1) < new[0].amax(-1)).all()
    with pytest.raises(UsageFailure, match="already knows 70"):
        extend_vocab(model.state_dict(), 69)
