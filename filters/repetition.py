"""Gopher's repetition heuristics, all thirteen ratios."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from filters import Rule, threshold
from filters.kernels import repetition as kernel
from filters.kernels.ratio import ratio
from filters.kernels.text import segments


@dataclasses.dataclass(frozen=True)
class Repetition:
    """How much of a document repeats lines, paragraphs and n-grams of words.

    Why
        Repeated menus, spun text and broken extraction teach a model to loop.

    Limits
        Refrains, litanies, tables and dialogue with speaker names repeat honestly. Short texts reach the n-gram limits
        quickly: the top 2-gram of ten words is easily a fifth of the text. Scripts without white space between words
        have almost no n-grams.

    Source
        Rae et al. 2021 (Gopher, arXiv 2112.11446), Table A1. Counts as datatrove does: of equal lines or paragraphs
        all but the first are repeats; paragraphs are parted by empty lines in the stripped text; the top n-gram counts
        its length with spaces times its count, the first of several equally frequent ones; a longer n-gram is a repeat
        if it was met before, the scan then goes on behind it, and its length is counted without spaces; every length is
        divided by all characters of the text. Three differences: words are split at white space, where datatrove's are
        spaCy tokens, punctuation included; a top n-gram must occur twice, where datatrove rejects very short texts for
        an n-gram that occurs once; and n-grams are equal if their words are, where datatrove compares the longer ones
        joined, so that "ab c" equals "a bc". With datatrove's code given white-space words, 6 of 2,941 texts are
        decided differently, all for a top n-gram that occurs once.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    version: ClassVar[int] = 1

    max_repeated_lines: float = threshold(0.30)
    max_repeated_line_characters: float = threshold(0.20)
    max_repeated_paragraphs: float = threshold(0.30)
    max_repeated_paragraph_characters: float = threshold(0.20)
    max_top_2_gram: float = threshold(0.20)
    max_top_3_gram: float = threshold(0.18)
    max_top_4_gram: float = threshold(0.16)
    max_repeated_5_grams: float = threshold(0.15)
    max_repeated_6_grams: float = threshold(0.14)
    max_repeated_7_grams: float = threshold(0.13)
    max_repeated_8_grams: float = threshold(0.12)
    max_repeated_9_grams: float = threshold(0.11)
    max_repeated_10_grams: float = threshold(0.10)

    def measure(self, docs: pa.Table) -> pa.Table:
        """Thirteen shares; those of n-grams are shares of characters."""
        s = segments(docs["text"])
        counts = kernel.count(s)
        columns = {
            "repeated_lines": ratio(counts[:, kernel.REPEATED_LINES], counts[:, kernel.LINES]),
            "repeated_line_characters": ratio(counts[:, kernel.LINE_CHARACTERS], s.characters),
            "repeated_paragraphs": ratio(counts[:, kernel.REPEATED_PARAGRAPHS], counts[:, kernel.PARAGRAPHS]),
            "repeated_paragraph_characters": ratio(counts[:, kernel.PARAGRAPH_CHARACTERS], s.characters),
        }
        grams = [name for name in SIGNALS if name not in columns]
        return pa.table(
            columns | {name: ratio(counts[:, kernel.GRAMS + i], s.characters) for i, name in enumerate(grams)}
        )

    def rules(self) -> Sequence[Rule]:
        """Gopher's limits; a value that equals its limit passes."""
        return [Rule(name, name, ">", getattr(self, f"max_{name}")) for name in SIGNALS]


# Each signal is also the reason: "rejected: repeated_lines".
SIGNALS = tuple(f.name.removeprefix("max_") for f in dataclasses.fields(Repetition))
