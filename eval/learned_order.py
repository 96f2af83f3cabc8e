"""Which sentence follows which, learnt from the documents themselves: a shuffled one breaks what the others keep.

Signs of two sentences (how each begins and ends, what they share, which names and articles come first) are counted over
half of the documents. How well the order that stands obeys each kind of sign, beside random orders of the same
sentences, is what trees learn to tell an order that stood from a shuffled one by; they read the other half, so that no
document vouches for itself. Needs no model and no labels: the shuffles are made here (self-supervision, Laban 2021).
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.chance import Chance, digest
from eval.mentions import sentences

Floats = npt.NDArray[np.float64]
_MAX_SENTENCES = 30
_MIN_SENTENCES = 4
_LEAST = 40  # documents of either half: fewer teach nothing
_ORDERS = 100  # random ones that an order is measured beside
_SHUFFLES = 3  # of a document, to learn from
_TREES = {"max_iter": 80, "learning_rate": 0.06, "max_leaf_nodes": 8, "min_samples_leaf": 30}
_SMOOTHING = 2.0  # pairs of either kind that every sign is taken to have been seen in
_CAP = 1.5  # nats that one sign may say: the counts of rare ones are chance
_WORDS = re.compile(r"[^\W\d_]+")
_ARTICLE = re.compile(r"\b(a|an|the|this|that|these|those|his|her|its|their)\s+(?:\w+\s+)?(\w{4,})", re.IGNORECASE)
_NAMES = re.compile(r"(?<!^)\b[A-Z][a-z]{2,}")
_FULL = re.compile(r"\b[A-Z][a-z]+ (?:[A-Z]\. )?([A-Z][a-z]{2,})\b")
_PRONOUNS = frozenset("he she him her his they them their it its".split())
_PRESENT = frozenset("is are has have do does can will".split())
_PAST = frozenset("was were had did could would".split())
START, END = "<start>", "<end>"
NEIGHBOURS = (START, END, "first", "quote", "size", "shared", "names", "pronoun", "word", "end", "article", "tense")
EARLIER = ("place", "introduced", "full")  # signs of any two sentences, in whichever order they stand
KINDS = (*NEIGHBOURS, *EARLIER, "near")
Counts = tuple[Counter[str], Counter[str]]  # of signs, in true orders and in others


def measure(texts: Sequence[str]) -> dict[str, Floats]:
    """`learned_order`: log-odds that the order is the true one. `learned_start`: how good a beginning the first
    sentence makes beside the others, in nats. NaN for texts of few sentences, and where there are few texts."""
    split = [[text[a:b] for a, b in sentences(text)][:_MAX_SENTENCES] for text in texts]
    half = [int(digest("half", text)[:8], 16) % 2 for text in texts]
    usable = [len(said) >= _MIN_SENTENCES for said in split]
    order, start = np.full(len(texts), np.nan), np.full(len(texts), np.nan)
    members = [[at for at in range(len(texts)) if half[at] == which and usable[at]] for which in (0, 1)]
    if min(map(len, members)) < _LEAST:
        return {"learned_order": order, "learned_start": start}
    learnt = [count([split[at] for at in rows]) for rows in members]
    read = [[Order(split[at], learnt[1 - which]) for at in members[which]] for which in (0, 1)]
    for which in (0, 1):
        found = _trained(read[1 - which]).decision_function(np.array([one.obeyed() for one in read[which]]))
        order[members[which]] = found
        start[members[which]] = [one.start for one in read[which]]
    return {"learned_order": order, "learned_start": start}


def _trained(read: Sequence["Order"]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = [one.obeyed() for one in read] + [one.obeyed(o) for one in read for o in one.shuffles()]
    label = np.arange(len(x)) < len(read)
    return HistGradientBoostingClassifier(early_stopping=False, random_state=0, **_TREES).fit(np.array(x), label)


def count(documents: Sequence[Sequence[str]]) -> Counts:
    """Signs of true orders, and of as many shuffled ones of the same sentences."""
    true: Counter[str] = Counter()
    other: Counter[str] = Counter()
    for said in documents:
        known = [_Signs(sentence) for sentence in said]
        for order, counts in (
            (list(range(len(said))), true),
            (Chance("pairs", *said).shuffled(range(len(said))), other),
        ):
            for a, b in _neighbours(order):
                counts.update(_pair(known, a, b))
            for a, b in itertools.combinations(order, 2):
                counts.update(_earlier(known[a], known[b]))
    return true, other


def weigh(signs: Iterator[str], learnt: Counts) -> dict[str, float]:
    """Nats that each kind of sign says for the pair being so in a true order."""
    true, other = learnt
    total: dict[str, float] = {}
    for sign in signs:
        one = math.log((true[sign] + _SMOOTHING) / (other[sign] + _SMOOTHING))
        kind = sign.partition(" ")[0]
        total[kind] = total.get(kind, 0.0) + min(_CAP, max(-_CAP, one))
    return total


class Order:
    """What a document's sentences say of the orders in which they may stand."""

    def __init__(self, said: Sequence[str], learnt: Counts) -> None:
        self.said, size = said, len(said)
        known = [_Signs(sentence) for sentence in said]
        follows = np.zeros((len(NEIGHBOURS), size + 1, size + 1))  # [a, b]; last row: the start, last column: the end
        for a, b in itertools.product(range(-1, size), range(size + 1)):
            if a != b and (a >= 0 or b < size):
                for kind, nats in weigh(_pair(known, a, b), learnt).items():
                    follows[NEIGHBOURS.index(kind), a, b] = nats
        before = np.zeros((len(EARLIER), size, size))
        for a, b in itertools.permutations(range(size), 2):
            for kind, nats in weigh(_earlier(known[a], known[b]), learnt).items():
                before[EARLIER.index(kind), a, b] = nats
        alike = [
            [len(a.content & b.content) / math.sqrt(len(a.content) * len(b.content) or 1) for b in known] for a in known
        ]
        self._follows, self._before, self._alike = follows, before, np.array(alike)
        drawn = self._totals(np.array([Chance("orders", k, size).shuffled(range(size)) for k in range(_ORDERS)]))
        self._mean, self._spread = drawn.mean(axis=1), drawn.std(axis=1)
        begins = follows[0, -1, :size]
        self.start = float(begins[0] - begins[1:].mean())

    def shuffles(self) -> list[list[int]]:
        return [Chance("shuffle", k, *self.said).shuffled(range(len(self.said))) for k in range(_SHUFFLES)]

    def obeyed(self, order: Sequence[int] = ()) -> Floats:
        """How well an order (the one that stands) obeys each of KINDS, in standard deviations of random orders; and
        how many sentences there are: of few, the order says little."""
        total = self._totals(np.array([order or range(len(self.said))]))[:, 0]
        z = np.zeros(len(KINDS))
        np.divide(total - self._mean, self._spread, out=z, where=self._spread > 1e-9)
        return np.append(z, len(self.said))

    def _totals(self, orders_NS: npt.NDArray[np.int64]) -> Floats:
        """KINDS x orders."""
        f, size = self._follows, orders_NS.shape[1]
        neighbours = f[:, orders_NS[:, :-1], orders_NS[:, 1:]].sum(axis=2)
        neighbours += f[:, -1, orders_NS[:, 0]] + f[:, orders_NS[:, -1], -1]
        rows, columns = orders_NS[:, :, None], orders_NS[:, None, :]
        earlier = (self._before[:, rows, columns] * np.triu(np.ones((size, size)), 1)).sum(axis=(2, 3))
        distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
        near = (self._alike[rows, columns] * np.where(distance, 1 / np.maximum(distance, 1), 0)).sum(axis=(1, 2))
        return np.concatenate([neighbours, earlier, near[None]])


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
        self.full = {match[1] for match in _FULL.finditer(sentence)}
        self.pronoun = bool(_PRONOUNS & set(words[:4]))
        self.quote = sentence.count("“") - sentence.count("”") or sentence.count('"') % 2 * 2
        self.articles = {match[2].lower()[:6]: _article(match[1].lower()) for match in _ARTICLE.finditer(sentence)}
        past = sum(word in _PAST or word.endswith("ed") for word in words)
        present = sum(word in _PRESENT for word in words)
        self.tense = (past > present) - (past < present)


def _article(word: str) -> str:
    return "a" if word in ("a", "an") else "the" if word == "the" else "that"


def _pair(known: Sequence[_Signs], a: int, b: int) -> Iterator[str]:
    """Signs of b right behind a; the first word of each is its kind."""
    if b == len(known):
        one = known[a]
        yield from (f"{END} l{one.last}", f"{END} f{one.first}", f"{END} s{one.size}", f"{END} q{one.quote}")
        return
    after = known[b]
    if a < 0:
        yield from (f"{START} f{after.first}", f"{START} t{after.two}", f"{START} s{after.size}")
        yield from (f"{START} b{after.begins}", f"{START} p{after.pronoun}", f"{START} n{bool(after.names)}")
        yield from (f"{START} q{after.quote}", f"{START} u{bool(after.full)}")
        return
    before = known[a]
    shared = before.content & after.content
    yield f"first {before.first} {after.first}"
    yield f"quote {before.quote} {after.quote} {before.last} {after.begins}"
    yield f"size {before.size} {after.size}"
    yield f"shared {min(4, len(shared))}"
    yield f"names {min(2, len(before.names & after.names))}"
    yield f"pronoun {bool(before.names)} {after.pronoun} {bool(after.names)} {before.pronoun}"
    yield f"end {before.last} {after.first}"
    yield f"tense {before.tense} {after.tense}"
    for word in sorted(shared)[:4]:
        yield f"word {word}"
    for word in sorted(before.articles.keys() & after.content)[:3]:
        yield f"article {before.articles[word]} {after.articles.get(word, '')}"


def _earlier(first: _Signs, then: _Signs) -> Iterator[str]:
    """Signs of `then` standing anywhere behind `first`."""
    yield f"place f{first.first} {then.pronoun}"
    yield f"place t{then.two}"
    yield f"place s{first.size} {then.size} {first.pronoun} {then.pronoun}"
    for word in sorted(first.content & then.content)[:6]:
        yield f"introduced {first.articles.get(word, '')} {then.articles.get(word, '')}"
    yield from ("full first" for _ in first.full & (then.names - then.full))
    yield from ("full then" for _ in then.full & (first.names - first.full))
