"""What a training run will take of a device's memory, told before the first step, and the micro-batch that fits.

Counted from the shape: what autograd keeps of each layer was listed with saved_tensors_hooks on a CPU.
"""

import dataclasses
import math
import os
from pathlib import Path

import torch

from trainer import head, products
from trainer.failures import Failure
from trainer.model import Shape
from trainer.recipe import Recipe

USABLE = 0.9  # of a device's memory; the rest is fragmentation and what others hold
# The process with torch, its optimisers and compiled kernels loaded, measured; on a GPU its context, not measured.
RUNTIME_BYTES = {"cpu": 650 << 20, "cuda": 1200 << 20}
_FLOAT32, _BFLOAT16 = 4, 2


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Bytes on one rank's device. `available` is what one rank may use of it."""

    weights: int
    gradients: int
    optimizer: int
    activations: int  # kept for the backward pass of one micro-batch
    logits: int
    passing: int  # what one operation needs for a moment, at the worst one
    runtime: int
    available: int
    micro_batch_tokens: int

    @property
    def fixed(self) -> int:
        """What no micro-batch makes smaller."""
        return self.weights + self.gradients + self.optimizer + self.runtime

    @property
    def total(self) -> int:
        return self.fixed + self.activations + self.logits + self.passing

    @property
    def fits(self) -> bool:
        return self.total <= self.available


def estimate(
    shape: Shape,
    recipe: Recipe,
    device: torch.device | str,
    ranks: int = 1,
    micro_batch_tokens: int = 0,
    lanes: int = 1,
) -> Estimate:
    """The peak of one rank, in bytes. micro_batch_tokens: 0 takes the recipe's, or what the batch leaves a rank.

    lanes: micro-batches at once, each with gradients of its own.

    Against the peak resident set of whole processes on a CPU, six shapes of 0.7 to 33 million parameters, 1 to 1.8 GB:
    from 1 % too little to 12 % too much. On a GPU nothing was measured: compiled layers keep less than is counted here.
    """
    device = torch.device(device)
    width = dtype_bytes(recipe, device)
    rows = -(-(micro_batch_tokens or _asked(recipe, ranks)) // recipe.data.sequence_length)
    tokens = rows * recipe.data.sequence_length
    parameters = shape.num_parameters()
    matrices = shape.depth * shape.matrix_parameters()
    moments = 2 * parameters - (matrices if recipe.optimizer.matrices == "muon" else 0)  # Muon keeps one, AdamW two
    copies = width == _BFLOAT16 or lanes * half_products(recipe, device)  # of the weights, for products
    cast = copies * _BFLOAT16 * (matrices + shape.vocab * shape.width)
    return Estimate(
        weights=_FLOAT32 * parameters + cast,
        gradients=_FLOAT32 * parameters * (lanes + (lanes > 1)),
        optimizer=_FLOAT32 * moments,
        activations=lanes * tokens * _kept(shape, recipe, device),
        logits=lanes * _logits(shape, tokens, width, device, recipe.train.lineage == "full"),
        passing=lanes * tokens * _passing_per_token(shape, width),
        runtime=RUNTIME_BYTES[device.type],
        available=available(device, ranks),
        micro_batch_tokens=tokens,
    )


def check(shape: Shape, recipe: Recipe, device: torch.device | str, ranks: int = 1) -> Estimate:
    """The estimate of what will run. A Failure where it does not fit names the keys to change, with values that do."""
    found = estimate(shape, recipe, device, ranks, micro_batch_tokens(shape, recipe, device, ranks))
    if found.fits:
        return found
    said = f"about {_gb(found.total)} GB are needed and {_gb(found.available)} GB are there; try "
    raise Failure(said + ", or ".join(_remedies(shape, recipe, torch.device(device), ranks)))


def micro_batch_tokens(shape: Shape, recipe: Recipe, device: torch.device | str, ranks: int = 1) -> int:
    """What the recipe says, or for 0 the rank's share of a step in as few equal pieces as fit; at least one row.

    It rests on the device's whole memory, not on what is free just now, so that a resumed run adds up alike.
    """
    if recipe.train.micro_batch_tokens:
        return recipe.train.micro_batch_tokens
    length = recipe.data.sequence_length
    rows = _asked(recipe, ranks) // length
    for pieces in range(1, rows + 1):
        tokens = -(-rows // pieces) * length
        if estimate(shape, recipe, device, ranks, tokens).fits:
            return tokens
    return length


def split(
    shape: Shape, recipe: Recipe, device: torch.device | str, ranks: int = 1, threads: int = 1
) -> tuple[int, int]:
    """(micro-batches side by side, tokens of each): a CPU's rank alone has a lane for each thread, where they fit."""
    length, asked = recipe.data.sequence_length, recipe.train.micro_batch_tokens
    pieces = recipe.train.batch_tokens // (asked or length)
    alone = ranks == 1 and torch.device(device).type == "cpu" and recipe.train.compile != "on"
    for lanes in range(min(threads, pieces) if alone else 1, 1, -1):
        tokens = asked or -(-pieces // lanes) * length
        if estimate(shape, recipe, device, ranks, tokens, lanes).fits:
            return lanes, tokens
    return 1, micro_batch_tokens(shape, recipe, device, ranks)


def available(device: torch.device | str, ranks: int = 1) -> int:
    """Bytes that one rank may use: of its GPU, or of this machine's memory (or its container's) shared by its ranks."""
    device = torch.device(device)
    if device.type == "cuda":
        return int(USABLE * torch.cuda.get_device_properties(device).total_memory)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", ranks))  # set by torchrun: ranks on this machine
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_container_limits()]
    return int(USABLE * min(limits)) // max(here, 1)


def dtype_bytes(recipe: Recipe, device: torch.device) -> int:
    """Of one number between products; weights and moments are float32 whatever it is, and on a CPU all is."""
    return _FLOAT32 if recipe.train.dtype == "float32" or device.type == "cpu" else _BFLOAT16


def half_products(recipe: Recipe, device: torch.device) -> bool:
    """Whether a CPU multiplies matrices in bfloat16: where it is asked to, or has units for it."""
    asked = recipe.train.dtype == "bfloat16" or (recipe.train.dtype == "auto" and products.supported())
    return asked and device.type == "cpu"


def _asked(recipe: Recipe, ranks: int) -> int:
    """Tokens of the largest micro-batch that the recipe allows: its own, or a rank's share of a step, in whole rows."""
    length = recipe.data.sequence_length
    share = -(-(recipe.train.batch_tokens // length) // ranks) * length
    return min(recipe.train.micro_batch_tokens or share, share)


def _kept(shape: Shape, recipe: Recipe, device: torch.device) -> int:
    """Bytes that autograd keeps of all layers for one token."""
    length, width = recipe.data.sequence_length, dtype_bytes(recipe, device)
    queries, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    if device.type == "cpu":  # fused.py's passes keep what they were given, and scales
        norm, mlp = _FLOAT32, (3 if shape.mlp == "swiglu" else 2) * shape.mlp_width
        turned = _FLOAT32 * (queries + keys)
    else:  # a fused norm keeps its input as it is
        norm, mlp = width, (4 if shape.mlp == "swiglu" else 2) * shape.mlp_width
        turned = norm * (queries + keys) * shape.qk_norm
    inner = 2 * shape.width + 2 * queries + 2 * keys + mlp  # inputs of matrices; q, k, v and the result of attention
    masked = _masked(shape, device) * length * width  # a dense mask as numbers, one copy in each layer
    layer = norm * 2 * shape.width + turned + width * inner + masked
    if not half_products(recipe, device):
        return shape.depth * layer + shape.width * (norm + width)
    # Every matrix keeps a copy of its own of what it reads, in the place of norms' and the gate's one result.
    copied = (4 + (shape.mlp == "swiglu")) * shape.width + queries + shape.mlp_width
    layer += _BFLOAT16 * copied - _FLOAT32 * (2 * shape.width + shape.mlp_width)
    return shape.depth * layer + shape.width * (norm + _BFLOAT16)


def _masked(shape: Shape, device: torch.device) -> bool:
    return device.type == "cpu" and (shape.document_mask or shape.window > 0)


def _logits(shape: Shape, tokens: int, width: int, device: torch.device, el2n: bool) -> int:
    """Logits as head.py keeps them, a float32 piece or two in work, and the float32 gradient of the output matrix."""
    kept = tokens * shape.vocab * width
    if kept > head.KEPT_BYTES.get(device.type, 1 << 30):
        kept = 0
    piece = min(head.PIECE_BYTES.get(device.type, 1 << 28), _FLOAT32 * tokens * shape.vocab)
    return kept + (3 if el2n else 2) * piece + _FLOAT32 * shape.vocab * shape.width


def _passing_per_token(shape: Shape, width: int) -> int:
    """Gradients in flight at the widest point, the MLP: of its inner values and of the stream around it."""
    return width * (3 * shape.mlp_width + 3 * shape.width)


def _remedies(shape: Shape, recipe: Recipe, device: torch.device, ranks: int) -> list[str]:
    """Changes that would fit, each alone, the smallest loss first; with none that does, what to do instead."""
    found = []
    length = recipe.data.sequence_length
    rows = _asked(recipe, ranks) // length
    fitting = [n for n in range(1, rows) if estimate(shape, recipe, device, ranks, n * length).fits]
    if fitting:
        found.append(f"train.micro_batch_tokens = {fitting[-1] * length} (the same batch in more pieces)")
    half = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, dtype="bfloat16"))
    if device.type != "cpu" and recipe.train.dtype == "float32" and estimate(shape, half, device, ranks).fits:
        found.append('train.dtype = "bfloat16"')
    depth = _fitting_depth(shape, recipe, device, ranks)
    if depth:
        found.append(f"model.depth = {depth}")
    if not found and length > 64:
        found.append("a smaller data.sequence_length")
    return found or ["a smaller model.width or tokenizer.vocab"]


def _fitting_depth(shape: Shape, recipe: Recipe, device: torch.device, ranks: int) -> int:
    """The most layers that fit, by the dial where it set the width; 0: none."""
    for depth in range(shape.depth - 1, 0, -1):
        width = shape.width if recipe.model.width else max(shape.head_width, shape.width * depth // shape.depth)
        share = width / shape.width
        smaller = dataclasses.replace(
            shape,
            depth=depth,
            width=width,
            heads=max(1, round(shape.heads * share)),
            kv_heads=max(1, round(shape.kv_heads * share)),
            mlp_width=math.ceil(shape.mlp_width * share),
            window_layers=shape.window_layers[-depth:],
        )
        micro = micro_batch_tokens(smaller, recipe, device, ranks)
        if estimate(smaller, recipe, device, ranks, micro).fits:
            return depth
    return 0


def _container_limits() -> list[int]:
    """Limits of the control group, in its two layouts."""
    found = []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            found.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return found


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f}"
