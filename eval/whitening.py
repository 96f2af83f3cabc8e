"""What gradients are divided by before they are compared, so that directions that all documents share count for little.

Three forms: the optimiser's second moments, K-FAC's factors where it keeps none (Muon), and a damped Gram matrix of the
projected gradients (formulas of TrackStar, arXiv 2410.17413).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eval.gradients import blocks, layers_of

if TYPE_CHECKING:
    from eval.gradients import Scales
    from trainer.model import Transformer

FORMS = ("moments", "gram", "both", "none")
DAMPING = 0.1  # of the mean of the diagonal


def of_adam(model: "Transformer", optimizer: Mapping[str, Tensor]) -> "Scales | None":
    """1 / sqrt of AdamW's second moments as two diagonals per layer; None where a layer has none (Muon).

    v_ij is taken as row mean x column mean / mean (Adafactor, arXiv 1804.04235): only so can g and a be scaled apart.
    """
    out = {}
    for name in layers_of(model):
        v_OI = optimizer.get(f"{name}.weight/exp_avg_sq")
        if v_OI is None:
            return None
        mean = float(v_OI.mean().clamp(min=1e-30))
        out[name] = tuple(torch.diag(_inverse_root(side / mean**0.5)) for side in (v_OI.mean(1), v_OI.mean(0)))
    return out  # type: ignore[return-value]


def _inverse_root(v: Tensor) -> Tensor:
    return torch.rsqrt(v + DAMPING * v.mean().clamp(min=1e-30))


def of_moments(moments: Mapping[str, tuple[Tensor, Tensor]]) -> "Scales":
    """1 / sqrt of the damped second moments of g and of a: inner products become G_q^T (S x A)^-1 G_d."""
    return {name: (_matrix_inverse_root(s), _matrix_inverse_root(a)) for name, (s, a) in moments.items()}


def _matrix_inverse_root(x_NN: Tensor) -> Tensor:
    x_NN = x_NN.double()
    damped = x_NN + DAMPING * x_NN.diagonal().mean().clamp(min=1e-30) * torch.eye(len(x_NN), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(damped)
    root_NN: Tensor = (vectors * values.clamp(min=1e-30).rsqrt()) @ vectors.T
    return root_NN.float()


class Gram:
    """H = alpha Phi^T Phi / N + (1 - alpha) Phi_q^T Phi_q / Q + lambda I, a block for each layer; asked for H^-1 x."""

    def __init__(self, documents_ND: Tensor, queries_QD: Tensor, width: int, alpha: float = 0.9) -> None:
        self._width = width
        self._blocks = []
        for at in blocks(documents_ND.shape[1], width):
            d_NK, q_QK = documents_ND[:, at].double(), queries_QD[:, at].double()
            h_KK = alpha * d_NK.T @ d_NK / max(len(d_NK), 1) + (1 - alpha) * q_QK.T @ q_QK / max(len(q_QK), 1)
            h_KK += DAMPING * h_KK.diagonal().mean().clamp(min=1e-30) * torch.eye(len(h_KK), dtype=torch.float64)
            self._blocks.append(torch.linalg.cholesky(h_KK))

    def solve(self, x_ND: Tensor) -> Tensor:
        """H^-1 of each row."""
        parts = [
            torch.cholesky_solve(x_ND[:, at].double().T, root).T
            for at, root in zip(blocks(x_ND.shape[1], self._width), self._blocks, strict=True)
        ]
        return torch.cat(parts, 1).float()
