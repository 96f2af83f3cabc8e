"""Norm, rotation and gate as single passes over memory on a CPU, with their gradients by hand.

Plain PyTorch makes each out of 4 to 15 passes there, which was a quarter of a step's time (benchmarks/training.py).
Float32 on a CPU only: on a GPU torch.compile fuses the plain forms, which model.py keeps as the meaning of these.
Sums over rows go block by block in a fixed order, so results do not depend on the number of threads.
"""

import concurrent.futures
import functools
import os
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

BLOCK_ROWS = 256
SERIAL_VALUES = 1 << 15  # below, handing work to another thread costs more than it saves
# Sums may be taken in any order, which is what lets them be vectorised; NaN and infinities keep their meaning.
RELAXED = {"reassoc", "contract", "nsz", "arcp"}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled when first called, and kept on disk."""
    made: Callable[..., Any] = numba.njit(cache=True, nogil=True, fastmath=RELAXED, error_model="numpy")(function)
    return made


@functools.cache
def _pool(threads: int, process: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="fused")


def _each_block(run: Callable[..., None], rows: int, values: int, *arguments: Any) -> None:
    """Call run(first block, end block, *arguments) over all blocks of rows, on as many threads as torch has."""
    blocks = -(-rows // BLOCK_ROWS)
    threads = min(torch.get_num_threads(), blocks)
    if threads <= 1 or values < SERIAL_VALUES:
        return run(0, blocks, *arguments)
    bounds = [blocks * thread // threads for thread in range(threads + 1)]
    pool = _pool(threads - 1, os.getpid())
    others = [pool.submit(run, bounds[i], bounds[i + 1], *arguments) for i in range(1, threads)]
    run(bounds[0], bounds[1], *arguments)
    for other in others:
        other.result()
    return None


@kernel
def _norm_forward(start, end, x_NC, gain_C, eps, out_NC, scale_N):  # type: ignore[no-untyped-def]
    width = x_NC.shape[1]
    for n in range(start * BLOCK_ROWS, min(end * BLOCK_ROWS, x_NC.shape[0])):
        total = np.float32(0.0)
        for c in range(width):
            total += x_NC[n, c] * x_NC[n, c]
        scale = np.float32(1.0) / np.sqrt(total / np.float32(width) + eps)
        scale_N[n] = scale
        for c in range(width):
            out_NC[n, c] = x_NC[n, c] * scale * gain_C[c]


@kernel
def _norm_backward(start, end, dy_NC, x_NC, gain_C, scale_N, dx_NC, dgain_KC):  # type: ignore[no-untyped-def]
    width = x_NC.shape[1]
    for block in range(start, end):
        for n in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, x_NC.shape[0])):
            scale, total = scale_N[n], np.float32(0.0)
            for c in range(width):
                unit = x_NC[n, c] * scale
                dgain_KC[block, c] += dy_NC[n, c] * unit
                total += dy_NC[n, c] * gain_C[c] * unit
            mean = total / np.float32(width) * scale
            for c in range(width):
                dx_NC[n, c] = scale * (dy_NC[n, c] * gain_C[c] - x_NC[n, c] * mean)


@kernel
def _turn_forward(start, end, x_NHD, gain_D, cos_Pd, sin_Pd, eps, normed, out_NHD, scale_NH):  # type: ignore[no-untyped-def]
    heads, half = x_NHD.shape[1], x_NHD.shape[2] // 2
    for n in range(start * BLOCK_ROWS, min(end * BLOCK_ROWS, x_NHD.shape[0])):
        p = n % cos_Pd.shape[0]
        for h in range(heads):
            scale = np.float32(1.0)
            if normed:
                total = np.float32(0.0)
                for i in range(2 * half):
                    total += x_NHD[n, h, i] * x_NHD[n, h, i]
                scale = np.float32(1.0) / np.sqrt(total / np.float32(2 * half) + eps)
                scale_NH[n, h] = scale
            for i in range(half):
                a = x_NHD[n, h, i] * scale * gain_D[i]
                b = x_NHD[n, h, i + half] * scale * gain_D[i + half]
                out_NHD[n, h, i] = a * cos_Pd[p, i] - b * sin_Pd[p, i]
                out_NHD[n, h, i + half] = b * cos_Pd[p, i] + a * sin_Pd[p, i]


@kernel
def _turn_backward(start, end, dy_NHD, x_NHD, gain_D, cos_Pd, sin_Pd, normed, scale_NH, dx_NHD, dgain_KD):  # type: ignore[no-untyped-def]
    heads, half = x_NHD.shape[1], x_NHD.shape[2] // 2
    for block in range(start, end):
        for n in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, x_NHD.shape[0])):
            p = n % cos_Pd.shape[0]
            for h in range(heads):
                # Back by the same angle; then as a norm.
                for i in range(half):
                    a, b = dy_NHD[n, h, i], dy_NHD[n, h, i + half]
                    dx_NHD[n, h, i] = a * cos_Pd[p, i] + b * sin_Pd[p, i]
                    dx_NHD[n, h, i + half] = b * cos_Pd[p, i] - a * sin_Pd[p, i]
                if normed:
                    scale, total = scale_NH[n, h], np.float32(0.0)
                    for i in range(2 * half):
                        unit = x_NHD[n, h, i] * scale
                        dgain_KD[block, i] += dx_NHD[n, h, i] * unit
                        total += dx_NHD[n, h, i] * gain_D[i] * unit
                    mean = total / np.float32(2 * half) * scale
                    for i in range(2 * half):
                        dx_NHD[n, h, i] = scale * (dx_NHD[n, h, i] * gain_D[i] - x_NHD[n, h, i] * mean)


@kernel
def _sigmoid(x):  # type: ignore[no-untyped-def]
    """1 / (1 + exp(-x)) to 3e-7, in a form that LLVM vectorises: libm's exp is a call per value."""
    z = min(max(-x, np.float32(-87.0)), np.float32(87.0))
    k = np.int32(z * np.float32(1.44269504) + np.float32(127.5))
    f = z * np.float32(1.44269504) - np.float32(k - np.int32(127))
    # 2^f for |f| <= 1/2: the Taylor series, whose seventh term is below 1e-7
    e = np.float32(1.5403530e-4)
    e = e * f + np.float32(1.3333558e-3)
    e = e * f + np.float32(9.6181291e-3)
    e = e * f + np.float32(5.5504109e-2)
    e = e * f + np.float32(2.4022651e-1)
    e = e * f + np.float32(6.9314718e-1)
    e = e * f + np.float32(1.0)
    return np.float32(1.0) / (np.float32(1.0) + e * np.int32(k << np.int32(23)).view(np.float32))


@kernel
def _gate_forward(start, end, gate_NM, up_NM, out_NM):  # type: ignore[no-untyped-def]
    for n in range(start * BLOCK_ROWS, min(end * BLOCK_ROWS, gate_NM.shape[0])):
        for m in range(gate_NM.shape[1]):
            out_NM[n, m] = gate_NM[n, m] * _sigmoid(gate_NM[n, m]) * up_NM[n, m]


@kernel
def _gate_backward(start, end, dy_NM, gate_NM, up_NM, dgate_NM, dup_NM):  # type: ignore[no-untyped-def]
    for n in range(start * BLOCK_ROWS, min(end * BLOCK_ROWS, gate_NM.shape[0])):
        for m in range(gate_NM.shape[1]):
            x, dy = gate_NM[n, m], dy_NM[n, m]
            s = _sigmoid(x)
            dup_NM[n, m] = dy * x * s
            dgate_NM[n, m] = dy * up_NM[n, m] * s * (np.float32(1.0) + x * (np.float32(1.0) - s))


@kernel
def _square_forward(start, end, up_NM, out_NM):  # type: ignore[no-untyped-def]
    for n in range(start * BLOCK_ROWS, min(end * BLOCK_ROWS, up_NM.shape[0])):
        for m in range(up_NM.shape[1]):
            x = np.float32(0.0) if up_NM[n, m] < np.float32(0.0) else up_NM[n, m]  # NaN stays
            out_NM[n, m] = x * x


@kernel
def _square_backward(start, end, dy_NM, up_NM, dup_NM):  # type: ignore[no-untyped-def]
    for n in range(start * BLOCK_ROWS, min(end * BLOCK_ROWS, up_NM.shape[0])):
        for m in range(up_NM.shape[1]):
            x = np.float32(0.0) if up_NM[n, m] < np.float32(0.0) else up_NM[n, m]
            dup_NM[n, m] = np.float32(2.0) * x * dy_NM[n, m]


@kernel
def _exp(z):  # type: ignore[no-untyped-def]
    """exp(z) for z <= 0, to 3e-7, like _sigmoid's; 0 below -87 is 1e-38."""
    z = max(z, np.float32(-87.0))
    k = np.int32(z * np.float32(1.44269504) - np.float32(0.5))
    f = z * np.float32(1.44269504) - np.float32(k)
    e = np.float32(1.5403530e-4)
    e = e * f + np.float32(1.3333558e-3)
    e = e * f + np.float32(9.6181291e-3)
    e = e * f + np.float32(5.5504109e-2)
    e = e * f + np.float32(2.4022651e-1)
    e = e * f + np.float32(6.9314718e-1)
    e = e * f + np.float32(1.0)
    return e * np.int32((k + np.int32(127)) << np.int32(23)).view(np.float32)


@kernel
def _stats(start, end, logits_NV, top_N, total_N, square_N):  # type: ignore[no-untyped-def]
    for n in range(start * BLOCK_ROWS, min(end * BLOCK_ROWS, logits_NV.shape[0])):
        total, square = np.float32(0.0), np.float32(0.0)
        for v in range(logits_NV.shape[1]):
            e = _exp(logits_NV[n, v] - top_N[n])
            total += e
            square += e * e
        total_N[n], square_N[n] = total, square


@kernel
def _slope(start, end, logits_NV, scale_N, gradient_N):  # type: ignore[no-untyped-def]
    for n in range(start * BLOCK_ROWS, min(end * BLOCK_ROWS, logits_NV.shape[0])):
        # _exp would take NaN for a number
        factor = gradient_N[n] + scale_N[n] * np.float32(0.0)
        for v in range(logits_NV.shape[1]):
            logits_NV[n, v] = _exp(min(logits_NV[n, v] - scale_N[n], np.float32(0.0))) * factor


def _array(x: Tensor, width: int, *more: int) -> Any:
    """A tensor's memory as a numpy array of rows of `width` (and more axes)."""
    return x.detach().contiguous().view(-1, width, *more).numpy()


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain_C: Tensor, eps: float) -> Tensor:
        x = x.contiguous()
        width = x.shape[-1]
        out, scale_N = torch.empty_like(x), x.new_empty(x.numel() // width)
        arrays = _array(x, width), gain_C.detach().numpy(), np.float32(eps), _array(out, width), scale_N.numpy()
        _each_block(_norm_forward, scale_N.numel(), x.numel(), *arrays)
        ctx.save_for_backward(x, gain_C, scale_N)
        return out

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, gain_C, scale_N = ctx.saved_tensors
        width, rows = x.shape[-1], scale_N.numel()
        dx, dgain_KC = torch.empty_like(x), x.new_zeros(-(-rows // BLOCK_ROWS), width)
        arrays = _array(dy, width), _array(x, width), gain_C.detach().numpy(), scale_N.numpy(), _array(dx, width)
        _each_block(_norm_backward, rows, x.numel(), *arrays, dgain_KC.numpy())
        return dx, dgain_KC.sum(0), None


class _Turn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BTHD: Tensor, gain_D: Tensor | None, cos: Tensor, sin: Tensor, eps: float) -> Tensor:
        x_BTHD = x_BTHD.contiguous()
        heads, width = x_BTHD.shape[-2:]
        out = torch.empty_like(x_BTHD)
        scale_NH = x_BTHD.new_empty(x_BTHD.numel() // (heads * width), heads)
        ctx.normed = gain_D is not None
        gain_D = x_BTHD.new_ones(width) if gain_D is None else gain_D
        tables = _array(cos, width // 2), _array(sin, width // 2)
        arrays = _array(x_BTHD, heads, width), gain_D.detach().numpy(), *tables, np.float32(eps), ctx.normed
        _each_block(_turn_forward, len(scale_NH), out.numel(), *arrays, _array(out, heads, width), scale_NH.numpy())
        ctx.save_for_backward(x_BTHD, gain_D, cos, sin, scale_NH)
        return out

    @staticmethod
    def backward(ctx: Any, dy_BTHD: Tensor) -> tuple[Tensor | None, ...]:
        x_BTHD, gain_D, cos, sin, scale_NH = ctx.saved_tensors
        heads, width = x_BTHD.shape[-2:]
        dx = torch.empty_like(x_BTHD)
        dgain_KD = dx.new_zeros(-(-len(scale_NH) // BLOCK_ROWS), width)
        given = _array(dy_BTHD, heads, width), _array(x_BTHD, heads, width), gain_D.detach().numpy()
        tables = _array(cos, width // 2), _array(sin, width // 2), ctx.normed, scale_NH.numpy()
        _each_block(
            _turn_backward, len(scale_NH), dx.numel(), *given, *tables, _array(dx, heads, width), dgain_KD.numpy()
        )
        return dx, dgain_KD.sum(0) if ctx.normed else None, None, None, None


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.contiguous(), up.contiguous()
        width, out = gate.shape[-1], torch.empty_like(gate)
        _each_block(_gate_forward, gate.numel() // width, gate.numel(), *(_array(x, width) for x in (gate, up, out)))
        ctx.save_for_backward(gate, up)
        return out

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        width, dgate, dup = gate.shape[-1], torch.empty_like(gate), torch.empty_like(up)
        arrays = (_array(x, width) for x in (dy, gate, up, dgate, dup))
        _each_block(_gate_backward, gate.numel() // width, gate.numel(), *arrays)
        return dgate, dup


class _Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, up: Tensor) -> Tensor:
        up = up.contiguous()
        width, out = up.shape[-1], torch.empty_like(up)
        _each_block(_square_forward, up.numel() // width, up.numel(), _array(up, width), _array(out, width))
        ctx.save_for_backward(up)
        return out

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (up,) = ctx.saved_tensors
        width, dup = up.shape[-1], torch.empty_like(up)
        _each_block(_square_backward, up.numel() // width, up.numel(), *(_array(x, width) for x in (dy, up, dup)))
        return dup


def fits(x: Tensor) -> bool:
    """Whether these are for such a tensor."""
    return x.device.type == "cpu" and x.dtype == torch.float32


def norm(x: Tensor, gain_C: Tensor, eps: float) -> Tensor:
    """RMSNorm over the last axis."""
    out: Tensor = _Norm.apply(x, gain_C, eps)  # type: ignore[no-untyped-call]
    return out


def turn(x_BTHD: Tensor, gain_D: Tensor | None, cos: Tensor, sin: Tensor, eps: float) -> Tensor:
    """RMSNorm over the last axis (without a gain: none), then rotation; cos and sin are T1d or BT1d."""
    out: Tensor = _Turn.apply(x_BTHD, gain_D, cos, sin, eps)  # type: ignore[no-untyped-call]
    return out


def gate(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up."""
    out: Tensor = _Gate.apply(gate, up)  # type: ignore[no-untyped-call]
    return out


def square(up: Tensor) -> Tensor:
    """relu(up) ** 2."""
    out: Tensor = _Square.apply(up)  # type: ignore[no-untyped-call]
    return out


def stats(logits_NV: Tensor, targets_N: Tensor, el2n: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """head.stats."""
    top_N = logits_NV.amax(-1)
    total_N, square_N = torch.empty_like(top_N), torch.empty_like(top_N)
    arrays = (x.detach().numpy() for x in (logits_NV, top_N, total_N, square_N))
    _each_block(_stats, len(top_N), logits_NV.numel(), *arrays)
    scale_N = total_N.log() + top_N
    losses_N = scale_N - logits_NV.gather(-1, targets_N[:, None])[:, 0]
    if not el2n:
        return losses_N, scale_N, None
    return losses_N, scale_N, (square_N / total_N.square() - 2.0 * (-losses_N).exp() + 1.0).clamp_(min=0.0).sqrt_()


def slope_(logits_NV: Tensor, scale_N: Tensor, targets_N: Tensor, gradient_N: Tensor) -> Tensor:
    """head.slope_; overwrites the logits."""
    arrays = (x.detach().numpy() for x in (logits_NV, scale_N, gradient_N))
    _each_block(_slope, len(scale_N), logits_NV.numel(), *arrays)
    return logits_NV.scatter_add_(-1, targets_N[:, None], -gradient_N[:, None])
