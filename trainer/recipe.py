"""A training run is one TOML recipe, parsed into frozen dataclasses that are its schema.

Every mistake is a `RecipeError` with the file, the key and what would be accepted, raised before any work starts.
"""

import dataclasses
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from trainer.failures import UsageFailure


class RecipeError(UsageFailure, ValueError):
    """A recipe that cannot be run."""


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """Byte-level BPE, trained on the corpus unless one is given."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    path: str = ""  # a folder in the Hugging Face layout; empty: train one
    vocab: Annotated[int, Field(ge=300, le=1_000_000)] = 2048  # tokens, special ones included
    max_mb: Positive = 100.0  # text that training reads, drawn by document id


@dataclasses.dataclass(frozen=True)
class Data:
    """What is read, and in which proportion."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    kind: Literal["text", "chat"] = "text"  # chat: conversations, with the loss on what the assistant says
    sequence_length: Annotated[int, Field(ge=8)] = 256  # tokens of a row
    validation: Share = 0.03  # of each source's documents, by the hash of their ids
    validation_max_tokens: Count = 1_000_000  # per source, of what every evaluation reads
    # Glob over source names -> share of the tokens read. Empty: every token equally often. Several corpora: the names
    # are CORPUS/SOURCE.
    mixture: dict[str, Positive] = dataclasses.field(default_factory=dict)
    cache: str = ""  # where token shards are kept; empty: tokens/ in the corpus's run folder


@dataclasses.dataclass(frozen=True)
class Model:
    """A decoder-only transformer. `depth` sets what is left at 0; see model.Shape."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    depth: Count = 4  # layers
    width: CountOrNone = 0  # 0: 64 times the depth
    heads: CountOrNone = 0
    kv_heads: CountOrNone = 0  # fewer than heads: grouped-query attention
    head_width: CountOrNone = 0
    mlp: Literal["swiglu", "relu2"] = "swiglu"
    mlp_width: CountOrNone = 0
    qk_norm: bool = True
    tied: bool | None = None  # input and output embeddings are one; unset: below 50 million parameters
    window: CountOrNone = 0  # tokens that windowed layers see; 0: all layers see everything
    window_layers: str = "L"  # repeated over the layers: S short (window), L long; "SSSL"
    document_mask: bool = True  # attention ends at document borders
    rope_theta: Positive = 10_000.0
    norm_eps: Positive = 1e-6


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Muon on the matrices, AdamW on the rest."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    matrices: Literal["muon", "adamw"] = "muon"
    lr: Positive = 0.01  # of the matrices
    lr_rest: Positive = 0.003  # of embeddings, head, gains
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    momentum: Share = 0.95
    clip: Annotated[float, Field(ge=0)] = 1.0  # largest global gradient norm; 0: none
    schedule: Literal["wsd", "cosine", "constant"] = "wsd"
    warmup: Share = 0.02  # of all steps
    decay: Share = 0.3  # of all steps, at the end (wsd)
    final_lr: Share = 0.0  # of the peak


@dataclasses.dataclass(frozen=True)
class Train:
    """How long, how much at once, and what happens meanwhile."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    tokens: Count = 1_000_000  # to read in all
    batch_tokens: Count = 4096  # of one step, all ranks together
    micro_batch_tokens: CountOrNone = 0  # of one forward on one rank; 0: all of the rank's share that memory allows
    seed: Annotated[int, Field(ge=0)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on a GPU
    compile: Literal["auto", "on", "off"] = "auto"  # auto: on a GPU
    attention: Literal["auto", "sdpa", "flex", "varlen"] = "auto"
    threads: CountOrNone = 0  # of a CPU rank; 0: cores divided by ranks
    evaluate_every: CountOrNone = 0  # steps; 0: ten times in a run
    checkpoint_every: CountOrNone = 0  # steps; 0: at every evaluation
    keep_last: Count = 2
    keep_best: Count = 1
    lineage: Literal["off", "loss", "full"] = "loss"  # full: also EL2N, which costs another pass over the logits
    spike_sigmas: Annotated[float, Field(ge=0)] = 6.0  # a loss so far above the last steps' is refused; 0: never
    refusals: Count = 3  # in a row, before the run goes back to its last good checkpoint
    sample_tokens: CountOrNone = 64  # of each sample written at an evaluation
    sample_prompts: tuple[str, ...] = ("",)
    stop_after: CountOrNone = 0  # evaluations without a better one before training ends; 0: never
    peak_tflops: Annotated[float, Field(ge=0)] = 0.0  # of one device, for MFU; 0: looked up by its name, else not shown


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One training run."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    tokenizer: Tokenizer = Tokenizer()
    data: Data = Data()
    model: Model = Model()
    optimizer: Optimizer = Optimizer()
    train: Train = Train()


def load(path: Path | None, changes: Sequence[str] = ()) -> Recipe:
    """The recipe of a file, or the default one, with `a.b=c` changes (c in TOML, or a bare word) carried out."""
    raise NotImplementedError  # H3


def parse(raw: dict[str, Any], name: str) -> Recipe:
    """A table of TOML as a recipe; RecipeError names `name`, the key and what it accepts."""
    raise NotImplementedError(TypeAdapter, ValidationError, tomllib)  # H3
