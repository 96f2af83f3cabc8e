"""Language identification."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters import Rule, threshold
from filters.kernels import ngram_sum
from filters.kernels.compiled import F64, I64
from filters.kernels.text import buffers
from filters.models import fasttext_model, hierarchical

_SHIPPED = str(Path(__file__).parent / "models" / "lid.176.ftz")
_CANDIDATES = pa.list_(pa.struct([("lang", pa.string()), ("score", pa.float64())]))


@dataclasses.dataclass(frozen=True)
class Language:
    """Documents in another language, or in one that fastText is not sure of.

    Why
        Most limits of the other filters hold for one language. The score is also a cheap sign of quality: lists,
        code and mixed text score low.

    Limits
        176 languages; short texts, close languages (no/da, hr/sr/bs, ms/id) and dialects are often confused, and texts
        in English from outside the USA and Britain score lower. Only the beginning is read: with 1,000 characters the
        label equals that of the full text in 99.6 % of a mixed sample, at five times the speed. An empty text gets the
        model's guess for an empty line, with a low score.

    Source
        Joulin et al. 2016 (arXiv 1607.01759), model lid.176.ftz. A document is kept exactly where FineWeb keeps it: its
        best label is in `keep` and scores at least 0.65 (FineWeb reads the whole text: set `characters` high for that).
        With an empty `keep` every language passes that scores high enough. `top` languages are recorded.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    version: ClassVar[int] = 1

    model: str = ""  # path of another fastText model; empty: the shipped one
    characters: int = 1000
    top: int = 3
    keep: tuple[str, ...] = threshold(())
    min_score: float = threshold(0.65)

    def __post_init__(self) -> None:
        fasttext_model.check(self.model or _SHIPPED)
        if self.characters < 1 or self.top < 1:
            raise ValueError("characters and top must be at least 1")

    def measure(self, docs: pa.Table) -> pa.Table:
        """The best language, its probability, and the `top` best ones with theirs."""
        path = self.model or _SHIPPED
        model = hierarchical.load(path)
        if model is None:
            return self._measure_slowly(path, docs)
        data, offsets = buffers(docs["text"])
        labels, scores, ends = ngram_sum.best(data, offsets, self.characters, model.ngrams, model.tree, self.top)
        langs = pa.array(model.labels, pa.string()).take(pa.array(labels))
        return _signals(langs, scores, ends)

    def _measure_slowly(self, path: str, docs: pa.Table) -> pa.Table:
        begin: Any = pc.utf8_slice_codeunits(pc.fill_null(docs["text"], ""), 0, self.characters)
        labels, scores = fasttext_model.predict(path, begin.to_pylist(), self.top)
        ends = np.cumsum([0, *map(len, labels)]).astype(np.int64)
        flat = np.concatenate([np.zeros(0), *scores])
        return _signals(pa.array([label for row in labels for label in row], pa.string()), flat, ends)

    def rules(self) -> Sequence[Rule]:
        """The best language must be wanted, and certain."""
        wanted = (Rule("other_language", "lang", "not in", self.keep),) if self.keep else ()
        return (*wanted, Rule("uncertain_language", "score", "<", self.min_score))


def _signals(langs: Any, scores: F64, ends: I64) -> pa.Table:
    """The first of each document's candidates, and all of them; without any, "" with score 0."""
    scores = np.minimum(scores, 1.0)  # fastText's probabilities exceed 1 by rounding
    structs = pa.StructArray.from_arrays([langs, pa.array(scores)], fields=list(_CANDIDATES.value_type))
    candidates = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), structs, type=_CANDIDATES)
    first = pa.array(ends[:-1], mask=ends[:-1] == ends[1:])
    return pa.table(
        {
            "lang": pc.fill_null(langs.take(first), ""),
            "score": pc.fill_null(pa.array(scores).take(first), 0.0),
            "candidates": candidates,
        }
    )
