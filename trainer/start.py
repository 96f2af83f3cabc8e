"""How a run begins, or goes on: tokenizer, token shards, shape and first weights, all checked before the first step.

The folder of a model remembers what it was begun with, and a run of anything else is refused there.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer import checkpoint, memory, packing, tokenizer, weights
from trainer import model as models
from trainer import recipe as recipes
from trainer.failures import UsageFailure
from trainer.files import read_json, write_json
from trainer.model import Shape
from trainer.order import Order, shares
from trainer.progress import lines_of
from trainer.ranks import Ranks
from trainer.recipe import Recipe
from trainer.run_folder import open_runs
from trainer.shards import Shards
from trainer.tokenizer import Tokenizer
from trainer.weights import Weights

FORMAT = 1  # of a model's folder
# How a run is carried out, not what it comes to: these may differ when it goes on.
FREE = {
    f"train.{key}"
    for key in ("device", "compile", "attention", "threads", "micro_batch_tokens", "checkpoint_every", "keep_last",
                "keep_best", "peak_tflops")
}  # fmt: skip


@dataclass(frozen=True)
class Start:
    """What a run needs to begin."""

    tokenizer: Tokenizer
    shards: Shards
    shape: Shape
    weights: dict[str, Tensor] | None  # None: drawn from the seed
    document_weights: Weights | None  # None: every document counts as one
    order: Order
    steps: int
    micro_rows: int
    lanes: int  # micro-batches side by side


def begin(recipe: Recipe, corpora: Sequence[Path], out: Path, init: str, extend_vocab: bool, ranks: Ranks) -> Start:
    """Prepare a run, on rank 0 first. Raises UsageFailure or Failure with the key, file or option to change."""
    found = _begin(recipe, corpora, out, init, extend_vocab) if ranks.first else None
    ranks.wait()
    tokens, shards, document_weights, shape, first = found or _begin(
        recipe, corpora, out, init, extend_vocab, write=False
    )
    length = recipe.data.sequence_length
    rows = shards.rows_per_source("train", length)
    batch_rows = recipe.train.batch_tokens // length
    if batch_rows < ranks.size:
        raise UsageFailure(f"train.batch_tokens: {batch_rows} rows for {ranks.size} ranks; each needs one at least")
    memory.check(shape, recipe, ranks.device, ranks.size)
    threads = ranks.threads(recipe.train.threads)
    lanes, micro_batch_tokens = memory.split(shape, recipe, ranks.device, ranks.size, threads)
    return Start(
        tokenizer=tokens,
        shards=shards,
        shape=shape,
        weights=first,
        document_weights=document_weights,
        order=Order(rows, shares(shards.sources, rows, recipe.data.mixture), batch_rows, recipe.train.seed),
        steps=math.ceil(recipe.train.tokens / recipe.train.batch_tokens),
        micro_rows=micro_batch_tokens // length,
        lanes=lanes,
    )


Prepared = tuple[Tokenizer, Shards, Weights | None, Shape, dict[str, Tensor] | None]


def _begin(
    recipe: Recipe, corpora: Sequence[Path], out: Path, init: str, extend_vocab: bool, write: bool = True
) -> Prepared:
    if begun(out):
        _check_same(out, recipe, init)
        tokens = tokenizer.load(out / "tokenizer")
        shape = Shape(**read_json(out / "model.json"))
        first = None
        if init and not checkpoint.listed(out):  # killed before its first checkpoint
            _, first = _grown(*_initial(init), tokens.vocab, extend_vocab, init)
        shards = packing.open_shards(corpora, tokens, recipe.data, lines_of("packing document"))
        document_weights = weights.read(open_runs(corpora), shards)
        _check_corpus(out, shards, document_weights)
        return tokens, shards, document_weights, shape, first
    _check_empty(out)
    tokens = _tokenizer(recipe, corpora, init, extend_vocab)
    shape, first = _model(recipe, tokens, init, extend_vocab)
    shards = packing.open_shards(corpora, tokens, recipe.data, lines_of("packing document"))
    document_weights = weights.read(open_runs(corpora), shards)
    if write:
        write_json(out / "recipe.json", recipes.plain(recipe))
        tokens.save(out / "tokenizer")
        write_json(out / "model.json", dataclasses.asdict(shape))
        write_json(
            out / "manifest.json", _manifest(corpora, shards, document_weights, init)
        )  # last: with it the run has begun
    return tokens, shards, document_weights, shape, first


def begun(out: Path) -> bool:
    """Whether the folder is that of a model, at least of one that was begun."""
    return (out / "manifest.json").is_file() and (out / "recipe.json").is_file() and (out / "model.json").is_file()


def kept_recipe(folder: Path) -> Recipe:
    """The recipe that a model's folder was begun with. Raises UsageFailure where it is none."""
    if not begun(folder):
        raise UsageFailure(f"{folder}: no folder of a model; expected what `python -m trainer --out` wrote")
    return recipes.parse(read_json(folder / "recipe.json"), str(folder / "recipe.json"))


def _check_empty(out: Path) -> None:
    """A folder without a whole beginning may hold only what a killed one leaves."""
    ours = {".lock", "recipe.json", "model.json", "tokenizer"}
    odd = sorted(path.name for path in out.iterdir() if path.name not in ours and not path.name.endswith(".tmp"))
    if odd:
        raise UsageFailure(f"{out}: holds {odd[0]} and is no folder of a model; choose an empty --out")


def _check_same(out: Path, recipe: Recipe, init: str) -> None:
    found = [d for d in recipes.differences(kept_recipe(out), recipe) if d[0] not in FREE]
    advice = "choose another --out, or leave that as it was to go on"
    if found:
        key, old, new = found[0]
        raise UsageFailure(f"{out}: was begun with {key} = {old!r}, and this recipe has {new!r}: {advice}")
    told = read_json(out / "manifest.json")
    if told["format"] != FORMAT:
        raise UsageFailure(f"{out}: of format {told['format']}, this trainer writes {FORMAT}: choose another --out")
    old = told["init"]
    if old != init:
        raise UsageFailure(f"{out}: was begun with --init {old or '(none)'}, not {init or '(none)'}: {advice}")


def _check_corpus(out: Path, shards: Shards, document_weights: Weights | None) -> None:
    told = read_json(out / "manifest.json")
    if told["shards"] == shards.key:
        if told.get("document_weights", "") != _sha256(document_weights):
            raise UsageFailure(
                f"{out}: was begun when the corpus gave its documents other weights ({weights.FILE}): choose another "
                "--out"
            )
        return
    old, new = told["corpora"], shards.told["corpora"]
    odd = next((name for name in sorted({*old, *new}) if old.get(name) != new.get(name)), "")
    what = f"corpus {odd!r} has other documents now" if odd in old and odd in new else f"corpus {odd!r} is not in both"
    raise UsageFailure(f"{out}: was begun with another corpus ({what}): choose another --out")


def _sha256(document_weights: Weights | None) -> str:
    return document_weights.sha256 if document_weights else ""


def _manifest(corpora: Sequence[Path], shards: Shards, document_weights: Weights | None, init: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "folders": [str(path.resolve()) for path in corpora],
        "corpora": shards.told["corpora"],
        "shards": shards.key,
        "tokenizer": shards.told["tokenizer"],
        "document_weights": _sha256(document_weights),  # empty: every document counts as one
        "init": init,
        "versions": {"torch": torch.__version__},
    }


def _tokenizer(recipe: Recipe, corpora: Sequence[Path], init: str, extend_vocab: bool) -> Tokenizer:
    """The recipe's, else that of the first weights, else a new one."""
    if recipe.tokenizer.path:
        return tokenizer.load(Path(recipe.tokenizer.path))
    if not init:
        return tokenizer.train(corpora, recipe.tokenizer)
    found = tokenizer.load(_parts(init)[0] if init.startswith("hf:") else _parts(init)[0] / "tokenizer")
    chat = recipe.data.kind == "chat" and extend_vocab
    return found.with_chat() if chat else found


def _model(recipe: Recipe, tokens: Tokenizer, init: str, extend_vocab: bool) -> tuple[Shape, dict[str, Tensor] | None]:
    if recipe.adapter.rank and not init:
        raise UsageFailure("adapter.rank: adapters are for a model that is given; name it with --init")
    if not init:
        return models.shape_of(recipe.model, tokens.vocab), None
    shape, weights = _initial(init)
    _check_shape(recipe.model, shape, init)
    return _grown(shape, weights, tokens.vocab, extend_vocab, init)


def _parts(init: str) -> tuple[Path, str]:
    """Folder and checkpoint of `hf:DIR`, MODEL, MODEL@best or MODEL@STEP."""
    if init.startswith("hf:"):
        return Path(init.removeprefix("hf:")), ""
    name, at, which = init.rpartition("@")
    return (Path(name), which) if at and not Path(init).exists() else (Path(init), "best")


def _initial(init: str) -> tuple[Shape, dict[str, Tensor]]:
    folder, which = _parts(init)
    if init.startswith("hf:"):
        from trainer import huggingface

        return huggingface.load_folder(folder)
    if not (folder / "model.json").is_file():
        hint = f"; for a folder in the Hugging Face layout: --init hf:{folder}" * (folder / "config.json").is_file()
        raise UsageFailure(f"--init {init}: {folder} is no folder of a model{hint}")
    found, _ = checkpoint.load_model(folder, which)
    return found.shape, found.state_dict()


def _grown(
    shape: Shape, weights: dict[str, Tensor], vocab: int, extend: bool, init: str
) -> tuple[Shape, dict[str, Tensor]]:
    """Rows for a larger tokenizer; a smaller one is fine, since public models round their vocabulary up."""
    if vocab <= shape.vocab:
        return shape, weights
    if not extend:
        raise UsageFailure(
            f"tokenizer: {vocab} tokens, and {init} knows {shape.vocab}: leave tokenizer.path away, or add "
            "--extend-vocab, which gives the new tokens the mean of the old ones"
        )
    from trainer import huggingface

    return dataclasses.replace(shape, vocab=vocab), huggingface.extend_vocab(weights, vocab)


def _check_shape(wanted: recipes.Model, found: Shape, init: str) -> None:
    """What the recipe sets (differs from what it would be unset) must be what the weights have."""
    unset = recipes.load(None).model
    for field in dataclasses.fields(wanted):
        value, has = getattr(wanted, field.name), getattr(found, field.name)
        if field.name == "window_layers":
            has = has[: len(value)]
        if value not in (field.default, getattr(unset, field.name), has):
            raise UsageFailure(
                f"model.{field.name}: the recipe says {value!r} and {init} has {has!r}; its shape is taken from there, "
                "so leave the key away"
            )
