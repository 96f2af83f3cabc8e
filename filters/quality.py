"""Gopher's quality heuristics."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from filters import Rule, threshold
from filters.kernels import quality as kernel
from filters.kernels.ratio import ratio
from filters.kernels.text import segment, segments


@dataclasses.dataclass(frozen=True)
class Quality:
    """Length, shape of words and lines, symbols and stop words of a document.

    Why
        Text that is too short, made of symbols, lists or teasers, or lacks the commonest words of its language
        is rarely prose. These rules come first in almost every published web corpus.

    Limits
        Words are split at white space, so Chinese, Japanese and Thai count as very few, very long words: do not use
        the length rules for them. The default stop words are English; other languages need a list of their own.
        Code, tables and poetry fail rules meant for prose. Lines are split at \\n only.

    Source
        Rae et al. 2021 (Gopher, arXiv 2112.11446), Table A1 and section A1.1. Follows datatrove's variant: mean (not
        median) length, `#` and ellipses counted in the text, stop words distinct and case-sensitive, empty lines
        counted. Two differences: datatrove's words are spaCy tokens, punctuation included, where these are white-space
        words; and its "non-symbol" words are here the words with a letter or a digit. Only those count towards
        `words` and `mean_word_length`; the ratios divide by all white-space words. With datatrove's code given
        white-space words, all of 2,941 texts are decided equally.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    version: ClassVar[int] = 1

    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    min_words: int = threshold(50)
    max_words: int = threshold(100_000)
    min_mean_word_length: float = threshold(3.0)
    max_mean_word_length: float = threshold(10.0)
    max_hashes_per_word: float = threshold(0.1)
    max_ellipses_per_word: float = threshold(0.1)
    max_bullet_lines: float = threshold(0.9)
    max_ellipsis_lines: float = threshold(0.3)
    min_alphabetic_words: float = threshold(0.8)
    min_stop_words: int = threshold(2)

    def __post_init__(self) -> None:
        odd = [w for w in self.stop_words if len(w.split()) != 1]
        if odd or len(set(self.stop_words)) > 64:
            raise ValueError(f"stop_words takes at most 64 single words, not {odd or len(self.stop_words)}")

    def measure(self, docs: pa.Table) -> pa.Table:
        """Lengths in code points, the rest as counts or as shares between 0 and 1."""
        stop_hashes = segment(pa.array(sorted(set(self.stop_words)), pa.large_string())).word_hash
        counts = kernel.count(segments(docs["text"]), stop_hashes)
        words, tokens, lines = counts[:, kernel.WORDS], counts[:, kernel.TOKENS], counts[:, kernel.LINES]
        return pa.table(
            {
                "words": words,
                "mean_word_length": ratio(counts[:, kernel.LENGTH], words),
                "hashes_per_word": ratio(counts[:, kernel.HASHES], tokens),
                "ellipses_per_word": ratio(counts[:, kernel.ELLIPSES], tokens),
                "bullet_lines": ratio(counts[:, kernel.BULLETS], lines),
                "ellipsis_lines": ratio(counts[:, kernel.UNFINISHED], lines),
                "alphabetic_words": ratio(counts[:, kernel.ALPHABETIC], tokens),
                "stop_words": counts[:, kernel.STOPS],
            }
        )

    def rules(self) -> Sequence[Rule]:
        """Gopher's limits; a value that equals its limit passes."""
        return (
            Rule("too_short", "words", "<", self.min_words),
            Rule("too_long", "words", ">", self.max_words),
            Rule("short_words", "mean_word_length", "<", self.min_mean_word_length),
            Rule("long_words", "mean_word_length", ">", self.max_mean_word_length),
            Rule("many_hashes", "hashes_per_word", ">", self.max_hashes_per_word),
            Rule("many_ellipses", "ellipses_per_word", ">", self.max_ellipses_per_word),
            Rule("bullet_list", "bullet_lines", ">", self.max_bullet_lines),
            Rule("unfinished_lines", "ellipsis_lines", ">", self.max_ellipsis_lines),
            Rule("few_alphabetic_words", "alphabetic_words", "<", self.min_alphabetic_words),
            Rule("few_stop_words", "stop_words", "<", self.min_stop_words),
        )
