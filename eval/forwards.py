"""What a model makes of given texts: the loss of every token, read once, without learning.

A text longer than the model's rows is read in windows that overlap, so that no token is scored without context but the
first ones of the text; each token is scored once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainer.files import read_json

if TYPE_CHECKING:
    from trainer.model import Transformer
    from trainer.tokenizer import Tokenizer

Floats = npt.NDArray[np.float64]
_IGNORED = -100
_BATCH_TOKENS = 8192  # of a forward: 70 MB of logits in float32 at 2,048 tokens of vocabulary


@dataclass(frozen=True)
class Reader:
    """A model that reads: with its tokenizer, and the rows that it was trained on."""

    model: "Transformer"
    tokenizer: "Tokenizer"
    length: int
    name: str = ""

    def read(self, texts: Sequence[str], max_tokens: int = 4096) -> list["Losses"]:
        """Losses of each text's tokens and of its end; only of the first `max_tokens` tokens of a long one."""
        encoded = self.tokenizer.encode_batch(list(texts))
        rows = [tokens[:max_tokens] + [self.tokenizer.end] * (len(tokens) <= max_tokens) for tokens in encoded]
        sizes = self.tokenizer.token_bytes
        losses = token_losses(self.model, rows, self.tokenizer.end, self.length)
        return [Losses(nats, sizes[row].astype(np.float64)) for row, nats in zip(rows, losses, strict=True)]


@dataclass(frozen=True)
class Losses:
    """Nats of each token of a text, and how many bytes of it the token stands for (0 for the end)."""

    nats: Floats
    num_bytes: Floats

    def bits_per_byte(self) -> float:
        total = self.num_bytes.sum()
        return float(self.nats.sum() / np.log(2) / total) if total else float("nan")


def open_reader(folder: Path, restore: str = "best", device: str = "cpu") -> Reader:
    """The model of a trainer's folder. Raises Failure where there is none."""
    from trainer.checkpoint import load_model

    model, tokenizer = load_model(folder, restore, device)
    length = int(read_json(folder / "recipe.json")["data"]["sequence_length"])
    return Reader(model, tokenizer, length, folder.name)


def token_losses(
    model: "Transformer", rows: Sequence[Sequence[int]], end: int, length: int, batch_tokens: int = _BATCH_TOKENS
) -> list[Floats]:
    """Nats of every token of every row, each read behind the end token. float64[tokens] per row.

    Windows of one size are read together, so a row's losses depend on the others by rounding alone.
    """
    import torch

    out = [np.zeros(len(row)) for row in rows]
    device = model.output_weight().device
    windows = sorted(
        (window for number, row in enumerate(rows) for window in _windows(number, len(row), length)),
        key=lambda w: (w.stop - w.start, w.row, w.start),
    )
    with torch.inference_mode():
        for batch in _batches(windows, batch_tokens):
            width = batch[-1].stop - batch[-1].start
            tokens = np.full((len(batch), width), end, np.int64)
            targets = np.full((len(batch), width), _IGNORED, np.int64)
            for place, w in enumerate(batch):
                row = [end, *rows[w.row][: w.stop]] if w.start == 0 else rows[w.row][w.start - 1 : w.stop]
                tokens[place, : len(row) - 1] = row[:-1]
                targets[place, w.scored - w.start : w.stop - w.start] = row[1 + w.scored - w.start :]
            found: Any = model(torch.from_numpy(tokens).to(device), torch.from_numpy(targets).to(device))
            losses = found.double().cpu().numpy()
            for place, w in enumerate(batch):
                out[w.row][w.scored : w.stop] = losses[place, w.scored - w.start : w.stop - w.start]
    return out


@dataclass(frozen=True)
class _Window:
    """Targets [start, stop) of a row; those from `scored` on count."""

    row: int
    start: int
    scored: int
    stop: int


def _windows(row: int, size: int, length: int) -> Iterator[_Window]:
    """A quarter of each window but the first is context that was scored before."""
    start = scored = 0
    while scored < size:
        stop = min(size, start + length)
        yield _Window(row, start, scored, stop)
        start, scored = stop - length // 4, stop


def _batches(windows: Sequence[_Window], batch_tokens: int) -> Iterator[list[_Window]]:
    """In order of size, as many as fit when all are as wide as the last."""
    held: list[_Window] = []
    for window in windows:
        if held and (len(held) + 1) * (window.stop - window.start) > batch_tokens:
            yield held
            held = []
        held.append(window)
    if held:
        yield held
