"""fastText models: loaded once per process, asked for lists of texts.

Only ``predict([list])`` is used: with numpy 2 the form for a single text fails in fastText's own package.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_PREFIX = "__label__"


@functools.cache
def load(path: str) -> Any:
    """The model at `path`. Kept at module level, so that filters stay small when they are pickled."""
    from fasttext import FastText

    FastText.eprint = lambda *_, **__: None  # "load_model does not return WordVectorModel any more", at every load
    return FastText.load_model(path)


def check(path: str) -> None:
    """Raise ValueError if there is no model file at `path`."""
    if not Path(path).is_file():
        raise ValueError(f"model: there is no file {path}")


def one_line(text: str) -> str:
    """fastText reads up to a newline."""
    return text.replace("\n", " ")


def predict(path: str, texts: Sequence[str], top: int) -> tuple[list[list[str]], list[npt.NDArray[np.float32]]]:
    """For each text its `top` labels (-1: all) without their prefix, best first, and their probabilities."""
    if not texts:
        return [], []
    labels, scores = load(path).predict([one_line(text) for text in texts], k=top)
    return [[label.removeprefix(_PREFIX) for label in row] for row in labels], list(scores)


def labels(path: str) -> list[str]:
    """The labels that the model at `path` knows."""
    return sorted(label.removeprefix(_PREFIX) for label in load(path).labels)
