"""The gradient of each document in a few thousand numbers: per layer R_out^T (sum_t g_t a_t^T) R_in, never written out.

a_t is what a linear layer reads at a token, g_t the gradient of what it gives; R are random signs that keep inner
products on average (TRAK, arXiv 2303.14186; the layout is bergson's). One forward and one backward per row.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from eval.pieces import Piece, batches

if TYPE_CHECKING:
    from trainer.model import Transformer

Scales = Mapping[str, tuple[Tensor, Tensor]]  # per layer: what g (out, out) and a (in, in) are multiplied with


@dataclass(frozen=True)
class Captured:
    """Of one layer and one batch, what its gradient is made of. The gradient of row b is g_BTO[b].T @ a_BTI[b]."""

    a_BTI: Tensor
    g_BTO: Tensor


def layers_of(model: "Transformer") -> dict[str, nn.Linear]:
    """The linear layers, by name, without the output matrix: with tied embeddings that is none of its own."""
    return {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear) and ".layers." in name}


def captured(model: "Transformer", tokens_BT: Tensor, targets_BT: Tensor) -> dict[str, Captured]:
    """Inputs and output gradients of every layer, for the summed loss of each row; no parameter gets a gradient."""
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            inputs[name] = given[0].detach()
            outputs[name] = output if output.requires_grad else output.requires_grad_()

        return hook

    handles = [layer.register_forward_hook(keep(name)) for name, layer in layers_of(model).items()]
    try:
        with torch.enable_grad():
            total = model(tokens_BT, targets_BT).sum()
            gradients = torch.autograd.grad(total, list(outputs.values()))
    finally:
        for handle in handles:
            handle.remove()
    return {n: Captured(inputs[n].float(), g.float()) for n, g in zip(outputs, gradients, strict=True)}


class Projector:
    """Gradients of rows as vectors of layers x width squared numbers, the same for the same seed and layer name."""

    def __init__(self, model: "Transformer", width: int = 32, seed: int = 0, scales: Scales | None = None) -> None:
        self._model, self.width = model, width
        self._sides: dict[str, tuple[Tensor, Tensor]] = {}
        for name, layer in layers_of(model).items():
            out_OK = signs(f"{seed}/{name}/out", layer.out_features, width)
            in_IK = signs(f"{seed}/{name}/in", layer.in_features, width)
            if scales is not None:
                # symmetric, so that scaling g and a is scaling the signs: whitening costs nothing per document
                out_OK, in_IK = scales[name][0].cpu() @ out_OK, scales[name][1].cpu() @ in_IK
            device = layer.weight.device
            self._sides[name] = out_OK.to(device), in_IK.to(device)

    @property
    def size(self) -> int:
        """Numbers of a vector."""
        return len(self._sides) * self.width**2

    def sides(self, layer: str) -> tuple[Tensor, Tensor]:
        """What a layer's gradient is multiplied with on both sides, (out, width) and (in, width)."""
        return self._sides[layer]

    def rows(self, tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """B x size: of each row the projected gradient of its summed loss."""
        found = captured(self._model, tokens_BT, targets_BT)
        parts = []
        for name, (out_OK, in_IK) in self._sides.items():
            of = found[name]
            parts.append(torch.einsum("btk,btl->bkl", of.g_BTO @ out_OK, of.a_BTI @ in_IK).flatten(1))
        return torch.cat(parts, 1)

    def of(self, pieces: Sequence[Piece], end: int, count: int) -> Tensor:
        """count x size on the host: of each document the sum over its rows."""
        out = torch.zeros(count, self.size)
        for batch in batches(pieces, end, self._model.output_weight().device):
            found = self.rows(batch.tokens_BT, batch.targets_BT).cpu()
            out.index_add_(0, torch.from_numpy(batch.document_B), found)
        return out


def signs(name: str, size: int, width: int) -> Tensor:
    """size x width of +-1 / sqrt(width), from the name alone."""
    generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big"))
    drawn = torch.randint(0, 2, (size, width), generator=generator).float()
    return drawn.mul_(2).sub_(1).div_(math.sqrt(width))


def token_moments(model: "Transformer", pieces: Sequence[Piece], end: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Per layer the means over tokens of g g^T and a a^T on the host (K-FAC's factors, arXiv 1503.05671)."""
    sums: dict[str, tuple[Tensor, Tensor]] = {}
    count = 0
    for batch in batches(pieces, end, model.output_weight().device):
        real_N = batch.real_BT.flatten()
        count += int(real_N.sum())
        for name, of in captured(model, batch.tokens_BT, batch.targets_BT).items():
            g_NO, a_NI = of.g_BTO.flatten(0, 1)[real_N], of.a_BTI.flatten(0, 1)[real_N]
            mine = (g_NO.T @ g_NO).cpu(), (a_NI.T @ a_NI).cpu()
            before = sums.get(name)
            sums[name] = mine if before is None else (before[0] + mine[0], before[1] + mine[1])
    return {name: (g / max(count, 1), a / max(count, 1)) for name, (g, a) in sums.items()}


def unit(x_ND: Tensor) -> Tensor:
    """Rows of length 1: long documents do not win by their length (LESS, arXiv 2402.04333). A zero stays zero."""
    return x_ND.div(x_ND.norm(dim=-1, keepdim=True).clamp(min=1e-30))


def blocks(size: int, width: int) -> Iterator[slice]:
    """Where each layer's numbers lie in a vector."""
    for first in range(0, size, width * width):
        yield slice(first, first + width * width)
