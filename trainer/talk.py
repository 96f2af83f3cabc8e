"""A model at the terminal: text that goes on from a prompt, and a conversation."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from trainer import chat_format, checkpoint
from trainer import generate as generation
from trainer.failures import UsageFailure
from trainer.generate import Sampling
from trainer.model import Transformer
from trainer.start import kept_recipe
from trainer.summary import clean
from trainer.tokenizer import Tokenizer


def sampling(tokens: int, temperature: float, top_p: float, seed: int) -> Sampling:
    """From the command line's options. Raises UsageFailure."""
    if not 0 < top_p <= 1:
        raise UsageFailure(f"--top-p {top_p}: expected a number above 0, up to 1")
    return Sampling(max_tokens=tokens, temperature=temperature, top_p=top_p, seed=seed)


def generate(model: Path, prompts: Sequence[str], how: Sampling, restore: str, device: str) -> None:
    """Print each prompt and what the model makes of it."""
    network, tokens, how = _ready(model, how, restore, device)
    encoded = [[tokens.end, *tokens.encode(prompt)] for prompt in prompts]
    for prompt, made in zip(prompts, generation.generate(network, encoded, how), strict=True):
        print(clean(prompt + tokens.decode(made), lines=True))


def chat(model: Path, system: str, how: Sampling, restore: str, device: str) -> None:
    """Answer line by line, each token as it comes, until an empty line or the end of the input."""
    network, tokens, how = _ready(model, how, restore, device)
    turns = [{"role": "system", "content": system}] if system else []
    how = dataclasses.replace(how, stop=(tokens.chat.end, tokens.end))
    number = 0
    while said := _line():
        turns.append({"role": "user", "content": said})
        prompt = chat_format.prompt_ids(tokens, turns)
        answer: list[int] = []
        shown = ""
        for token in generation.stream(network, prompt, how, number):
            answer.append(token)
            shown = _print_new(tokens, answer, shown)
        print()
        turns.append({"role": "assistant", "content": tokens.decode(answer)})
        number += 1  # another answer, another draw


def _ready(model: Path, how: Sampling, restore: str, device: str) -> tuple[Transformer, Tokenizer, Sampling]:
    network, tokens = checkpoint.load_model(model, restore, device)
    length = kept_recipe(model).data.sequence_length
    # Positions beyond the trained length mean nothing to the model: layers look back as far as they were trained to.
    return network, tokens, dataclasses.replace(how, stop=(tokens.end,), context=length)


def _line() -> str:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except (EOFError, KeyboardInterrupt):
        return ""


def _print_new(tokens: Tokenizer, answer: Sequence[int], shown: str) -> str:
    """Print what a new token adds; half a character waits for its other half."""
    text = tokens.decode(answer)
    if text.endswith("\ufffd"):
        return shown
    print(clean(text[len(shown) :], lines=True), end="", flush=True)
    return text
