"""Names that do not belong where they stand, learnt from the documents themselves (replaced-token detection, ELECTRA).

Every name of half of the documents is seen where it stands, and another document's name is seen in its place; trees
tell the two apart, and read the other half. So a swapped fact shows by the company its name keeps elsewhere.
Limits: a name that stands in no other document is taken for right; numbers are not looked at.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.chance import Chance, digest
from eval.mentions import mentions

Floats = npt.NDArray[np.float64]
_MAX_NAMES = 60  # of a document
_OTHERS = 24  # documents with the same name that are looked at
_TOPICS = 100
_LEAST = 200  # names of either half: fewer teach nothing
_SMOOTHING = 3.0
_TREES = {"max_iter": 80, "learning_rate": 0.1, "max_leaf_nodes": 12, "min_samples_leaf": 20}


@dataclass(frozen=True)
class _Name:
    """One name where it stands, or where another one (`instead`) does."""

    document: int
    text: str
    before: str
    after: str
    instead: str = ""  # the name that truly stands there

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(word for word in self.text.split() if word[:1].isupper())


def measure(texts: Sequence[str]) -> dict[str, Floats]:
    """Log-odds that a name was put there: of each text's strangest one, and the mean of its three strangest.

    NaN where a text has no name, or all texts together too few.
    """
    found = [_names(number, text) for number, text in enumerate(texts)]
    half = [int(digest("half", text)[:8], 16) % 2 for text in texts]
    out = np.full((2, len(texts)), np.nan)
    corpus = _Corpus(texts, found)
    for which in (0, 1):
        mine = [n for names, h in zip(found, half, strict=True) if h == which for n in names]
        others = [n for names, h in zip(found, half, strict=True) if h != which for n in names]
        if not mine or len(others) < _LEAST:
            continue
        odds = _trained(corpus, others).decision_function(corpus.features(mine))
        for number, values in _by_document(mine, odds):
            top = np.sort(values)[-3:]
            out[:, number] = top[-1], top.mean()
    return {"strange_name": out[0], "strange_names": out[1]}


def _names(number: int, text: str) -> list[_Name]:
    found: list[_Name] = []
    for mention in mentions(text):
        if mention.kind == "entity" and len(found) < _MAX_NAMES:
            before = text[max(0, mention.start - 20) : mention.start].split()
            after = text[mention.end : mention.end + 20].split(" ")
            found.append(_Name(number, mention.text, _sign(before[-1:]), _sign(after[:1] if after[0] else after[1:2])))
    return found


def _sign(words: Sequence[str]) -> str:
    """A neighbour of a name: a short word as it is, another by its ending."""
    word = words[0].lower() if words else ""
    return word if len(word) <= 5 else f"-{word[-3:]}"


def _trained(corpus: "_Corpus", names: Sequence[_Name]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    by_size: dict[int, list[str]] = defaultdict(list)
    for name in names:
        by_size[name.text.count(" ")].append(name.text)
    moved = []
    for at, name in enumerate(names):
        other = Chance("moved", name.document, at, name.text).pick(by_size[name.text.count(" ")])
        if other not in corpus.texts[name.document]:
            moved.append(_Name(name.document, other, name.before, name.after, name.text))
    x = np.concatenate([corpus.features(names), corpus.features(moved)])
    label = np.arange(len(x)) >= len(names)
    return HistGradientBoostingClassifier(early_stopping=False, random_state=0, **_TREES).fit(x, label)


def _by_document(names: Sequence[_Name], odds: Floats) -> Iterator[tuple[int, Floats]]:
    rows: dict[int, list[float]] = defaultdict(list)
    for name, value in zip(names, odds.tolist(), strict=True):
        rows[name.document].append(value)
    for number, values in rows.items():
        yield number, np.array(values)


class _Corpus:
    """What company each name keeps."""

    def __init__(self, texts: Sequence[str], found: Sequence[Sequence[_Name]]) -> None:
        self.texts = texts
        self.topics = _topics(texts)
        self.words = [frozenset(w for n in names for w in n.words) for names in found]
        self.where: dict[str, list[int]] = defaultdict(list)
        for number, names in enumerate(found):
            for text in sorted({name.text for name in names}):
                self.where[text].append(number)
        self.spread = Counter(word for words in self.words for word in words)
        self.beside: dict[str, Counter[str]] = defaultdict(Counter)
        for names in found:
            for name in names:
                for key in (name.text, f"-{name.text[-3:]}", ""):
                    self.beside[f"b{key}"][name.before] += 1
                    self.beside[f"a{key}"][name.after] += 1
        self.sums = {key: sum(counts.values()) for key, counts in self.beside.items()}

    def features(self, names: Sequence[_Name]) -> Floats:
        return np.array([self._row(name) for name in names])

    def _row(self, name: _Name) -> list[float]:
        mine, text = name.document, name.text
        others = [number for number in self.where.get(text, ()) if number != mine]
        total = len(others)
        if total > _OTHERS:
            others = others[:: total // _OTHERS + 1]
        near = np.sort(self.topics[others] @ self.topics[mine]) if others else np.full(1, np.nan)
        ignored = name.words | set(name.instead.split())
        known = [
            sum(1 / self.spread[word] for word in self.words[o] & self.words[mine] if word not in ignored)
            for o in others
        ]
        own = int(not name.instead)  # a name that stands here is counted among what stands beside its like
        again = self.texts[mine].count(text) - own
        part = max((self.texts[mine].count(word) for word in name.words), default=0) - own
        return [
            np.log1p(total), near[-1], near.mean(), max(known, default=np.nan), float(np.mean(known or [np.nan])),
            float(again), float(part), float(len(text)), float(text.isupper()), float(len(self.words[mine])),
            *(self._fits(side, key, sign, own) for side, sign in (("b", name.before), ("a", name.after))
              for key in (text, f"-{text[-3:]}")),
        ]  # fmt: skip

    def _fits(self, side: str, key: str, sign: str, own: int) -> float:
        """Nats by which a neighbour is likelier beside this name than beside any."""
        usual = (self.beside[side][sign] - own + 1) / (self.sums[side] + 1)
        counts = self.beside.get(side + key)
        seen, total = (counts[sign] - own, self.sums[side + key] - own) if counts else (0, 0)
        return float(np.log((seen + _SMOOTHING * usual) / (total + _SMOOTHING) / usual)) if total else float("nan")


def _topics(texts: Sequence[str]) -> Floats:
    """Unit vectors of what each text is about, by its words in small letters: names must not vouch for themselves."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    counted = TfidfVectorizer(
        lowercase=False, token_pattern=r"\b[^\W\dA-Z_][^\W\d_]{2,}\b", min_df=2, max_df=0.2, sublinear_tf=True
    )
    try:
        x = counted.fit_transform(texts)
    except ValueError:  # no word is left
        return np.zeros((len(texts), 1))
    size = min(_TOPICS, min(x.shape) - 1)
    if size < 2:
        return np.zeros((len(texts), 1))
    found = TruncatedSVD(size, random_state=0).fit_transform(x)
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9))
