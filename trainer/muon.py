"""Muon for a CPU: torch's, but equal shapes together, and in float32 where the processor has no bfloat16 arithmetic.

torch 2.13 casts every matrix to bfloat16 and takes one at a time. Where bfloat16 is emulated that is 16 to 25 times
slower (measured on a Zen 3): the default recipe's 21 matrices took 2.3 seconds a step, and take 0.14 so. Where it is
not (a Zen 4), bfloat16 takes half the time of float32.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from trainer import products

BATCH_VALUES = 1 << 20  # of matrices that are orthogonalised together: enough to occupy a CPU's cores


class Muon(torch.optim.Muon):
    """torch.optim.Muon with the same arguments, state and result, but for rounding; on a GPU it is that."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; a parameter without a gradient stays."""
        if any(p.is_cuda for group in self.param_groups for p in group["params"]):
            return super().step(closure)  # type: ignore[no-untyped-call]
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            learnt = [p for p in group["params"] if p.grad is not None]
            for parameters in _alike(learnt):
                self._move(parameters, group)
        return loss

    def _move(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """One step of parameters of one shape."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        buffers = [self._buffer(p) for p in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        if group["nesterov"]:
            gradients_KMN = torch.stack(gradients).lerp_(torch.stack(buffers), group["momentum"])
        else:
            gradients_KMN = torch.stack(buffers)
        if products.supported():
            gradients_KMN = gradients_KMN.bfloat16()
        updates_KMN = orthogonal(gradients_KMN, group["ns_coefficients"], group["ns_steps"], group["eps"])
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        rate = group["lr"] * spectral_scale(parameters[0].shape, group["adjust_lr_fn"])
        torch._foreach_add_(parameters, list(updates_KMN.float()), alpha=-rate)

    def _buffer(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def orthogonal(x_KMN: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """K matrices with singular values near 1, by Newton and Schulz's iteration of fifth degree (Jordan 2024)."""
    a, b, c = coefficients
    tall = x_KMN.shape[1] > x_KMN.shape[2]
    x_KMN = x_KMN.mT if tall else x_KMN
    x_KMN = x_KMN / x_KMN.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram_KMM = x_KMN @ x_KMN.mT
        update_KMM = torch.baddbmm(gram_KMM, gram_KMM, gram_KMM, beta=b, alpha=c)
        x_KMN = torch.baddbmm(x_KMN, update_KMM, x_KMN, beta=a)
    return x_KMN.mT if tall else x_KMN


def spectral_scale(shape: Sequence[int], adjust_lr_fn: str | None) -> float:
    """What an orthogonal update of such a shape is multiplied with; see optimizer._muon."""
    rows, columns = shape
    if adjust_lr_fn == "match_rms_adamw":
        return float(0.2 * max(rows, columns) ** 0.5)
    return float(max(1.0, rows / columns) ** 0.5)


def _alike(parameters: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Parameters by shape, in their order, as many at once as BATCH_VALUES lets."""
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for parameter in parameters:
        by_shape.setdefault(parameter.shape, []).append(parameter)
    for shape, found in by_shape.items():
        size = max(1, BATCH_VALUES // shape.numel())
        for first in range(0, len(found), size):
            yield found[first : first + size]
