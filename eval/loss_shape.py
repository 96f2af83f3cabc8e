"""The shape of a text's token losses: how many are known by heart, how many surprise, and where they lie.

A repetition falls off steeply, mojibake surprises all over, a stitched-in template is a valley or a hill.
"""

import numpy as np
import numpy.typing as npt

from eval.forwards import Losses

Floats = npt.NDArray[np.float64]
LOW, HIGH = 0.1, 8.0  # nats; as the trainer's lineage counts
WINDOW = 128  # bytes: about a sentence
NAMES = ("bpb", "low", "high", "q10", "q50", "q90", "slope", "echo", "hill", "valley")


def shape(losses: Losses) -> dict[str, float]:
    """Every figure of NAMES; NaN for a text without bytes."""
    nats = losses.nats
    if not len(nats) or not losses.num_bytes.sum():
        return dict.fromkeys(NAMES, float("nan"))
    windows = profile(losses)
    q10, q50, q90 = np.quantile(nats, [0.1, 0.5, 0.9])
    figures = (
        losses.bits_per_byte(), np.mean(nats < LOW), np.mean(nats > HIGH), q10, q50, q90, slope(nats), echo(nats),
        windows.max() - np.median(windows), np.median(windows) - windows.min(),
    )  # fmt: skip
    return {name: float(value) for name, value in zip(NAMES, figures, strict=True)}


def profile(losses: Losses) -> Floats:
    """Bits per byte of each window of the text, whatever the tokenizer: two models can be laid side by side."""
    at = np.concatenate([[0.0], np.cumsum(losses.num_bytes)])
    bits = np.concatenate([[0.0], np.cumsum(losses.nats) / np.log(2)])
    count = max(1, int(at[-1] // WINDOW))
    edges = np.linspace(0, at[-1], count + 1)
    return np.asarray(np.diff(np.interp(edges, at, bits)) / np.diff(edges), np.float64)


def slope(nats: Floats) -> float:
    """Correlation of loss and place, -1 to 1."""
    if len(nats) < 3 or nats.std() == 0:
        return 0.0
    return float(np.corrcoef(np.arange(len(nats)), nats)[0, 1])


def echo(nats: Floats) -> float:
    """Correlation of each loss with the next."""
    if len(nats) < 4 or nats[:-1].std() == 0 or nats[1:].std() == 0:
        return 0.0
    return float(np.corrcoef(nats[:-1], nats[1:])[0, 1])


def contrast(raw: Losses, reference: Losses) -> dict[str, float]:
    """Reference minus raw in bits per byte: of the whole, and where it is largest. High: what the raw model learnt by
    heart and good text does not say."""
    if not (raw.num_bytes.sum() and reference.num_bytes.sum()):
        return {"contrast": float("nan"), "contrast_hill": float("nan")}
    a, b = profile(raw), profile(reference)
    if len(a) != len(b):  # a long text cut by tokens ends at different bytes
        size = min(len(a), len(b))
        a, b = a[:size], b[:size]
    return {"contrast": reference.bits_per_byte() - raw.bits_per_byte(), "contrast_hill": float((b - a).max())}
