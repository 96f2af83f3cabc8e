"""Every bad-data signal of every document, in one table: what was measured, what is usual, how far apart they are.

A signal that could not be measured (no lineage, no reference model, a short text) is null, and never a guess.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from eval import first_seen, learned_order, loss_shape, names_in_place, sentence_cues, shared_text, text_signals
from eval.detrend import combined, length_buckets, robust_z, step_buckets
from eval.documents import Document
from eval.forwards import Losses, Reader

Floats = npt.NDArray[np.float64]
RUNGS = ("text", "lineage", "forward")  # from cheap to costly
VERSION = 2  # raised whenever a signal changes: detectors learn from values
_PART = 2_000  # documents whose token losses are held at once


@dataclass(frozen=True)
class Signal:
    """`unit`: the smallest difference that matters. `bad`: 1 where high is odd, -1 where low is, 0 where either is."""

    name: str
    rung: str
    unit: float
    bad: int
    says: str  # for a person: "language score"


def _shape_signals(prefix: str, whose: str) -> tuple[Signal, ...]:
    told = {
        "bpb": (0.05, 1, "bits per byte"), "low": (0.02, 1, "tokens known by heart"),
        "high": (0.01, 1, "tokens that surprise"), "q10": (0.1, 0, "lowest tenth of losses"),
        "q50": (0.1, 0, "median loss"), "q90": (0.2, 0, "highest tenth of losses"),
        "slope": (0.05, -1, "loss along the text"), "echo": (0.05, 0, "neighbouring losses alike"),
        "hill": (0.2, 1, "hardest passage above the median"), "valley": (0.2, 1, "easiest passage below the median"),
    }  # fmt: skip
    return tuple(
        Signal(f"{prefix}_{name}", "forward", unit, bad, f"{says} under {whose}")
        for name, (unit, bad, says) in told.items()
    )


SIGNALS = (
    Signal("language_score", "text", 0.05, -1, "language score"),
    Signal("language_other", "text", 0.2, 1, "another language than most"),
    Signal("top_2_gram", "text", 0.02, 1, "share of the commonest pair of words"),
    Signal("top_4_gram", "text", 0.02, 1, "share of the commonest four words"),
    Signal("repeated_5_grams", "text", 0.02, 1, "text in repeated runs of 5 words"),
    Signal("repeated_10_grams", "text", 0.02, 1, "text in repeated runs of 10 words"),
    Signal("mean_word_length", "text", 0.2, 0, "letters per word"),
    Signal("alphabetic_words", "text", 0.02, -1, "words with letters"),
    Signal("offensive", "text", 2.0, 1, "offensive words per 1,000"),
    Signal("garbled_words", "text", 0.005, 1, "words with garbled characters"),
    Signal("compressed", "text", 0.02, 0, "size after compression"),
    Signal("non_ascii", "text", 0.01, 0, "characters beyond ASCII"),
    Signal("digits", "text", 0.01, 0, "digits"),
    Signal("capitals", "text", 0.01, 0, "capitals"),
    Signal("exclamations", "text", 0.002, 0, "exclamation marks"),
    Signal("page_marks", "text", 0.002, 0, "marks of menus and prices"),
    Signal("code_marks", "text", 0.01, 0, "marks of code"),
    Signal("shared", "text", 0.02, 1, "runs of 5 words that other documents have"),
    Signal("shared_often", "text", 0.02, 1, "runs of 5 words that many documents have"),
    Signal("shared_short", "text", 0.02, 1, "runs of 3 words that many documents have"),
    Signal("nearest", "text", 0.02, 1, "runs of 5 words shared with one other document"),
    Signal("cohesion", "text", 0.3, -1, "like sentences near each other"),
    Signal("opening", "text", 0.2, 1, "begins as if in the middle"),
    Signal("name_order", "text", 0.2, 1, "short names before full ones"),
    Signal("quote_order", "text", 0.05, 1, "quotation marks out of order"),
    Signal("learned_order", "text", 0.3, -1, "sentences follow as elsewhere"),
    Signal("learned_start", "text", 0.3, -1, "the first sentence is a beginning"),
    Signal("strange_name", "text", 0.3, 1, "a name that belongs elsewhere"),
    Signal("strange_names", "text", 0.3, 1, "names that belong elsewhere"),
    Signal("seen_bpb", "lineage", 0.05, 1, "bits per byte when first seen"),
    Signal("seen_mean", "lineage", 0.1, 0, "loss per token when first seen"),
    Signal("seen_spread", "lineage", 0.05, 0, "spread of losses when first seen"),
    Signal("seen_low", "lineage", 0.02, 1, "known by heart when first seen"),
    Signal("seen_high", "lineage", 0.01, 1, "surprising when first seen"),
    Signal("seen_max", "lineage", 0.5, 0, "largest loss when first seen"),
    Signal("later_drop", "lineage", 0.1, 0, "loss that rereading took away"),
    Signal("el2n", "lineage", 0.01, 0, "EL2N when first seen"),
    Signal("tokens_per_byte", "lineage", 0.01, 1, "tokens per byte"),
    *_shape_signals("raw", "the model"),
    *_shape_signals("reference", "the reference model"),
    Signal("contrast", "forward", 0.03, 1, "reference less model, bits per byte"),
    Signal("contrast_hill", "forward", 0.1, 1, "the same, in the passage where it is largest"),
    Signal("learnt", "forward", 0.03, 0, "bits per byte less than when first seen"),
)
BY_NAME = {signal.name: signal for signal in SIGNALS}


@dataclass(frozen=True)
class Measured:
    """Values of each signal (NaN: not known), z-scores and usual values, a row per document."""

    ids: list[str]
    sources: list[str]
    values: dict[str, Floats]
    z: dict[str, Floats] = field(default_factory=dict)
    usual: dict[str, Floats] = field(default_factory=dict)

    def known(self) -> set[str]:
        """Signals that were measured of at least one document."""
        return {name for name, values in self.values.items() if np.isfinite(values).any()}

    def table(self) -> pa.Table:
        """id, source, and a column for each signal of this version, null where not known."""
        columns: dict[str, pa.Array] = {
            "id": pa.array(self.ids, pa.string()),
            "source": pa.array(self.sources, pa.string()),
        }
        for signal in SIGNALS:
            values = self.values.get(signal.name, np.full(len(self.ids), np.nan))
            columns[signal.name] = pa.array(values, pa.float64(), from_pandas=True)
        return pa.table(columns).replace_schema_metadata({"winnow.signals": str(VERSION)})


def measure(
    documents: Sequence[Document],
    model: Reader | None = None,
    lineage: Path | None = None,
    reference: Reader | None = None,
    tell: Callable[[str], None] = lambda _: None,
    forwards: bool = True,
) -> Measured:
    """Measure what can be measured with what is given. `lineage`: the folder that the trainer of `model` wrote.

    Without `forwards` no model reads anything: only its tokenizer and its lineage are used.
    """
    texts = [document.text for document in documents]
    values: dict[str, Floats] = {}
    for name, of in (
        ("text", text_signals),
        ("shared text", shared_text),
        ("sentences", sentence_cues),
        ("their order", learned_order),
        ("names", names_in_place),
    ):
        tell(f"{name} of {len(texts):,} documents")
        values |= of.measure(texts)
    steps = np.full(len(texts), np.nan)
    if model is not None:
        values |= _of_model(texts, [d.id for d in documents], model, lineage)
        if forwards:
            values |= _of_forwards(texts, model, reference, tell, values.get("seen_bpb"))
        steps = values.pop("seen_step", steps)
    return detrended(documents, values, steps)


def _of_model(texts: Sequence[str], ids: Sequence[str], model: Reader, lineage: Path | None) -> dict[str, Floats]:
    num_bytes = np.array([len(text.encode("utf-8", "replace")) for text in texts], np.int64)
    tokens = np.array([len(found) + 1 for found in model.tokenizer.encode_batch(list(texts))], np.int64)
    values = {"tokens_per_byte": np.where(num_bytes > 0, tokens / np.maximum(num_bytes, 1), np.nan)}
    if lineage is not None:
        values |= first_seen.measure(lineage, ids, tokens.tolist(), num_bytes.tolist())
    return values


def _of_forwards(
    texts: Sequence[str], model: Reader, reference: Reader | None, tell: Callable[[str], None], seen: Floats | None
) -> dict[str, Floats]:
    tell(f"losses under {model.name}" + (f" and {reference.name}" if reference else ""))
    values = forward_signals(texts, model, reference)
    if seen is not None:
        values["learnt"] = seen - values["raw_bpb"]
    return values


def forward_signals(texts: Sequence[str], model: Reader, reference: Reader | None) -> dict[str, Floats]:
    """Shapes of the losses under both models, and their contrast."""
    rows: list[dict[str, float]] = []
    for first in range(0, len(texts), _PART):
        part = texts[first : first + _PART]
        raw = model.read(part)
        other: Sequence[Losses | None] = reference.read(part) if reference else [None] * len(part)
        rows += [_row(a, b) for a, b in zip(raw, other, strict=True)]
    names = [s.name for s in SIGNALS if s.rung == "forward" and s.name != "learnt"]
    return {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names}


def _row(raw: Losses, reference: Losses | None) -> dict[str, float]:
    row = {f"raw_{name}": value for name, value in loss_shape.shape(raw).items()}
    if reference is not None:
        row |= {f"reference_{name}": value for name, value in loss_shape.shape(reference).items()}
        row |= loss_shape.contrast(raw, reference)
    return row


def detrended(documents: Sequence[Document], values: dict[str, Floats], steps: Floats) -> Measured:
    """Beside documents of the same source and about the same length; what lineage says, also of the same time."""
    ids, sources = [d.id for d in documents], [d.source for d in documents]
    found = Measured(ids, sources, values)
    if not ids:
        return found
    source = np.unique(sources, return_inverse=True)[1].astype(np.int64)
    length = combined(source, length_buckets([len(d.text) for d in documents]))
    step = step_buckets(steps)
    groups = {"text": [length, source], "lineage": [combined(length, step), combined(source, step), step]}
    for name, column in values.items():
        signal = BY_NAME[name]
        like = groups["lineage" if signal.name.startswith(("seen_", "el2n", "later_")) else "text"]
        found.z[name], found.usual[name] = robust_z(column, signal.unit, like)
    return found
