"""A training run is one TOML recipe, parsed into frozen dataclasses that are its schema.

Every mistake is a `RecipeError` with the file, the key and what would be accepted, raised before any work starts.
"""

import dataclasses
import difflib
import functools
import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from trainer.failures import UsageFailure


class RecipeError(UsageFailure, ValueError):
    """A recipe that cannot be run."""


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
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
    weight_decay: NotNegative = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    momentum: Share = 0.95
    clip: NotNegative = 1.0  # largest global gradient norm; 0: none
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
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on a GPU or a CPU with units for it
    compile: Literal["auto", "on", "off"] = "auto"  # auto: on a GPU
    attention: Literal["auto", "sdpa", "flex", "varlen"] = "auto"
    threads: CountOrNone = 0  # of a CPU rank; 0: cores divided by ranks
    evaluate_every: CountOrNone = 0  # steps; 0: ten times in a run
    checkpoint_every: CountOrNone = 0  # steps; 0: at every evaluation
    keep_last: Count = 2
    keep_best: Count = 1
    lineage: Literal["off", "loss", "full"] = "loss"  # full: also EL2N, which costs another pass over the logits
    spike_sigmas: NotNegative = 6.0  # a loss so far above the last steps' is refused; 0: never
    refusals: Count = 3  # in a row, before the run goes back to its last good checkpoint
    sample_tokens: CountOrNone = 64  # of each sample written at an evaluation
    sample_prompts: tuple[str, ...] = ("",)
    stop_after: CountOrNone = 0  # evaluations without a better one before training ends; 0: never
    peak_tflops: NotNegative = 0.0  # of one device, for MFU; 0: looked up by its name, else not shown


@dataclasses.dataclass(frozen=True)
class Adapter:
    """Low-rank adapters beside frozen matrices, for fine-tuning a model that is given; see adapters.inject."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    rank: CountOrNone = 0  # 0: none, everything is trained
    alpha: Positive = 16.0  # an adapter counts alpha / rank times
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One training run."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    tokenizer: Tokenizer = Tokenizer()
    data: Data = Data()
    model: Model = Model()
    optimizer: Optimizer = Optimizer()
    train: Train = Train()
    # The loop, before it makes optimizers: adapters.inject(model, rank, alpha, targets, train.seed) where rank > 0.
    adapter: Adapter = Adapter()


DEFAULT = Path(__file__).parent / "recipes" / "default.toml"


def load(path: Path | None, changes: Sequence[str] = ()) -> Recipe:
    """The recipe of a file, or the default one, with `a.b=c` changes (c in TOML, or a bare word) carried out.

    A name without a suffix, such as `chat`, is one of the recipes that come with the trainer. Raises RecipeError.
    """
    file = _file(path)
    try:
        raw = tomllib.loads(file.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{file}: not TOML: {error}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{file}: not UTF-8 text") from None
    for change in changes:
        _put(raw, change)
    return parse(raw, str(file))


def parse(raw: dict[str, Any], name: str) -> Recipe:
    """A table of TOML as a recipe; RecipeError names `name`, the key and what it accepts."""
    try:
        recipe = _adapter().validate_json(json.dumps(raw, default=str))  # as JSON: strict, but lists may be tuples
    except ValidationError as error:
        raise RecipeError(f"{name}: {_explain(error.errors()[0])}") from None
    for key, problem in _conflicts(recipe):
        raise RecipeError(f"{name}: {key}: {problem}")
    return recipe


def plain(recipe: Any) -> dict[str, Any]:
    """A recipe as a table that `parse` reads, lists for tuples, so that it can be kept as JSON."""
    return {key: _plain(value) for key, value in dataclasses.asdict(recipe).items()}


def differences(one: Recipe, other: Recipe) -> list[tuple[str, Any, Any]]:
    """Keys in which two recipes differ, with both values, in the order of the schema."""
    found = []
    for table in dataclasses.fields(Recipe):
        a, b = getattr(one, table.name), getattr(other, table.name)
        pairs = [(f"{table.name}.{f.name}", getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)]
        found += [pair for pair in pairs if pair[1] != pair[2]]
    return found


def _file(path: Path | None) -> Path:
    if path is None:
        return DEFAULT
    if path.is_file():
        return path
    shipped = DEFAULT.with_name(f"{path}.toml")
    if path.name == str(path) and shipped.is_file():
        return shipped
    names = sorted(file.stem for file in DEFAULT.parent.glob("*.toml") if file.stem != "tune")  # that one is no recipe
    raise RecipeError(f"{path}: no such recipe{_suggest(str(path), names)}; or the path of a TOML file")


def _put(raw: dict[str, Any], change: str) -> None:
    """Carry out one `a.b=c` in a raw recipe."""
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {change}: expected key=value, for example train.tokens=2_000_000")
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text  # an unquoted word is a string
    *tables, last = key.strip().split(".", 2)  # names of sources, below data.mixture, may hold dots
    table: Any = raw
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {change}: {name!r} is not a table")
    table[last] = value


@functools.cache
def _adapter() -> TypeAdapter[Recipe]:
    return TypeAdapter(Recipe)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _explain(error: Any) -> str:
    """One error of pydantic as: key, what is wrong, what would be accepted."""
    path = [str(part) for part in error["loc"]]
    if error["type"] == "unexpected_keyword_argument":
        return f"unknown key {'.'.join(path)!r}{_suggest(path[-1], _keys(path[:-1]))}"
    if error["type"] == "missing":
        return f"{'.'.join(path)}: a value is missing"
    said = error["msg"].removeprefix("Input should be ").replace("an object", "a table")
    return f"{'.'.join(path)}: expected {said}, found {error['input']!r}"


def _keys(path: Sequence[str]) -> list[str]:
    table: Any = Recipe()
    for name in path:
        table = getattr(table, name)
    return [field.name for field in dataclasses.fields(table)]


def _suggest(word: str, accepted: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, accepted, 1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{meant}; accepted: {', '.join(accepted)}"


def _conflicts(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Values that are good alone and not together: the key to change, and how."""
    data, model, optimizer, train = recipe.data, recipe.model, recipe.optimizer, recipe.train
    length = data.sequence_length
    if train.batch_tokens % length:
        near = max(length, round(train.batch_tokens / length) * length)
        yield (
            "train.batch_tokens",
            f"{train.batch_tokens} is no multiple of data.sequence_length = {length}; try {near}",
        )
    if train.micro_batch_tokens % length:
        yield "train.micro_batch_tokens", f"must be 0 or a multiple of data.sequence_length = {length}"
    if train.tokens < train.batch_tokens:
        yield "train.tokens", f"{train.tokens} is less than one step, train.batch_tokens = {train.batch_tokens}"
    if data.validation == 1:
        yield "data.validation", "1 leaves nothing to train on; try 0.03"
    if optimizer.schedule == "wsd" and optimizer.warmup + optimizer.decay > 1:
        yield "optimizer.decay", f"with optimizer.warmup = {optimizer.warmup} it is more than all steps"
    if not all(0 <= beta < 1 for beta in optimizer.betas):
        yield "optimizer.betas", f"expected two numbers from 0 to below 1, found {list(optimizer.betas)}"
    if not model.window_layers or set(model.window_layers) - set("SL"):
        yield "model.window_layers", f"expected a word of S and L such as 'SSSL', found {model.window_layers!r}"
    if "S" in model.window_layers and not model.window:
        yield "model.window", "window_layers has an S: say how many tokens such a layer sees"
