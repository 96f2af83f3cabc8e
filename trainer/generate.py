"""Text from a model, token by token, with a cache of keys and values.

A prompt's output does not depend on the others of its batch: every row has its own positions, its own generator
seeded by (seed, its number), and sees nothing of its neighbours (matrix products may round otherwise in another shape).
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from trainer.attention import Cache
from trainer.failures import UsageFailure
from trainer.model import Transformer

MAX_ROWS = 32  # prompts in one batch; more are taken in turns, which changes no output


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is drawn, and when to end."""

    max_tokens: int = 64
    temperature: float = 0.8  # 0: always the likeliest token (the first of equals)
    top_p: float = 0.95  # the smallest set of tokens that has this probability (arXiv 1904.09751); 1: all
    seed: int = 0
    stop: tuple[int, ...] = ()  # tokens that end an output, and are not part of it
    context: int = 0  # tokens that each layer looks back at most; 0: all. Beyond the trained length, set it to that.


def generate(model: Transformer, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[list[int]]:
    """The new tokens of each prompt. A prompt is one document: it begins with the end-of-document token, as rows do.

    UsageFailure names a prompt that is empty or has a token outside the vocabulary.
    """
    outputs: list[list[int]] = [[] for _ in prompts]
    for first in range(0, len(prompts), MAX_ROWS):
        numbers = range(first, min(first + MAX_ROWS, len(prompts)))
        for step in _steps(model, [prompts[number] for number in numbers], list(numbers), sampling):
            for number, token in zip(numbers, step, strict=True):
                if token is not None:
                    outputs[number].append(token)
    return outputs


def stream(model: Transformer, prompt: Sequence[int], sampling: Sampling, number: int = 0) -> Iterator[int]:
    """The tokens of one prompt as they come: those that generate() gives to prompt `number`."""
    for (token,) in _steps(model, [prompt], [number], sampling):
        if token is not None:
            yield token


def _steps(
    model: Transformer, prompts: Sequence[Sequence[int]], numbers: Sequence[int], sampling: Sampling
) -> Iterator[list[int | None]]:
    """Each step's token of each row, None once a row has ended."""
    _check(model, prompts, numbers, sampling)
    device = model.output_weight().device
    generators = [_generator(sampling.seed, number) for number in numbers]
    lengths = [len(prompt) for prompt in prompts]
    inputs = [[*prompt, *[0] * (max(lengths) - len(prompt))] for prompt in prompts]
    cache = new_cache(model, len(prompts), max(lengths) + sampling.max_tokens, sampling.context)
    ended = [False] * len(prompts)
    for _ in range(sampling.max_tokens):
        logits_BV = _next_logits(model, torch.tensor(inputs, device=device), lengths, cache)
        tokens = [draw(*row, sampling) for row in zip(logits_BV, generators, strict=True)]
        ended = [done or token in sampling.stop for done, token in zip(ended, tokens, strict=True)]
        if all(ended):
            return
        yield [None if done else token for done, token in zip(ended, tokens, strict=True)]
        inputs, lengths = [[token] for token in tokens], [1] * len(tokens)


@torch.no_grad()
def _next_logits(model: Transformer, tokens_BT: Tensor, lengths: list[int], cache: Cache) -> Tensor:
    """Scores after each row's last token, float32 on the host, BV."""
    cache.reserve(lengths, tokens_BT.shape[1])
    hidden_BTC = model.hidden(tokens_BT, cache=cache)
    last_BC = hidden_BTC[torch.arange(len(lengths)), torch.tensor(lengths) - 1]
    return (last_BC @ model.output_weight().to(last_BC.dtype).T).float().cpu()


def new_cache(model: Transformer, rows: int, capacity: int, context: int = 0) -> Cache:
    """An empty cache for a model, on its device and in its dtype."""
    shape = model.shape
    like = torch.empty(0, device=model.output_weight().device, dtype=model.dtype)
    cache = Cache(rows, capacity, shape.depth, shape.kv_heads, shape.head_width, like)
    cache.context = context
    return cache


def draw(logits_V: Tensor, generator: torch.Generator, sampling: Sampling) -> int:
    """One token. It takes one uniform number whatever happens, so outputs of other lengths share their beginning."""
    uniform = torch.rand((), generator=generator, dtype=torch.float64)
    if sampling.temperature == 0:
        return int(logits_V.argmax())
    # In float64: top-p cuts a running sum of up to a million terms.
    p_V = torch.softmax(logits_V.double() / sampling.temperature, dim=-1)
    sorted_V, order_V = p_V.sort(descending=True, stable=True)
    running_V = sorted_V.cumsum(-1)
    kept = max(1, int((running_V - sorted_V < sampling.top_p).sum()))
    place = int(torch.searchsorted(running_V[:kept], uniform * running_V[kept - 1], right=True))
    return int(order_V[min(place, kept - 1)])


def _generator(seed: int, number: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def _check(model: Transformer, prompts: Sequence[Sequence[int]], numbers: Sequence[int], sampling: Sampling) -> None:
    for number, prompt in zip(numbers, prompts, strict=True):
        if not prompt:
            raise UsageFailure(f"prompt {number} has no token; begin it with the end-of-document token")
        outside = next((token for token in prompt if not 0 <= token < model.shape.vocab), None)
        if outside is not None:
            raise UsageFailure(f"prompt {number} has token {outside}; the model's vocabulary has {model.shape.vocab}")
    if sampling.temperature < 0 or not 0 < sampling.top_p <= 1 or sampling.max_tokens < 0:
        raise UsageFailure(f"temperature and max_tokens are at least 0, top_p is in (0, 1]: {sampling}")
