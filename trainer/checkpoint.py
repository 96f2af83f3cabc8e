"""Checkpoints: written whole or not at all, proved by their hashes when read, the last and the best few kept.

`checkpoints/step-00000100/` holds what 100 steps came to: weights and moments as safetensors, all else as JSON.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer.failures import Failure, UsageFailure
from trainer.files import read_json, write_json

if TYPE_CHECKING:
    from trainer.model import Transformer
    from trainer.tokenizer import Tokenizer

MODEL, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"
_CHUNK = 16 << 20  # bytes hashed at once


class Damaged(Failure):
    """A checkpoint is not what was written; the message names its file."""


@dataclass(frozen=True)
class Checkpoint:
    """One that was read and proved."""

    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


def path_of(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step-{step:08}"


def save(
    folder: Path, step: int, model: dict[str, Tensor], optimizer: dict[str, Tensor], state: dict[str, Any]
) -> Path:
    """Write one beside its name, put it on the disk, and only then give it the name."""
    path = path_of(folder, step)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        save_file(_plain(model), temporary / MODEL)
        save_file(_plain(optimizer), temporary / OPTIMIZER)
        write_json(temporary / STATE, {"step": step, **state})
        hashes = {name: sha256(temporary / name) for name in (MODEL, OPTIMIZER, STATE)}
        write_json(temporary / MANIFEST, {"step": step, "sha256": hashes})
        for file in [*temporary.iterdir(), temporary]:
            _to_disk(file)
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
        _to_disk(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return path


def read(folder: Path, step: int, optimizer: bool = True) -> Checkpoint:
    """Prove a checkpoint and load it. Raises Damaged with the file that is not what was written."""
    path = path_of(folder, step)
    names = (MODEL, OPTIMIZER, STATE) if optimizer else (MODEL, STATE)
    try:
        hashes = read_json(path / MANIFEST)["sha256"]
        for name in names:
            if sha256(path / name) != hashes[name]:
                raise Damaged(f"{path / name}: not as it was written (its sha256 differs)")
        moments = load_file(path / OPTIMIZER) if optimizer else {}
        return Checkpoint(step, load_file(path / MODEL), moments, read_json(path / STATE))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise Damaged(f"{path}: not a whole checkpoint: {error}") from None


def restore(folder: Path, which: str, optimizer: bool = True) -> Checkpoint | None:
    """The checkpoint of `which`: last, best or a step; where it is damaged, with a warning, the one before.

    None where the folder has none yet. Raises Failure when all are damaged, UsageFailure for an unknown step.
    """
    wanted = order(folder, which)
    for step in wanted:
        try:
            return read(folder, step, optimizer)
        except Damaged as damage:
            print(f"warning: {damage}; trying the one before", file=sys.stderr, flush=True)
    if wanted:
        raise Failure(f"{folder / 'checkpoints'}: every checkpoint is damaged; train anew with another --out")
    return None


def order(folder: Path, which: str) -> list[int]:
    """Steps to try for `last`, `best` or a step, in this order. Raises UsageFailure."""
    steps = listed(folder)
    if which == "best":
        scores = {step: score(folder, step) for step in steps}
        return sorted(steps, key=lambda step: (scores[step], -step))
    if which == "last":
        return steps[::-1]
    number = which.removeprefix("step-")
    if not number.isdigit():
        raise UsageFailure(f"--restore {which}: expected best, last or a step")
    if steps and int(number) not in steps:
        raise UsageFailure(f"--restore {which}: no such checkpoint; there are {', '.join(map(str, steps))}")
    return [step for step in steps[::-1] if step <= int(number)]


def listed(folder: Path) -> list[int]:
    """Steps that have a checkpoint, in order."""
    names = [path.name.removeprefix("step-") for path in (folder / "checkpoints").glob("step-*")]
    return sorted(int(name) for name in names if name.isdigit())


def score(folder: Path, step: int) -> float:
    """Bits per byte of a checkpoint on all validation text; infinite where it was not evaluated or cannot be read."""
    try:
        found = read_json(path_of(folder, step) / STATE).get("bits_per_byte")
    except (OSError, ValueError):
        return float("inf")
    return float("inf") if found is None else float(found)


def prune(folder: Path, keep_last: int, keep_best: int, always: Iterable[int] = ()) -> None:
    """Delete all but the last and the best few, and those of `always`."""
    steps = listed(folder)
    kept = {*steps[-keep_last:], *kept_best({step: score(folder, step) for step in steps}, keep_best), *always}
    remove(folder, [step for step in steps if step not in kept])


def kept_best(scores: dict[int, float], keep: int) -> list[int]:
    """The steps of the lowest scores, the later one first among equals; never one without a score."""
    scored = [step for step in scores if scores[step] < float("inf")]
    return sorted(scored, key=lambda step: (scores[step], -step))[:keep]


def remove(folder: Path, steps: Sequence[int]) -> None:
    for step in steps:
        shutil.rmtree(path_of(folder, step))


def sweep(folder: Path) -> None:
    """Remove what a kill left half-written."""
    for path in (folder / "checkpoints").glob(".*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def load_model(
    folder: Path, restore: str = "best", device: str | torch.device = "cpu"
) -> tuple["Transformer", "Tokenizer"]:
    """A trained model and its tokenizer, to read from; adapters are merged. Raises Failure."""
    from trainer import tokenizer
    from trainer.model import Shape, Transformer

    if not (folder / "model.json").is_file():
        raise UsageFailure(f"{folder}: no model.json; expected a folder that `python -m trainer --out` wrote")
    found = _restore(folder, restore, optimizer=False)
    if found is None:
        raise Failure(f"{folder}: no checkpoint yet; let the training go on")
    model = Transformer(Shape(**read_json(folder / "model.json")))
    adapter = read_json(folder / "recipe.json")["adapter"]
    if adapter["rank"]:
        from trainer import adapters

        adapters.inject(model, adapter["rank"], adapter["alpha"], adapter["targets"])
    model.load_state_dict(found.model)
    if adapter["rank"]:
        adapters.merge(model)
    return model.to(device).eval(), tokenizer.load(folder / "tokenizer")


_restore = restore  # `restore` is also what load_model's argument is called


def sha256(path: Path) -> str:
    """Of a file, in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
