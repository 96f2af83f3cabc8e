"""FineWeb's own heuristics."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters import Rule, threshold
from filters.kernels import fineweb as kernel
from filters.kernels.ratio import ratio
from filters.kernels.text import segments


@dataclasses.dataclass(frozen=True)
class Fineweb:
    """Lists, menus and repeated lines, told by line ends and line lengths.

    Why
        After Gopher's and C4's rules much of what is left of the web is lists, product pages and navigation. FineWeb's
        authors compared statistics of a good and a bad crawl and kept the limits that improved trained models.

    Limits
        Poetry, dialogue, code, tables and song texts have short lines and few full stops. One repeated line is enough
        for `repeated_lines` in a text of less than a hundred lines. One long line with an end mark passes.

    Source
        Penedo et al. 2024 (FineWeb, arXiv 2406.17557) with the limits of the released code, where the limit on repeated
        characters is 0.01 (appendix E agrees, the paper's main text says 0.1). Counts as datatrove does: lines that
        are only white space are left out, lines are not stripped before their last character and their length are
        looked at, repeated characters are divided by all characters but newlines. One difference: newlines are divided
        by white-space words, where datatrove's are spaCy tokens, punctuation included, so `list_like` fires
        somewhat sooner; given white-space words, datatrove's code decides all of 2,941 texts equally. The default marks
        are Unicode's sentence terminals of the larger scripts, without quotes.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    version: ClassVar[int] = 1

    terminal_marks: str = ".!?‼⁇⁈⁉。！？｡．﹒﹖﹗؟۔।॥։።፧፨၊။។៕᠃᠉"
    short_line_characters: int = 30
    min_lines: int = threshold(1)
    min_terminal_lines: float = threshold(0.12)
    max_short_lines: float = threshold(0.67)
    max_repeated_line_characters: float = threshold(0.01)
    max_newlines_per_word: float = threshold(0.3)

    def measure(self, docs: pa.Table) -> pa.Table:
        """Lines that hold more than white space, and four ratios."""
        s = segments(docs["text"])
        counts = kernel.count(s, self.terminal_marks, self.short_line_characters)
        lines, newlines = counts[:, kernel.LINES], counts[:, kernel.NEWLINES]
        return pa.table(
            {
                "lines": lines,
                "terminal_lines": ratio(counts[:, kernel.TERMINAL], lines),
                "short_lines": ratio(counts[:, kernel.SHORT], lines),
                "repeated_line_characters": ratio(counts[:, kernel.REPEATED_CHARACTERS], s.characters - newlines),
                "newlines_per_word": ratio(newlines, np.diff(s.words)),
            }
        )

    def rules(self) -> Sequence[Rule]:
        """FineWeb's limits; a value that equals its limit passes."""
        return (
            Rule("empty", "lines", "<", self.min_lines),
            Rule("unpunctuated_lines", "terminal_lines", "<", self.min_terminal_lines),
            Rule("short_lines", "short_lines", ">", self.max_short_lines),
            Rule("repeated_lines", "repeated_line_characters", ">", self.max_repeated_line_characters),
            Rule("list_like", "newlines_per_word", ">", self.max_newlines_per_word),
        )
