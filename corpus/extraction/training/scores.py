"""How near a text is to a gold text, by words; and whether snippets stand in it."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from corpus.extraction.training.align import words

SPACE = re.compile(r"\s+")


def word_f1(text: str, gold: str) -> float:
    """F1 of the two bags of words: runs of letters, digits and underscores in lower case."""
    found, wanted = Counter(words(text)), Counter(words(gold))
    if not found and not wanted:
        return 1.0
    return 2 * (found & wanted).total() / (found.total() + wanted.total())


def contained(snippets: Sequence[str], text: str) -> int:
    """How many of the snippets stand in the text, white space aside."""
    plain = SPACE.sub(" ", text)
    return sum(SPACE.sub(" ", snippet) in plain for snippet in snippets)


def interval(values: Sequence[float], seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    held = np.asarray(values)
    picks = np.random.default_rng(seed).integers(0, len(held), (draws, len(held)))
    low, high = np.quantile(held[picks].mean(1), [0.025, 0.975])
    return float(low), float(high)
