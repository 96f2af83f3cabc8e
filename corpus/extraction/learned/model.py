"""The shipped model: a forest in one small file, and its card."""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np

from corpus.extraction.learned.features import COLUMNS
from corpus.extraction.learned.forest import Forest
from corpus.extraction.learned.release import FILE


class WrongModel(RuntimeError):
    """A model file that was not trained for these features."""


def fingerprint() -> np.ndarray:
    """Of the features' names: a model trained on others is refused."""
    return np.frombuffer(hashlib.sha256("\n".join(COLUMNS).encode()).digest(), np.uint8)


def save(forest: Forest, path: Path) -> None:
    """The same forest makes the same bytes: a zip archive with fixed dates."""
    with path.open("wb") as file:
        np.savez_compressed(file, columns=fingerprint(), **dataclasses.asdict(forest))


def load(path: Path = FILE) -> Forest:
    with np.load(path, allow_pickle=False) as data:
        if not np.array_equal(data["columns"], fingerprint()):
            raise WrongModel(f"{path} was trained on other features: python -m corpus.extraction train")
        return Forest(**{field.name: data[field.name] for field in dataclasses.fields(Forest)})


@functools.cache
def shipped() -> Forest:
    return load()
