"""A decoder-only transformer whose parameters have the names and the meaning of Qwen3's in Hugging Face's layout.

RoPE (half-split), grouped-query attention with normalised queries and keys, RMSNorm, SwiGLU or squared ReLU, windows
per layer, attention that ends at document borders. `depth` sets everything else; see shape_of.
"""

import dataclasses
import hashlib
import importlib.util
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer import attention, head, products
from trainer.attention import Cache, Mask
from trainer.failures import UsageFailure
from trainer.head import fusable

if TYPE_CHECKING:
    from trainer import recipe
if importlib.util.find_spec("numba") is not None:  # the bare image of a GPU machine lacks it, and has no use for it
    from trainer import fused

TIED_BELOW = 50_000_000  # parameters: below, the embeddings are much of the model, and one matrix for both pays


@dataclasses.dataclass(frozen=True)
class Shape:
    """Every size of a model, resolved; what model.json holds."""

    vocab: int
    depth: int  # layers
    width: int
    heads: int
    kv_heads: int
    head_width: int
    mlp: str  # "swiglu" | "relu2"
    mlp_width: int
    qk_norm: bool
    tied: bool
    window: int  # keys that a layer marked S sees, its own included
    window_layers: str  # one letter per layer: S (window) or L (all)
    document_mask: bool
    rope_theta: float
    norm_eps: float

    def num_parameters(self, embeddings: bool = True) -> int:
        """All that is learnt; without embeddings: what the layers and the output matrix hold, which costs compute.

        A tied matrix is an output matrix, so it counts in both.
        """
        layer = self.matrix_parameters() + 2 * self.width + (2 * self.head_width if self.qk_norm else 0)
        inputs = 0 if self.tied or not embeddings else self.vocab * self.width
        return self.depth * layer + self.width + self.vocab * self.width + inputs

    def matrix_parameters(self) -> int:
        """Of one layer's matrices."""
        attention_width = self.heads * self.head_width
        attends = 2 * self.width * attention_width + 2 * self.width * self.kv_heads * self.head_width
        return attends + (3 if self.mlp == "swiglu" else 2) * self.width * self.mlp_width

    def flops_per_token(self, length: int) -> float:
        """Of a training step, forward and backward, at rows of `length`: 6 N + 12 H D S per layer (PaLM, appendix B).

        N are the parameters that multiply a token, the output matrix among them; S is what a query meets: the row's
        length (half of which causality masks, as PaLM counts it), or the window.
        """
        spans = sum(min(self.window, length) if kind == "S" else length for kind in self.window_layers)
        matrices = self.depth * self.matrix_parameters() + self.vocab * self.width
        return 6.0 * matrices + 12.0 * self.heads * self.head_width * spans


def shape_of(model: "recipe.Model", vocab: int) -> Shape:
    """The depth dial: width = 64 x depth, heads 64 wide below 1024 and 128 above, as far as that divides.

    kv_heads = heads unless set; the MLP is 8/3 (swiglu) or 4 (relu2) times the width, rounded to 64; embeddings are
    tied below 50 million parameters. A UsageFailure names the key that does not fit.
    """
    width = model.width or 64 * model.depth
    head_width = model.head_width or _head_width(width, model.heads)
    heads = model.heads or max(1, width // head_width)
    kv_heads = model.kv_heads or heads
    mlp_width = model.mlp_width or max(64, round(width * (8 / 3 if model.mlp == "swiglu" else 4) / 64) * 64)
    _check(model, width, heads, kv_heads, head_width)
    pattern = "".join(model.window_layers[i % len(model.window_layers)] for i in range(model.depth - 1)) + "L"
    shape = Shape(
        vocab=vocab,
        depth=model.depth,
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        mlp=model.mlp,
        mlp_width=mlp_width,
        qk_norm=model.qk_norm,
        tied=True,
        window=model.window,
        window_layers=pattern,  # the last layer is always long: it is the one that the output reads
        document_mask=model.document_mask,
        rope_theta=model.rope_theta,
        norm_eps=model.norm_eps,
    )
    tied = model.tied if model.tied is not None else shape.num_parameters() < TIED_BELOW
    return dataclasses.replace(shape, tied=tied)


def _head_width(width: int, heads: int) -> int:
    if heads:
        if width % heads:
            raise UsageFailure(f"model.heads: {heads} does not divide the width {width}; set model.head_width too")
        return width // heads
    wanted = 64 if width < 1024 else 128
    return next((size for size in (wanted, 64, 32, 16) if width % size == 0), width)


def _check(model: "recipe.Model", width: int, heads: int, kv_heads: int, head_width: int) -> None:
    if model.width and not model.head_width and width % head_width:
        raise UsageFailure(f"model.width: {width} is not a multiple of the head width {head_width}")
    if head_width % 2:
        raise UsageFailure(f"model.head_width: {head_width} is odd; rotary positions turn pairs, so take an even one")
    if heads % kv_heads:
        raise UsageFailure(f"model.kv_heads: {kv_heads} does not divide the {heads} heads")
    if not model.window_layers or set(model.window_layers) - {"S", "L"}:
        raise UsageFailure(f"model.window_layers: {model.window_layers!r} is not a string of S (short) and L (long)")
    if "S" in model.window_layers and not model.window:
        raise UsageFailure("model.window: model.window_layers has short layers; say how many tokens they see")
    if model.window and "S" not in model.window_layers:
        raise UsageFailure('model.window_layers: no layer is short, so model.window has no effect; try "SSSL"')


class Linear(nn.Linear):
    """Without bias; the weight is kept in float32 and multiplied in the input's dtype, or as products.py does."""

    half_products = False

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name that torch gives it
        if self.half_products:
            return products.product(input, self.weight)
        return F.linear(input, self.weight.to(input.dtype))


class Norm(nn.Module):
    """RMSNorm with a gain (arXiv 1910.07467) over the last axis."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if fusable(x):
            return fused.norm(x, self.weight, self.eps)
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


def rotation(positions: Tensor, head_width: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines of positions T or BT, as T1d or BT1d with d = head_width / 2 (RoPE, arXiv 2104.09864)."""
    exponents_d = torch.arange(0, head_width, 2, dtype=torch.float32, device=positions.device) / head_width
    angles = positions[..., None].float() * (1.0 / theta**exponents_d)
    return angles.cos().to(dtype).unsqueeze(-2), angles.sin().to(dtype).unsqueeze(-2)


def rotate(x_BTHD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each pair (i, i + D/2) turned by its position's angle: the half-split layout of Llama in Hugging Face."""
    a, b = x_BTHD.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def turn(x_BTHD: Tensor, norm: Norm | None, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries or keys, normalised (or not) and rotated."""
    if fusable(x_BTHD):
        return fused.turn(x_BTHD, norm.weight if norm else None, cos, sin, norm.eps if norm else 0.0)
    return rotate(norm(x_BTHD) if norm else x_BTHD, cos, sin)


class Attention(nn.Module):
    """One layer's attention."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_width = shape.heads, shape.kv_heads, shape.head_width
        self.q_proj = Linear(shape.width, shape.heads * shape.head_width)
        self.k_proj = Linear(shape.width, shape.kv_heads * shape.head_width)
        self.v_proj = Linear(shape.width, shape.kv_heads * shape.head_width)
        self.o_proj = Linear(shape.heads * shape.head_width, shape.width)
        self.q_norm = Norm(shape.head_width, shape.norm_eps) if shape.qk_norm else None
        self.k_norm = Norm(shape.head_width, shape.norm_eps) if shape.qk_norm else None

    def forward(
        self, x_BTC: Tensor, cos: Tensor, sin: Tensor, mask: Mask, cache: Cache | None = None, layer: int = 0
    ) -> Tensor:
        # Both sizes are said: an inferred one would be unknown to a compiler once the rows' number is.
        q_BTHD = self.q_proj(x_BTC).unflatten(-1, (self.heads, self.head_width))
        k_BTGD = self.k_proj(x_BTC).unflatten(-1, (self.kv_heads, self.head_width))
        v_BTGD = self.v_proj(x_BTC).unflatten(-1, (self.kv_heads, self.head_width))
        q_BTHD, k_BTGD = turn(q_BTHD, self.q_norm, cos, sin), turn(k_BTGD, self.k_norm, cos, sin)
        if cache is not None:
            k_BTGD, v_BTGD = cache.store(layer, k_BTGD, v_BTGD)
        out: Tensor = self.o_proj(attention.attend(q_BTHD, k_BTGD, v_BTGD, mask).flatten(-2))
        return out


class Mlp(nn.Module):
    """SwiGLU (arXiv 2002.05202), or ReLU squared without a gate (arXiv 2109.08668)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = Linear(shape.width, shape.mlp_width) if shape.mlp == "swiglu" else None
        self.up_proj = Linear(shape.width, shape.mlp_width)
        self.down_proj = Linear(shape.mlp_width, shape.width)

    def forward(self, x_BTC: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self._inner(x_BTC))
        return out

    def _inner(self, x_BTC: Tensor) -> Tensor:
        up_BTM: Tensor = self.up_proj(x_BTC)
        if self.gate_proj is None:
            return fused.square(up_BTM) if fusable(up_BTM) else up_BTM.relu().square()
        gate_BTM: Tensor = self.gate_proj(x_BTC)
        return fused.gate(gate_BTM, up_BTM) if fusable(up_BTM) else F.silu(gate_BTM) * up_BTM


class Layer(nn.Module):
    """Attention and MLP, each added to what it reads."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape.width, shape.norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape.width, shape.norm_eps)
        self.mlp = Mlp(shape)

    def forward(
        self, x_BTC: Tensor, cos: Tensor, sin: Tensor, mask: Mask, cache: Cache | None = None, layer: int = 0
    ) -> Tensor:
        x_BTC = x_BTC + self.self_attn(self.input_layernorm(x_BTC), cos, sin, mask, cache, layer)
        out: Tensor = x_BTC + self.mlp(self.post_attention_layernorm(x_BTC))
        return out


class Body(nn.Module):
    """Embeddings, layers, final norm: what Hugging Face calls `model`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.depth))
        self.norm = Norm(shape.width, shape.norm_eps)


class Transformer(nn.Module):
    """The model. Parameters are float32; the arithmetic is in `dtype`, so no autocast is needed, nor meant.

    attention: a backend of attention.py, or "auto". half_products: products.py's mixture; `dtype` is float32 then.
    `compile()` compiles the layers, each by itself and in place: masks are built outside, where they may read the data.
    """

    def __init__(
        self, shape: Shape, attention: str = "sdpa", dtype: torch.dtype = torch.float32, half_products: bool = False
    ) -> None:
        super().__init__()
        self.shape, self.attention, self.compiled = shape, attention, False
        self.dtype, self.half_products = dtype, half_products
        self.model = Body(shape)
        self.lm_head = None if shape.tied else Linear(shape.width, shape.vocab)
        for module in self.modules():
            if isinstance(module, Linear):
                module.half_products = half_products
        self._rotations: dict[tuple[int, torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def initialise(self, seed: int) -> None:
        """Fill every parameter from (seed, its name), on the host: the same on every device, rank and world size.

        Output projections start at 0, so each layer starts as the identity; the output matrix is small enough that
        the first loss is ln(vocab) within 1 %, tied or not (tied: a token's own logit starts at sqrt(width) / 10).
        """
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(_initial(name, parameter, seed))

    def output_weight(self) -> Tensor:
        """The matrix that makes logits, VC."""
        return self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def hidden(self, tokens_BT: Tensor, documents_BT: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Hidden states after the final norm, BTC.

        documents_BT: equal numbers are one document (contiguous); unused with shape.document_mask off; may stay on
        the host. cache: the input is what comes next in each row; reserve() was called, and documents are not used.
        """
        x_BTC = F.embedding(tokens_BT, self.model.embed_tokens.weight).to(self.dtype)
        cos, sin = self._rotation(tokens_BT, cache)
        masks = self._masks(x_BTC, documents_BT, cache)
        for number, (layer, kind) in enumerate(zip(self.model.layers, self.shape.window_layers, strict=True)):
            if cache is None:
                x_BTC = layer(x_BTC, cos, sin, masks[kind])
            else:  # past the compiled call: a cache grows at every step, and each size would be compiled anew
                x_BTC = layer.forward(x_BTC, cos, sin, masks[kind], cache, number)
        out: Tensor = self.model.norm(x_BTC)
        return out

    def logits(self, tokens_BT: Tensor, documents_BT: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Scores of every next token, BTV, in the model's dtype."""
        return F.linear(self.hidden(tokens_BT, documents_BT, cache), self.output_weight().to(self.dtype))

    def forward(
        self, tokens_BT: Tensor, targets_BT: Tensor, documents_BT: Tensor | None = None, el2n: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Nats of every target, float32 BT, 0 where the target is head.IGNORED.

        el2n: a pair, with ||p - onehot||_2 of every target beside it, from the same pass and without a gradient.
        """
        losses_BT, norm_BT = head.losses(
            self.hidden(tokens_BT, documents_BT),
            self.output_weight(),
            targets_BT,
            el2n,
            self.compiled,
            self.half_products,
        )
        return losses_BT if norm_BT is None else (losses_BT, norm_BT)

    def compile(self, *args: object, **kwargs: object) -> None:
        """Compile in place what runs many times; takes torch.compile's arguments."""
        self.compiled = True
        for layer in self.model.layers:
            layer.compile(*args, **kwargs)

    def matrices(self) -> list[tuple[str, nn.Parameter]]:
        """The layers' matrices: what Muon takes. Frozen ones are nowhere."""
        return [(name, parameter) for name, parameter in self._split(True)]

    def rest(self) -> list[tuple[str, nn.Parameter]]:
        """Embeddings, the output matrix, gains and low-rank adapters."""
        return [(name, parameter) for name, parameter in self._split(False)]

    def _split(self, matrix: bool) -> Iterator[tuple[str, nn.Parameter]]:
        for name, parameter in self.named_parameters():
            inside = parameter.ndim == 2 and ".layers." in name and ".lora_" not in name
            if inside == matrix and parameter.requires_grad:
                yield name, parameter

    def _rotation(self, tokens_BT: Tensor, cache: Cache | None) -> tuple[Tensor, Tensor]:
        width, theta = self.shape.head_width, self.shape.rope_theta
        if cache is not None:
            return rotation(cache.positions_BT, width, theta, self.dtype)
        key = tokens_BT.shape[1], tokens_BT.device, self.dtype
        if key not in self._rotations:
            positions_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
            self._rotations = {key: rotation(positions_T, width, theta, self.dtype)}
        return self._rotations[key]

    def _masks(self, x_BTC: Tensor, documents_BT: Tensor | None, cache: Cache | None) -> dict[str, Mask]:
        windows = {kind: self.shape.window if kind == "S" else 0 for kind in sorted(set(self.shape.window_layers))}
        if cache is not None:
            return {kind: cache.mask(window) for kind, window in windows.items()}
        documents_BT = documents_BT if self.shape.document_mask else None
        backend = attention.choose(self.attention, x_BTC.device, self.dtype)
        rows, length = x_BTC.shape[:2]
        return {
            kind: attention.plan(backend, documents_BT, rows, length, window, x_BTC) for kind, window in windows.items()
        }


def _initial(name: str, parameter: Tensor, seed: int) -> Tensor:
    """The first value of a parameter, float32 on the host."""
    if parameter.ndim == 1:
        return torch.ones(parameter.shape)
    if name.endswith(("o_proj.weight", "down_proj.weight")):
        return torch.zeros(parameter.shape)
    generator = torch.Generator().manual_seed(
        int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7], "big")
    )
    width = parameter.shape[1]
    scale = 0.1 / math.sqrt(width) if "layers" not in name else 1.0 / math.sqrt(width)
    return torch.randn(parameter.shape, generator=generator) * scale
