"""What a model gives to texts: nats of each token, in windows that slide, so that no late token lacks context.

Rows of L input positions, moved on by S <= L (the stride): the first window scores its L targets, every later one only
its last S. So each token is scored once, and each token after the first L with at least L - S tokens before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from corpus.failures import Failure
from trainer.files import read_json

if TYPE_CHECKING:
    import torch

    from trainer.model import Transformer
    from trainer.tokenizer import Tokenizer

Floats = npt.NDArray[np.float64]
_BATCH_TOKENS = 8192  # of a forward
_HEAD_ROWS = 4096  # scored positions whose logits are held at once: 32 MB in float32 at 2,048 tokens of vocabulary


class BadStride(Failure):
    """A stride that would leave tokens out."""

    status = 2


@dataclass(frozen=True)
class Nats:
    """Losses of a run of tokens, and whether each was the likeliest one at its place."""

    nats: Floats
    likeliest: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scorer:
    """A model that scores texts: its tokenizer, its rows' length, what it was trained on and what was held out."""

    model: "Transformer"
    tokenizer: "Tokenizer"
    length: int
    name: str = ""
    validation: float = 0.03
    corpora: tuple[Path, ...] = ()

    def encoded(self, text: str) -> list[int]:
        """Tokens of a text; half a surrogate pair has no UTF-8 and is read as the sign for it."""
        return self.tokenizer.encode(text.encode("utf-8", "replace").decode())

    def texts(self, texts: Sequence[str], stride: int = 0) -> list[Floats]:
        """Nats of each text's tokens and of its end: tokens + 1 values for each. Stride 0: half a row."""
        rows = [[*self.encoded(text), self.tokenizer.end] for text in texts]
        found = token_nats(self.model, rows, [0] * len(rows), self.tokenizer.end, self.length, stride)
        return [one.nats for one in found]

    def continuations(self, pairs: Sequence[tuple[str, str]], stride: int = 0) -> list[Nats]:
        """Nats of each (context, continuation)'s continuation.

        Both are encoded as one text; a token over the border counts with the continuation.
        """
        rows, firsts = [], []
        for context, continuation in pairs:
            before, both = self.encoded(context), self.encoded(context + continuation)
            rows.append(both)
            firsts.append(_common(before, both))
        return token_nats(self.model, rows, firsts, self.tokenizer.end, self.length, stride)


def open_scorer(folder: Path, restore: str = "best", device: str = "cpu") -> Scorer:
    """The model of a trainer's folder. Raises Failure where there is none."""
    from trainer.checkpoint import load_model

    model, tokenizer = load_model(folder, restore, device)
    data = read_json(folder / "recipe.json")["data"]
    told = read_json(folder / "manifest.json") if (folder / "manifest.json").exists() else {}
    corpora = tuple(Path(name) for name in told.get("folders", ()))
    return Scorer(model, tokenizer, int(data["sequence_length"]), folder.name, float(data["validation"]), corpora)


def token_nats(
    model: "Transformer",
    rows: Sequence[Sequence[int]],
    firsts: Sequence[int],
    end: int,
    length: int,
    stride: int = 0,
    batch_tokens: int = _BATCH_TOKENS,
) -> list[Nats]:
    """Per row, for its tokens from `first` on: nats behind the end token and all before that fits in a window.

    Windows of like sizes are read together, so a row's losses depend on the others by rounding alone. Raises BadStride.
    """
    import torch

    stride = stride or max(1, length // 2)
    if not 1 <= stride <= length:
        raise BadStride(f"--stride {stride}: from 1 to the model's row of {length} tokens")
    out = [Nats(np.zeros(len(r) - f), np.ones(len(r) - f, bool)) for r, f in zip(rows, firsts, strict=True)]
    windows = [
        window
        for number, (row, first) in enumerate(zip(rows, firsts, strict=True))
        for window in windows_of(number, first, len(row), length, stride)
    ]
    windows.sort(key=lambda w: (w.stop - w.start, w.row, w.start))
    with torch.no_grad():  # not inference_mode: the model keeps its rotations, and a backward may read them later
        for batch in _batches(windows, batch_tokens):
            found = _forward(model, batch, rows, end)
            for window, (nats, likeliest) in zip(batch, found, strict=True):
                here = slice(window.scored - firsts[window.row], window.stop - firsts[window.row])
                out[window.row].nats[here], out[window.row].likeliest[here] = nats, likeliest
    return out


@dataclass(frozen=True)
class Window:
    """Targets [start, stop) of a row, read behind what stands before `start`; those from `scored` on count."""

    row: int
    start: int
    scored: int
    stop: int


def windows_of(row: int, first: int, size: int, length: int, stride: int) -> Iterator[Window]:
    """The windows of a row of `size` tokens that score its tokens from `first` on."""
    start = scored = 0
    while scored < size:
        stop = min(size, start + length)
        if stop > first:
            yield Window(row, start, max(scored, first), stop)
        start, scored = start + stride, stop
        start = max(0, min(start, size - length))  # the last window is a full one: more context at no cost


def _batches(windows: Sequence[Window], batch_tokens: int) -> Iterator[list[Window]]:
    """In order of size, as many as fit when all are as wide as the last."""
    held: list[Window] = []
    for window in windows:
        if held and (len(held) + 1) * (window.stop - window.start) > batch_tokens:
            yield held
            held = []
        held.append(window)
    if held:
        yield held


def _forward(
    model: "Transformer", batch: Sequence[Window], rows: Sequence[Sequence[int]], end: int
) -> list[tuple[Floats, npt.NDArray[np.bool_]]]:
    """Of each window's scored targets: nats, and whether each was the likeliest."""
    import torch

    device = model.output_weight().device
    tokens_BT = np.full((len(batch), max(w.stop - w.start for w in batch)), end, np.int64)
    counts = np.zeros_like(tokens_BT, dtype=bool)
    targets = []
    for place, w in enumerate(batch):
        row = [end, *rows[w.row][: w.stop]] if w.start == 0 else rows[w.row][w.start - 1 : w.stop]
        tokens_BT[place, : len(row) - 1] = row[:-1]
        counts[place, w.scored - w.start : w.stop - w.start] = True
        targets += list(row[1 + w.scored - w.start :])
    x_NC = model.hidden(torch.from_numpy(tokens_BT).to(device))[torch.from_numpy(counts).to(device)]
    nats, likeliest = _head(x_NC, model.output_weight(), torch.tensor(targets, device=device))
    sizes = np.cumsum([w.stop - w.scored for w in batch])[:-1]
    return list(zip(np.split(nats, sizes), np.split(likeliest, sizes), strict=True))


def _head(
    x_NC: "torch.Tensor", weight_VC: "torch.Tensor", targets_N: "torch.Tensor"
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    import torch

    nats, likeliest = [np.zeros(0)], [np.zeros(0, bool)]
    for first in range(0, len(targets_N), _HEAD_ROWS):
        here = slice(first, first + _HEAD_ROWS)
        logits_NV = torch.nn.functional.linear(x_NC[here], weight_VC.to(x_NC.dtype)).float()
        loss_N = torch.nn.functional.cross_entropy(logits_NV, targets_N[here], reduction="none")
        nats.append(loss_N.double().cpu().numpy())
        likeliest.append((logits_NV.argmax(-1) == targets_N[here]).cpu().numpy())
    return np.concatenate(nats), np.concatenate(likeliest)


def _common(before: Sequence[int], both: Sequence[int]) -> int:
    """How many first tokens two sequences share."""
    same = next((at for at, (a, b) in enumerate(zip(before, both, strict=False)) if a != b), None)
    return min(len(before), len(both)) if same is None else same
