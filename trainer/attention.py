"""Who may look at whom: causal attention within documents and windows, by the kernel that a device does best.

Three kernels, one meaning. `sdpa` runs everywhere and takes a dense mask only where causality alone does not say it;
`flex` (compiled, on a GPU) skips blocks that a document border or a window empties; `varlen` (flash attention on a GPU,
bfloat16) is given the spans of the documents and never meets a pair across a border.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.failures import UsageFailure

BACKENDS = ("sdpa", "flex", "varlen")


class Mask(NamedTuple):
    """What one kind of layer may see, in the form that its kernel takes; built once per batch, outside the layers."""

    backend: str
    window: int  # keys that a query sees, its own included; 0: all before it
    allowed: Tensor | None = None  # sdpa: bool, or 0 and -inf, broadcastable to BHTS; None: causal
    blocks: Any = None  # flex: a BlockMask; None: causal without blocks to skip
    borders: Tensor | None = None  # varlen: int32, first position of every document in the flattened batch, and its end


class Cache:
    """Keys and values of everything read so far, allocated once: `capacity` positions for each of `rows` sequences.

    A sequence's position is its place in the cache, so rows of different lengths share a batch without left padding:
    what lies beyond a row's length is junk that no query may see yet, and is overwritten when the row gets there.
    """

    def __init__(self, rows: int, capacity: int, layers: int, kv_heads: int, head_width: int, like: Tensor) -> None:
        shape = (layers, rows, capacity, kv_heads, head_width)
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)
        self.lengths = [0] * rows
        self.context = 0  # positions that a query may look back at most, in every layer; 0: no limit
        self.reserve([0] * rows, 0)

    def reserve(self, lengths: list[int], width: int) -> None:
        """The next input is `width` wide, of which row b fills lengths[b] <= width; the rest is padding."""
        device = self.keys.device
        self.seen = max(start + width for start in self.lengths)
        starts_B1 = torch.tensor(self.lengths, device=device)[:, None]
        self.positions_BT = starts_B1 + torch.arange(width, device=device)
        self.lengths = [start + length for start, length in zip(self.lengths, lengths, strict=True)]

    def store(self, layer: int, k_BTGD: Tensor, v_BTGD: Tensor) -> tuple[Tensor, Tensor]:
        """Write this input's keys and values of a layer; all that may be looked at, BSGD."""
        rows_B1 = torch.arange(len(self.lengths), device=k_BTGD.device)[:, None]
        self.keys[layer][rows_B1, self.positions_BT] = k_BTGD
        self.values[layer][rows_B1, self.positions_BT] = v_BTGD
        return self.keys[layer][:, : self.seen], self.values[layer][:, : self.seen]

    def mask(self, window: int) -> Mask:
        """What the new positions may see of the cache."""
        if self.context:
            window = min(window, self.context) if window else self.context
        query_BT1, key_S = self.positions_BT[:, :, None], torch.arange(self.seen, device=self.keys.device)
        allowed_BTS = key_S <= query_BT1
        if window:
            allowed_BTS &= key_S > query_BT1 - window
        return Mask("sdpa", window, allowed=allowed_BTS[:, None])


def choose(backend: str, device: torch.device, dtype: torch.dtype) -> str:
    """The kernel for "auto", or the one asked for if it can run there; UsageFailure otherwise."""
    spans = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16) and has_varlen()
    if backend == "auto":
        return "sdpa" if device.type != "cuda" else "varlen" if spans else "flex"
    if backend not in BACKENDS:
        raise UsageFailure(f"train.attention: {backend!r} is not one of auto, {', '.join(BACKENDS)}")
    if backend == "flex" and device.type != "cuda":
        raise UsageFailure('train.attention: "flex" has no gradient on a CPU; take "auto"')
    if backend == "varlen" and not spans:
        raise UsageFailure('train.attention: "varlen" needs a GPU, bfloat16 and torch 2.10 or later; take "auto"')
    return backend


def has_varlen() -> bool:
    return importlib.util.find_spec("torch.nn.attention.varlen") is not None


@torch.compiler.disable  # type: ignore[untyped-decorator]  # reads the data: whether there are borders, and where
def plan(backend: str, documents_BT: Tensor | None, rows: int, length: int, window: int, like: Tensor) -> Mask:
    """The mask of one kind of layer for a batch of `rows` sequences of `length`.

    documents_BT: equal numbers are one document, which is contiguous; None: every row is one. It may stay on the host,
    which spares a GPU the wait for the borders. window: keys seen by a query, 0 for all. like: of the device and dtype
    of queries.
    """
    device, dtype = like.device, like.dtype
    window = window if window < length else 0
    if documents_BT is not None and bool((documents_BT == documents_BT[:, :1]).all()):
        documents_BT = None
    if backend == "varlen":
        return Mask(backend, window, borders=_borders(documents_BT, rows, length).to(device, non_blocking=True))
    if documents_BT is None and not window:
        return Mask("sdpa", 0)
    documents_BT = None if documents_BT is None else documents_BT.to(device, non_blocking=True)
    if backend == "flex":
        return Mask(backend, window, blocks=_blocks(documents_BT, rows, length, window, device))
    allowed = dense(documents_BT, length, window, device)
    # Added to the scores, as sdpa would make of a bool in every layer, forward and backward.
    return Mask(
        backend,
        window,
        allowed=torch.zeros(allowed.shape, dtype=dtype, device=device).masked_fill_(~allowed, -torch.inf),
    )


def dense(documents_BT: Tensor | None, length: int, window: int, device: torch.device) -> Tensor:
    """The mask in full: bool B1TT, or TT where all rows have the same."""
    allowed_TT = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    if window:
        allowed_TT = allowed_TT.triu(1 - window)
    if documents_BT is None:
        return allowed_TT
    return (allowed_TT & (documents_BT[:, :, None] == documents_BT[:, None, :]))[:, None]


def _borders(documents_BT: Tensor | None, rows: int, length: int) -> Tensor:
    """int32: where each document starts in the flattened batch, then its end, repeated to a power of two.

    The repeats are documents of no length: they keep the tensor's size, and so the compiled graph, the same over
    batches. A row's start is a border, whatever its document.
    """
    starts_BT = torch.zeros(rows, length, dtype=torch.bool)
    starts_BT[:, 0] = True
    if documents_BT is not None:
        documents_BT = documents_BT.cpu()
        starts_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    starts = starts_BT.flatten().nonzero().flatten()
    size = max(64, 1 << int(starts.numel()).bit_length())
    return F.pad(starts, (0, size + 1 - starts.numel()), value=rows * length).to(torch.int32)


def _blocks(documents_BT: Tensor | None, rows: int, length: int, window: int, device: torch.device) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    def allowed(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = key <= query
        if window:
            seen = seen & (key > query - window)
        if documents_BT is not None:
            seen = seen & (documents_BT[b, query] == documents_BT[b, key])
        return seen

    batch = None if documents_BT is None else rows
    return create_block_mask(allowed, batch, None, length, length, device=device.type)


def attend(q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, mask: Mask) -> Tensor:
    """Attention of H query heads over G <= H key heads (query head h reads key head h // (H // G)); BTHD."""
    if mask.backend == "varlen":
        return _attend_spans(q_BTHD, k_BSGD, v_BSGD, mask)
    q_BHTD, k_BGSD, v_BGSD = (x.transpose(1, 2) for x in (q_BTHD, k_BSGD, v_BSGD))
    grouped = q_BTHD.shape[2] != k_BSGD.shape[2]
    if mask.backend == "flex":
        return _flex(q_BTHD.is_cuda)(q_BHTD, k_BGSD, v_BGSD, block_mask=mask.blocks, enable_gqa=grouped).transpose(1, 2)
    causal = mask.allowed is None
    return F.scaled_dot_product_attention(
        q_BHTD, k_BGSD, v_BGSD, attn_mask=mask.allowed, is_causal=causal, enable_gqa=grouped
    ).transpose(1, 2)


@functools.cache
def _flex(compiled: bool) -> Callable[..., Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    # Uncompiled it is a plain-matrix reference: right, but without the skipped blocks.
    return torch.compile(flex_attention) if compiled else flex_attention  # type: ignore[return-value]


def _attend_spans(q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, mask: Mask) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    borders, length = mask.borders, q_BTHD.shape[1]  # of a document: an upper bound that is the same for every batch
    out = varlen_attn(
        q_BTHD.flatten(0, 1),
        k_BTGD.flatten(0, 1),
        v_BTGD.flatten(0, 1),
        borders,  # type: ignore[arg-type]  # plan() sets them for this backend
        borders,
        length,
        length,
        window_size=(mask.window - 1 if mask.window else -1, 0),
        enable_gqa=q_BTHD.shape[2] != k_BTGD.shape[2],
    )
    return out.view_as(q_BTHD)  # type: ignore[union-attr]  # a pair only when asked for
