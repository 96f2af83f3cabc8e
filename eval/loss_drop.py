"""A model moved a little towards an answer, and put back exactly: whose loss fell, says that answer's like.

No gradient of any document is needed (target-aligned loss drop, arXiv 2605.09404): two forwards per candidate.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from eval.pieces import Piece, batches, losses

if TYPE_CHECKING:
    from trainer.model import Transformer

Floats = npt.NDArray[np.float64]
STEPS = 5
RATE = 0.002  # of a tensor's own norm in one step: small enough that the model stays itself, whatever its size


@contextmanager
def moved(
    model: "Transformer", pieces: Sequence[Piece], end: int, steps: int = STEPS, rate: float = RATE
) -> Iterator[None]:
    """Within the block the model has learnt the pieces a little; after it, it is the same to the last bit.

    A step moves every tensor against its gradient by `rate` of its norm, so no optimiser's state is needed.
    """
    parameters = list(model.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        for _ in range(steps):
            _step(model, pieces, end, rate)
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)


def _step(model: "Transformer", pieces: Sequence[Piece], end: int, rate: float) -> None:
    parameters = list(model.parameters())
    model.zero_grad(set_to_none=True)
    for batch in batches(pieces, end, model.output_weight().device):
        with torch.enable_grad():
            model(batch.tokens_BT, batch.targets_BT).sum().backward()
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                size = parameter.grad.norm().clamp(min=1e-30)
                parameter.sub_(parameter.grad * (rate * parameter.norm() / size))
    model.zero_grad(set_to_none=True)


def drop(before: Floats, after: Floats) -> Floats:
    """(L(theta) - L(theta')) / L(theta) of each document; 0 where there is no loss to fall."""
    return np.divide(before - after, before, out=np.zeros_like(before), where=before > 0)


def drops(
    model: "Transformer", answer: Sequence[Piece], documents: Sequence[Piece], before: Floats, end: int,
    steps: int = STEPS, rate: float = RATE,
) -> Floats:  # fmt: skip
    """Of each document, by its number in `before`: how much of its loss goes when the model learns the answer."""
    with moved(model, answer, end, steps, rate):
        return drop(before, losses(model, documents, end, before.size))
