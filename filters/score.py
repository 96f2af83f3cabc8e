"""Quality score of a trained classifier."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from filters import Rule, threshold
from filters.models import fasttext_model


@dataclasses.dataclass(frozen=True)
class Score:
    """The probability that a document is of the good kind, by a fastText classifier.

    Why
        A linear classifier on words, trained on a set of good and a set of ordinary documents, is the strongest single
        filter of DCLM. Train one with `python -m filters train score`.

    Limits
        It learns whatever tells the two sets apart: topic, dialect, length and source before quality. Gururangan et al.
        2022 found that such a filter prefers wealthier writers. Look at what it rejects, and audit it by group. The
        probability is not calibrated; choose `min_score` from the table that training prints.

    Source
        Joulin et al. 2016 (arXiv 1607.01759); use as in Li et al. 2024 (DCLM, arXiv 2406.11794), whose threshold of
        0.018112 keeps about the best tenth for its model and data. Newlines are read as spaces, letters as they are.
        An empty text scores what the model gives an empty line.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    version: ClassVar[int] = 1

    model: str  # path of a fastText classifier
    label: str = "good"
    min_score: float = threshold(0.5)

    def __post_init__(self) -> None:
        fasttext_model.check(self.model)

    def measure(self, docs: pa.Table) -> pa.Table:
        """The probability of `label`."""
        known = fasttext_model.labels(self.model)
        if self.label not in known:
            raise ValueError(f"label: {self.model} knows no {self.label!r}; it knows {', '.join(known)}")
        texts: Any = pc.fill_null(docs["text"], "")
        labels, scores = fasttext_model.predict(self.model, texts.to_pylist(), -1)
        rows = (dict(zip(*row, strict=True)) for row in zip(labels, scores, strict=True))
        return pa.table({"score": pa.array([min(float(row.get(self.label, 0.0)), 1.0) for row in rows], pa.float64())})

    def rules(self) -> Sequence[Rule]:
        """Too improbable is rejected."""
        return (Rule("low_score", "score", "<", self.min_score),)
