"""From a text to the documents behind it: BM25, spans shared word for word, vectors; fused by rank.

Ranks, not scores, are fused: the three scales have nothing in common (Cormack et al. 2009). Each answer carries its
evidence: the shared span, and every stage's rank and score.
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import bm25s
import numpy as np
import numpy.typing as npt
import xxhash

from eval.documents import Document
from eval.intervals import NOTHING, Interval, mean
from eval.text_checks import words

GRAM = 5  # words of the shortest span that is looked for; OLMoTrace (2025) also keeps only long ones
_FUSION = 60  # the constant of reciprocal-rank fusion in the paper; flattens the first ranks
_MANY = 1_000  # places of one 5-gram: a more frequent one is a formula and leads nowhere


@dataclass(frozen=True)
class Span:
    """Words that a query and a document share."""

    words: int
    text: str


@dataclass(frozen=True)
class Found:
    """One document for one query. `scores` and `ranks` have an entry for each stage that found it."""

    id: str
    score: float
    scores: Mapping[str, float] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)  # from 1
    span: Span = Span(0, "")


Ranking = list[tuple[int, float]]  # (number of the document, score), the best first


def word_terms(text: str) -> list[str]:
    """Lower-case words; an ideograph is one."""
    return [word for word in words(text.lower()) if word[0].isalnum()]


def part_terms(text: str) -> list[str]:
    """Words, every four letters in a row of a longer one, and every two ideographs: another ending changes few of them.

    Four letters: McNamee and Mayfield 2004, the best single length over eight European languages.
    """
    found = word_terms(text)
    parts = [word[at : at + _PART] for word in found if len(word) > _PART for at in range(len(word) - _PART + 1)]
    return [*found, *parts, *_IDEOGRAPHS.findall(text)]


_PART = 4
_IDEOGRAPHS = re.compile(r"(?=([\u3040-\u9fff]{2}))")


class Bm25:
    """Okapi BM25 (Lucene's form) over the terms of texts."""

    def __init__(self, texts: Sequence[str], terms: Callable[[str], list[str]] = part_terms) -> None:
        self._terms = terms
        self._numbers: dict[str, int] = {}
        tokens = [[self._number(term) for term in terms(text)] for text in texts]
        self._size = len(texts)
        self._index = bm25s.BM25(method="lucene")
        if self._numbers:
            self._index.index((tokens, self._numbers), show_progress=False)

    def _number(self, term: str) -> int:
        return self._numbers.setdefault(term, len(self._numbers))

    def search(self, query: str, k: int) -> Ranking:
        """The k best documents that share a term with the query."""
        asked = [self._numbers[term] for term in self._terms(query) if term in self._numbers]
        if not asked:
            return []
        scores = np.asarray(self._index.get_scores_from_ids(asked), np.float64)
        return _top(scores, k)


class Spans:
    """Longest spans shared with a query: exact for spans of GRAM words and more, over hashes of GRAM words.

    12 bytes per word of the corpus. A GRAM that occurs at more than 1,000 places starts no span.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        hashed = [_hashes(text) for text in texts]
        sizes = np.array([len(found) for found in hashed], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(sizes)])  # of each document's grams
        flat = np.concatenate([np.zeros(0, np.uint64), *hashed])
        self._order = np.argsort(flat, kind="stable").astype(np.uint32 if flat.size < 2**32 else np.int64)
        self._sorted = flat[self._order]

    def search(self, query: str, k: int) -> list[tuple[int, int, int]]:
        """(document, words, first word in the query) of the longest span per document, the longest first."""
        asked = _hashes(query)
        low = np.searchsorted(self._sorted, asked, "left")
        high = np.searchsorted(self._sorted, asked, "right")
        high = np.where(high - low > _MANY, low, high)
        at = np.repeat(np.arange(asked.size), high - low)
        if not at.size:
            return []
        places = self._order[np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)])].astype(np.int64)
        documents = np.searchsorted(self._starts, places, "right") - 1
        # Along a diagonal (place - at) of one document, consecutive grams are one longer span.
        diagonal = places - at
        order = np.lexsort((at, diagonal, documents))
        documents, diagonal, at = documents[order], diagonal[order], at[order]
        new = np.ones(at.size, bool)
        new[1:] = (np.diff(documents) != 0) | (np.diff(diagonal) != 0) | (np.diff(at) != 1)
        first = np.flatnonzero(new)
        length = np.diff(np.append(first, at.size)) + GRAM - 1
        best: dict[int, tuple[int, int]] = {}
        for document, size, start in zip(documents[first].tolist(), length.tolist(), at[first].tolist(), strict=True):
            if size > best.get(document, (0, 0))[0]:
                best[document] = (size, start)
        ranked = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[:k]
        return [(document, size, start) for document, (size, start) in ranked]


class Vectors:
    """Cosine similarity of vectors that a model gave the documents."""

    def __init__(self, vectors_ND: npt.NDArray[np.float32]) -> None:
        self._unit_ND = _unit(np.asarray(vectors_ND, np.float32))

    def search(self, vector_D: npt.NDArray[np.float32], k: int) -> Ranking:
        return _top((self._unit_ND @ _unit(np.asarray(vector_D, np.float32)[None])[0]).astype(np.float64), k, low=-1)


def fuse(rankings: Mapping[str, Sequence[int]], weights: Mapping[str, float] | None = None) -> list[tuple[int, float]]:
    """Documents by the sum of weight / (60 + rank) over the rankings that have them; equal sums by number."""
    scores: dict[int, float] = {}
    for stage, ranking in rankings.items():
        for rank, document in enumerate(ranking, 1):
            scores[document] = scores.get(document, 0) + (weights or {}).get(stage, 1.0) / (_FUSION + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


class Retrieval:
    """BM25 and spans over one set of documents."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.ids = [document.id for document in documents]
        texts = [document.text for document in documents]
        self._bm25 = Bm25(texts)
        self._spans = Spans(texts)

    def search(self, query: str, k: int = 100, deep: int = 1000) -> list[Found]:
        """The k best documents. Each stage proposes `deep`."""
        asked = words(query)
        shared = self._spans.search(query, deep)
        spans = {d: Span(size, " ".join(asked[start : start + size])) for d, size, start in shared}
        found = {"bm25": self._bm25.search(query, deep), "spans": [(d, float(size)) for d, size, _ in shared]}
        fused = fuse({stage: [document for document, _ in ranking] for stage, ranking in found.items()})[:k]
        places = {s: {d: (rank, score) for rank, (d, score) in enumerate(r, 1)} for s, r in found.items()}
        return [self._found(document, score, places, spans) for document, score in fused]

    def _found(
        self,
        document: int,
        score: float,
        places: Mapping[str, Mapping[int, tuple[int, float]]],
        spans: Mapping[int, Span],
    ) -> Found:
        ranks = {stage: at[document][0] for stage, at in places.items() if document in at}
        scores = {stage: at[document][1] for stage, at in places.items() if document in at}
        return Found(self.ids[document], score, scores, ranks, spans.get(document, Span(0, "")))


def recall(found: Sequence[Sequence[str]], gold: Sequence[set[str]], k: int = 10, seed: int = 0) -> Interval:
    """recall@k: the share of a query's true documents among its first k, at most 1 for k of them; over queries.

    A query without true documents is left out.
    """
    shares = [len(set(ids[:k]) & true) / min(k, len(true)) for ids, true in zip(found, gold, strict=True) if true]
    return mean(shares, seed=seed) if shares else NOTHING


def reciprocal_rank(found: Sequence[Sequence[str]], gold: Sequence[set[str]], seed: int = 0) -> Interval:
    """MRR: 1 / the rank of the first true document, 0 where there is none; over queries."""
    ranks = [
        next((1 / rank for rank, name in enumerate(ids, 1) if name in true), 0.0)
        for ids, true in zip(found, gold, strict=True)
        if true
    ]
    return mean(ranks, seed=seed) if ranks else NOTHING


def _hashes(text: str) -> npt.NDArray[np.uint64]:
    """uint64[words - GRAM + 1] of the text's spans of GRAM words."""
    said = [word.encode("utf-8", "surrogatepass") for word in words(text)]
    spans = (b"\0".join(said[at : at + GRAM]) for at in range(len(said) - GRAM + 1))
    return np.fromiter(itertools.starmap(xxhash.xxh3_64_intdigest, ((span,) for span in spans)), np.uint64)


def _top(scores: npt.NDArray[np.float64], k: int, low: float = 0.0) -> Ranking:
    """The k highest scores above `low`; equal ones by number, so that the answer does not depend on the sort."""
    order = np.lexsort((np.arange(scores.size), -scores))[:k]
    return [(int(at), float(scores[at])) for at in order if scores[at] > low]


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    size = np.linalg.norm(vectors, axis=-1, keepdims=True)
    out: npt.NDArray[np.float32] = np.divide(vectors, size, out=np.zeros_like(vectors), where=size > 0)
    return out
