"""Cached generation is the uncached model's, and no prompt hears of its neighbours."""

import dataclasses
from typing import Any

import pytest
import torch

from trainer import recipe
from trainer.failures import UsageFailure
from trainer.generate import Sampling, draw, generate, stream
from trainer.model import Transformer, shape_of

torch.set_num_threads(1)
PROMPTS = [[0, 5, 9], [0], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [3, 3]]
GREEDY = Sampling(max_tokens=12, temperature=0)
SHAPES: list[dict[str, Any]] = [
    {"tied": True},
    {"mlp": "relu2", "tied": False, "document_mask": False},
    {"heads": 4, "head_width": 8, "kv_heads": 2, "qk_norm": False},
    {"depth": 3, "window": 4, "window_layers": "SSL", "kv_heads": 1},
]


def build(**changes: Any) -> Transformer:
    settings = {"depth": 2, "width": 32, "head_width": 16, "mlp_width": 64, **changes}
    model = Transformer(shape_of(recipe.Model(**settings), 71))
    model.initialise(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def uncached(model: Transformer, prompt: list[int], count: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(count):
        with torch.no_grad():
            tokens.append(int(model.logits(torch.tensor([tokens]))[0, -1].argmax()))
    return tokens[len(prompt) :]


@pytest.mark.parametrize("changes", SHAPES)
def test_greedy_output_is_the_uncached_models(changes: dict[str, Any]) -> None:
    model = build(**changes)
    assert generate(model, PROMPTS, GREEDY) == [uncached(model, prompt, 12) for prompt in PROMPTS]


def test_a_context_is_a_window_on_every_layer() -> None:
    model = build()
    narrow = Transformer(dataclasses.replace(model.shape, window=5, window_layers="SS"))
    narrow.load_state_dict(model.state_dict())
    found = generate(model, PROMPTS, dataclasses.replace(GREEDY, context=5))
    assert found == [uncached(narrow, prompt, 12) for prompt in PROMPTS]
    assert found != generate(model, PROMPTS, GREEDY)


def test_a_prompt_does_not_hear_of_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sampling = build(), Sampling(max_tokens=9, temperature=1.0, top_p=0.9, seed=3)
    together = generate(model, PROMPTS, sampling)
    assert together == [list(stream(model, prompt, sampling, number)) for number, prompt in enumerate(PROMPTS)]
    monkeypatch.setattr("trainer.generate.MAX_ROWS", 2)
    assert together == generate(model, PROMPTS, sampling)
    assert together == generate(model, [*PROMPTS, [1, 2]], sampling)[:-1]
    assert together != generate(model, PROMPTS, dataclasses.replace(sampling, seed=4))
    shorter = generate(model, PROMPTS, dataclasses.replace(sampling, max_tokens=4))
    assert shorter == [tokens[:4] for tokens in together]


def test_a_stop_token_ends_its_row_alone() -> None:
    model = build()
    free = generate(model, PROMPTS, GREEDY)
    stop = free[0][3]
    ends = [tokens.index(stop) if stop in tokens else len(tokens) for tokens in free]
    stopped = generate(model, PROMPTS, dataclasses.replace(GREEDY, stop=(stop,)))
    assert stopped == [tokens[:end] for tokens, end in zip(free, ends, strict=True)]
    assert generate(model, PROMPTS, dataclasses.replace(GREEDY, max_tokens=0)) == [[], [], [], []]


def test_top_p_keeps_the_smallest_set_and_its_proportions() -> None:
    p = torch.tensor([0.1, 0.4, 0.3, 0.2])
    generator = torch.Generator().manual_seed(0)
    sampling = Sampling(temperature=1.0, top_p=0.6)
    drawn = torch.tensor([draw(p.log(), generator, sampling) for _ in range(3000)]).bincount(minlength=4) / 3000
    torch.testing.assert_close(drawn, torch.tensor([0.0, 4 / 7, 3 / 7, 0.0]), atol=0.03, rtol=0)
    everything = Sampling(temperature=0.5, top_p=1.0)
    drawn = torch.tensor([draw(p.log(), generator, everything) for _ in range(3000)]).bincount(minlength=4) / 3000
    torch.testing.assert_close(drawn, p.square() / p.square().sum(), atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("prompts", "changes", "words"),
    [
        ([[0], []], {}, "prompt 1"),
        ([[0, 71]], {}, "token 71"),
        ([[0]], {"top_p": 0.0}, "top_p"),
        ([[0]], {"temperature": -1.0}, "temperature"),
    ],
)
def test_what_cannot_be_generated_is_said(prompts: list[list[int]], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageFailure, match=words):
        generate(build(), prompts, Sampling(**changes))
