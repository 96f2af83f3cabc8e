"""What a model makes of given texts: the loss of every token beside the bytes that it stands for.

The windows are those of document_losses, moved on by three quarters of a row: these are read for signals of whole
corpora, where half a row would cost half as much again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eval.document_losses import open_scorer, token_nats

if TYPE_CHECKING:
    from trainer.model import Transformer
    from trainer.tokenizer import Tokenizer

Floats = npt.NDArray[np.float64]


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
    scorer = open_scorer(folder, restore, device)
    return Reader(scorer.model, scorer.tokenizer, scorer.length, folder.name)


def token_losses(model: "Transformer", rows: Sequence[Sequence[int]], end: int, length: int) -> list[Floats]:
    """Nats of every token of every row, each read behind the end token. float64[tokens] per row."""
    found = token_nats(model, rows, [0] * len(rows), end, length, max(1, length - length // 4))
    return [one.nats for one in found]
