"""Documents and answers as rows of tokens that a model reads at once, each row with the document that it is of.

What a row has too much of is cut off: of a document its end, of a prompt its beginning.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    from trainer.model import Transformer

IGNORED = -100
_BATCH_TOKENS = 4096  # of a forward: 35 MB of logits in float32 at 2,048 tokens of vocabulary


@dataclass(frozen=True)
class Piece:
    """One row: what is read, and what is to be said at each place (IGNORED: nothing)."""

    document: int
    tokens: tuple[int, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Rows of one forward on the model's device, padded at their ends."""

    document_B: npt.NDArray[np.int64]
    tokens_BT: Tensor
    targets_BT: Tensor
    real_BT: Tensor  # bool: no padding


def of_documents(documents: Sequence[tuple[int, Sequence[int]]], end: int, length: int, max_tokens: int) -> list[Piece]:
    """Rows of (number, tokens) of documents: each begins with `end`, is followed by it, and is cut at `length`.

    Of a long document only the first `max_tokens` tokens are read; a row but the first knows none before it.
    """
    out = []
    for number, tokens in documents:
        stream = [end, *tokens[:max_tokens], *([end] if len(tokens) <= max_tokens else [])]
        for start in range(0, len(stream) - 1, length):
            part = stream[start : start + length + 1]
            out.append(Piece(number, tuple(part[:-1]), tuple(part[1:])))
    return out


def of_answer(number: int, prompt: Sequence[int], answer: Sequence[int], end: int, length: int) -> Piece:
    """One row in which only the answer counts."""
    answer = list(answer)[:length]
    stream = [end, *prompt, *answer]
    stream = stream[max(0, len(stream) - length - 1) :]
    counted = len(answer)
    targets = [IGNORED] * (len(stream) - 1 - counted) + stream[len(stream) - counted :] if counted else []
    return Piece(number, tuple(stream[: len(targets)]), tuple(targets))


def batches(pieces: Sequence[Piece], end: int, device: torch.device, most: int = _BATCH_TOKENS) -> Iterator[Batch]:
    """Rows of about one size together, at most `most` tokens at once, padding included."""
    held: list[Piece] = []
    for piece in sorted((p for p in pieces if p.tokens), key=lambda p: (len(p.tokens), p.document)):
        if held and (len(held) + 1) * len(piece.tokens) > most:
            yield _batch(held, end, device)
            held = []
        held.append(piece)
    if held:
        yield _batch(held, end, device)


def _batch(pieces: Sequence[Piece], end: int, device: torch.device) -> Batch:
    shape = (len(pieces), max(len(piece.tokens) for piece in pieces))
    tokens, targets, real = np.full(shape, end, np.int64), np.full(shape, IGNORED, np.int64), np.zeros(shape, bool)
    for row, piece in enumerate(pieces):
        size = len(piece.tokens)
        tokens[row, :size], targets[row, :size], real[row, :size] = piece.tokens, piece.targets, True
    told = (torch.from_numpy(x).to(device) for x in (tokens, targets, real))
    return Batch(np.array([piece.document for piece in pieces], np.int64), *told)


def losses(model: "Transformer", pieces: Sequence[Piece], end: int, count: int) -> npt.NDArray[np.float64]:
    """Nats of every document: float64[count], 0 for one without a row."""
    out = np.zeros(count)
    with torch.no_grad():  # not inference_mode: the model keeps its rotations, and a backward may read them later
        for batch in batches(pieces, end, model.output_weight().device):
            nats_BT = model(batch.tokens_BT, batch.targets_BT)
            np.add.at(out, batch.document_B, nats_BT.double().sum(1).cpu().numpy())
    return out


def mean_hidden(model: "Transformer", pieces: Sequence[Piece], end: int, count: int) -> npt.NDArray[np.float32]:
    """Mean of a document's last hidden states, float32[count, width]: what the model takes it to be about."""
    sums = np.zeros((count, model.shape.width))
    sizes = np.zeros(count)
    with torch.no_grad():
        for batch in batches(pieces, end, model.output_weight().device):
            x_BTC = model.hidden(batch.tokens_BT).float() * batch.real_BT[..., None]
            np.add.at(sums, batch.document_B, x_BTC.sum(1).double().cpu().numpy())
            np.add.at(sizes, batch.document_B, batch.real_BT.sum(1).double().cpu().numpy())
    return (sums / np.maximum(sizes, 1)[:, None]).astype(np.float32)
