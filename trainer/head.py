"""The loss of every target from the last hidden states, without float32 logits of the whole batch.

Logits are made in pieces that fit a cache (CPU) or stay small beside the activations (GPU). They are kept for the
backward pass where they are few, in the model's dtype, and made again where they are many; the gradient overwrites
them in place. F.linear_cross_entropy(reduction="none") of torch 2.13 makes all logits and their logarithms at once.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

FUSED = importlib.util.find_spec("numba") is not None
if FUSED:  # the bare image of a GPU machine lacks it, and has no use for it
    from trainer import fused

IGNORED = -100
PIECE_BYTES = {"cpu": 4 << 20, "cuda": 1 << 30}  # of one piece's logits in float32
KEPT_BYTES = {"cpu": 1 << 30, "cuda": 8 << 30}  # of all pieces' logits as they are kept


def fusable(x: Tensor) -> bool:
    """Whether fused.py has a faster form of what comes of x."""
    return FUSED and not torch.compiler.is_compiling() and fused.fits(x)


def stats(logits_NV: Tensor, targets_N: Tensor, el2n: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Loss, logsumexp and, when asked, ||p - onehot||_2 (EL2N, arXiv 2107.07075) of each target, float32 N."""
    logits_NV = logits_NV.float()
    scale_N = torch.logsumexp(logits_NV, dim=-1)
    losses_N = scale_N - logits_NV.gather(-1, targets_N[:, None])[:, 0]
    if not el2n:
        return losses_N, scale_N, None
    # sum p^2 - 2 p_y + 1, which is ||p - onehot||^2
    squares_N = (2.0 * (logits_NV - scale_N[:, None])).exp_().sum(-1)
    return losses_N, scale_N, (squares_N - 2.0 * (-losses_N).exp() + 1.0).clamp_(min=0.0).sqrt_()


def slope_(logits_NV: Tensor, scale_N: Tensor, targets_N: Tensor, gradient_N: Tensor) -> Tensor:
    """The gradient of the logits, (p - onehot) * gradient; may overwrite them."""
    if logits_NV.dtype == torch.float32:
        p_NV = logits_NV.sub_(scale_N[:, None]).exp_()
    else:
        p_NV = (logits_NV.float() - scale_N[:, None]).exp()
    p_NV.mul_(gradient_N[:, None])
    p_NV.scatter_add_(-1, targets_N[:, None], -gradient_N[:, None])
    return p_NV.to(logits_NV.dtype)


def slope(logits_NV: Tensor, scale_N: Tensor, targets_N: Tensor, gradient_N: Tensor) -> Tensor:
    """The same as slope_, without an index to write to: what a compiler makes one pass of."""
    is_target_NV = torch.arange(logits_NV.shape[1], device=logits_NV.device) == targets_N[:, None]
    error_NV = (logits_NV.float() - scale_N[:, None]).exp() - is_target_NV.float()
    return (error_NV * gradient_N[:, None]).to(logits_NV.dtype)


@functools.cache
def _compiled() -> tuple[Callable[..., Any], Callable[..., Tensor]]:
    return torch.compile(stats), torch.compile(slope)


def _passes(x: Tensor, compiled: bool) -> tuple[Callable[..., Any], Callable[..., Tensor]]:
    """The passes over logits, forward and backward, in the form that suits them."""
    if compiled:
        return _compiled()
    return (fused.stats, fused.slope_) if fusable(x) else (stats, slope_)


class _Loss(torch.autograd.Function):
    """x_NC, weight_VC, targets_N (IGNORED allowed) -> losses_N and, when asked, el2n_N, both 0 where ignored."""

    @staticmethod
    def forward(
        ctx: Any, x_NC: Tensor, weight_VC: Tensor, targets_N: Tensor, el2n: bool, compiled: bool, half: bool
    ) -> tuple[Tensor, Tensor | None]:
        device, dtype = x_NC.device.type, x_NC.dtype  # dtype: of logits and of what goes back
        vocab = weight_VC.shape[0]
        piece = -(-PIECE_BYTES.get(device, 1 << 28) // (4 * vocab * 128)) * 128  # rows; tiles of a GPU are whole
        keep = x_NC.shape[0] * vocab * x_NC.element_size() <= KEPT_BYTES.get(device, 1 << 30)
        forward, backward = _passes(x_NC, compiled)
        x_NC = x_NC.bfloat16() if half else x_NC
        weight_VC = weight_VC.to(x_NC.dtype)
        learnt_N = targets_N != IGNORED
        safe_N = targets_N.clamp(min=0)
        parts, kept = [], []
        for x_nC, targets_n in zip(torch.split(x_NC, piece), torch.split(safe_N, piece), strict=True):
            logits_nV = (x_nC @ weight_VC.T).to(dtype)
            parts.append(forward(logits_nV, targets_n, el2n))
            if keep and any(ctx.needs_input_grad):
                kept.append(logits_nV)
        losses_N, scale_N = (torch.cat([part[i] for part in parts]) for i in (0, 1))
        norm_N = torch.cat([part[2] for part in parts]) * learnt_N if el2n else None
        ctx.save_for_backward(x_NC, weight_VC, safe_N, learnt_N, scale_N)
        ctx.kept, ctx.piece, ctx.slope, ctx.dtype = kept, piece, backward, dtype
        if norm_N is not None:
            ctx.mark_non_differentiable(norm_N)
        return losses_N * learnt_N, norm_N

    @staticmethod
    def backward(ctx: Any, gradient_N: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        x_NC, weight_VC, targets_N, learnt_N, scale_N = ctx.saved_tensors
        gradient_N = gradient_N.float() * learnt_N
        dx_NC, dweight_VC = torch.empty_like(x_NC, dtype=ctx.dtype), torch.zeros_like(weight_VC, dtype=torch.float32)
        for number, first in enumerate(range(0, x_NC.shape[0], ctx.piece)):
            here = slice(first, first + ctx.piece)
            logits_nV = ctx.kept[number] if ctx.kept else (x_NC[here] @ weight_VC.T).to(ctx.dtype)
            slope_nV = ctx.slope(logits_nV, scale_N[here], targets_N[here], gradient_N[here]).to(x_NC.dtype)
            dx_NC[here] = slope_nV @ weight_VC
            if dweight_VC.dtype == slope_nV.dtype:
                dweight_VC.addmm_(slope_nV.T, x_NC[here])
            else:
                dweight_VC += slope_nV.T @ x_NC[here]
        ctx.kept = None
        return dx_NC, dweight_VC, None, None, None, None


def losses(
    x_BTC: Tensor, weight_VC: Tensor, targets_BT: Tensor, el2n: bool = False, compiled: bool = False, half: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Nats per target (float32, 0 where IGNORED) and, when asked, EL2N per target, which has no gradient.

    half: float32 in and out, but products are of bfloat16.
    """
    losses_N, norm_N = _Loss.apply(  # type: ignore[no-untyped-call]
        x_BTC.flatten(0, 1), weight_VC, targets_BT.flatten(), el2n, compiled, half
    )
    return losses_N.view_as(targets_BT), None if norm_N is None else norm_N.view_as(targets_BT)
