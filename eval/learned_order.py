"""Which sentence follows which, learnt from the documents themselves: a shuffled one breaks what the others keep.

Naive Bayes over signs of a pair of neighbours (how each begins and ends, what they share), counted over half of the
documents and used on the other half, so that no document vouches for itself. Needs no model and no labels.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from eval.chance import Chance, digest
from eval.mentions import sentences
from eval.sentence_cues import permutations

Floats = npt.NDArray[np.float64]
_MAX_SENTENCES = 30
_MIN_SENTENCES = 4
_SMOOTHING = 2.0  # pairs of either kind that every sign is taken to have been seen in
_CAP = 1.5  # nats that one sign may say: the counts of rare ones are chance
_WORDS = re.compile(r"[^\W\d_]+")
_NAMES = re.compile(r"(?<!^)\b[A-Z][a-z]{2,}")
_PRONOUNS = frozenset("he she him her his they them their it its".split())
START, END = "<start>", "<end>"
Counts = tuple[Counter[str], Counter[str]]  # of signs, in true pairs and in others


def measure(texts: Sequence[str]) -> dict[str, Floats]:
    """How much better the order that stands explains each text than random ones, in standard deviations of those."""
    split = [[text[a:b] for a, b in sentences(text)][:_MAX_SENTENCES] for text in texts]
    half = [int(digest("half", text)[:8], 16) % 2 for text in texts]
    learnt = [count([said for said, h in zip(split, half, strict=True) if h == which]) for which in (0, 1)]
    found = [order(said, learnt[1 - h]) for said, h in zip(split, half, strict=True)]
    return {
        "learned_order": np.array([z for z, _ in found]),
        "learned_start": np.array([start for _, start in found]),
    }


def count(documents: Sequence[Sequence[str]]) -> Counts:
    """Signs of true neighbours and of as many pairs from the same documents that are none."""
    true: Counter[str] = Counter()
    other: Counter[str] = Counter()
    for said in documents:
        if len(said) < _MIN_SENTENCES:
            continue
        chance = Chance("pairs", *said)
        known = [_Signs(sentence) for sentence in said]
        mixed = chance.shuffled(range(len(said)))
        for a, b in _neighbours(range(len(said))):
            true.update(_pair(known, a, b))
        for a, b in _neighbours(mixed):
            other.update(_pair(known, a, b))
    return true, other


def order(said: Sequence[str], learnt: Counts) -> tuple[float, float]:
    """(standard deviations above random orders, how good a beginning the first sentence makes beside the others)."""
    size = len(said)
    if size < _MIN_SENTENCES:
        return math.nan, math.nan
    known = [_Signs(sentence) for sentence in said]
    follows = np.zeros((size + 1, size + 1))  # [a, b]; the last row is the start, the last column the end
    for a in range(-1, size):
        for b in range(size + 1):
            if a != b and (a >= 0 or b < size):
                follows[a, b] = weigh(_pair(known, a, b), learnt)
    drawn = np.array([_total(follows, found) for found in permutations(size)])
    spread = drawn.std()
    z = (_total(follows, np.arange(size)) - drawn.mean()) / spread if spread > 1e-9 else 0.0
    begins = follows[-1, :size]
    return float(z), float(begins[0] - begins[1:].mean())


def _total(follows: Floats, found: npt.NDArray[np.int64]) -> float:
    return float(follows[found[:-1], found[1:]].sum() + follows[-1, found[0]] + follows[found[-1], -1])


def weigh(signs: Iterator[str], learnt: Counts) -> float:
    """Nats for the pair being neighbours."""
    true, other = learnt
    total = 0.0
    for sign in signs:
        one = math.log((true[sign] + _SMOOTHING) / (other[sign] + _SMOOTHING))
        total += min(_CAP, max(-_CAP, one))
    return total


def _neighbours(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(before, after); -1 is the start and len(places) the end."""
    yield -1, places[0]
    yield from itertools.pairwise(places)
    yield places[-1], len(places)


class _Signs:
    """What a sentence shows of where it may stand."""

    def __init__(self, sentence: str) -> None:
        words = [word.lower() for word in _WORDS.findall(sentence)]
        self.first = words[0] if words else ""
        self.two = " ".join(words[:2])
        self.last = sentence[-1:]
        self.begins = sentence[:1] if not sentence[:1].isalnum() else ""
        self.size = min(5, len(words) // 6)
        self.content = {word[:6] for word in words if len(word) > 3}
        self.names = set(_NAMES.findall(sentence))
        self.pronoun = bool(_PRONOUNS & set(words[:4]))
        self.quote = sentence.count("“") - sentence.count("”") or sentence.count('"') % 2 * 2


def _pair(known: Sequence[_Signs], a: int, b: int) -> Iterator[str]:
    if b == len(known):
        before = known[a]
        yield from (f"{END} {before.last}", f"{END} {before.first}", f"{END} {before.size}", f"{END}q{before.quote}")
        return
    after = known[b]
    if a < 0:
        yield from (
            f"{START} {after.first}",
            f"{START} {after.two}",
            f"{START} {after.size}",
            f"{START}b{after.begins}",
        )
        yield from (f"{START}p{after.pronoun}", f"{START}n{bool(after.names)}", f"{START}q{after.quote}")
        return
    before = known[a]
    yield f"f {before.first} {after.first}"
    yield f"q {before.quote} {after.quote} {before.last} {after.begins}"
    yield f"s {before.size} {after.size}"
    yield f"o {min(4, len(before.content & after.content))}"
    yield f"m {min(2, len(before.names & after.names))}"
    yield f"p {bool(before.names)} {after.pronoun} {bool(after.names)} {before.pronoun}"
    for word in sorted(before.content & after.content)[:4]:
        yield f"w {word}"
    yield f"t {before.last} {after.first}"
