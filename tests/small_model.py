"""A model of a second for the tests of evaluation, trained once for a whole test run."""

import functools
import tempfile
from pathlib import Path

import torch
from conftest import prose
from small_corpus import document, write_run
from tiny_training import tiny_recipe

TEXTS = [
    document(f"In {1900 + n} Anna Berg of Lund bought {n + 300} boats.\n{prose(n, 3 + n % 9)}", ("web", "books")[n % 2])
    for n in range(40)
]


@functools.cache
def trained() -> tuple[Path, Path]:
    """(model, run). Kept to the end of the process: training takes a second, and nobody writes into it."""
    torch.set_num_threads(1)
    from trainer.train import train

    folder = Path(tempfile.mkdtemp(prefix="winnow-test-"))
    run = write_run(folder / "run", TEXTS)
    train(tiny_recipe(train__lineage="full"), [run], folder / "model")
    return folder / "model", run
