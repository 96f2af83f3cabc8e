"""Every page scored by a forest that saw no page of its site: what the shipped one, which saw all, cannot show."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from corpus.extraction.learned.forest import Forest
from corpus.extraction.training import examples as make
from corpus.extraction.training.examples import Example, Labelled
from corpus.extraction.training.fit import grown
from corpus.extraction.training.folds import NUM_FOLDS
from corpus.extraction.training.gold import GoldPage, pages

Say = Callable[[str], None]


def all_examples(folder: Path, say: Say) -> list[Example]:
    """Rows of every page of the folder: gold ones, changed copies, silver ones."""
    gold: list[Labelled] = []
    silver: list[Example] = []
    for page in pages(folder):
        labelled = make.gold(page) if page.text is not None else make.silver(page)
        if labelled is not None and page.text is not None:
            gold.append(labelled)
        elif labelled is not None:
            silver.append(make.example("silver", labelled))
    found = [make.example("gold", page) for page in gold] + make.copies(gold) + make.drawn(gold) + silver
    for kind in make.WEIGHT:
        of_kind = [example for example in found if example.kind == kind]
        say(f"{kind:8} {len(of_kind):5} pages {sum(len(example.rows) for example in of_kind):8} blocks")
    return found


def folds(found: Sequence[Example], say: Say) -> list[Forest]:
    """One forest per fold, grown without it."""
    return forests([[example for example in found if example.fold != held_out] for held_out in range(NUM_FOLDS)], say)


def forests(sets: Sequence[Sequence[Example]], say: Say) -> list[Forest]:
    """One forest per set of examples, two at a time; each process has one thread, so that bytes repeat."""
    _sets.extend(sets)
    try:
        with ProcessPoolExecutor(2, get_context("fork")) as pool:
            made = []
            for number, forest in enumerate(pool.map(_grown, range(len(sets))), 1):
                made.append(forest)
                say(f"forest {number} of {len(sets)} grown")
            return made
    finally:
        _sets.clear()


_sets: list[Sequence[Example]] = []  # what forked processes inherit: rows are too large to send


def _grown(number: int) -> Forest:
    return grown(_sets[number])


def gold_pages(folder: Path) -> Iterable[GoldPage]:
    return (page for page in pages(folder) if page.text is not None)


def keep(made: Sequence[Forest], path: Path) -> None:
    """The forests of all folds in one file."""
    told = enumerate(dataclasses.asdict(forest) for forest in made)
    arrays: dict[str, Any] = {f"{k}_{name}": values for k, forest in told for name, values in forest.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def kept(path: Path) -> list[Forest]:
    with np.load(path, allow_pickle=False) as data:
        names = [field.name for field in dataclasses.fields(Forest)]
        return [Forest(**{name: data[f"{k}_{name}"] for name in names}) for k in range(NUM_FOLDS)]
