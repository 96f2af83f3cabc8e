"""C4's line rules, as edits."""

import dataclasses
from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters import EDITS
from filters.kernels import c4_lines as kernel
from filters.kernels.text import segments


@dataclasses.dataclass(frozen=True)
class C4Lines:
    """Cuts lines that are not sentences, and citation marks out of those that are.

    Why
        Menus, buttons, cookie notices and script warnings stand on lines of their own between the sentences of a page.
        Put this before `c4`, whose page rules C4 applies to what is left.

    Limits
        Headings, list items, verse, code and dialogue with other end marks go too: with `terminal_punctuation` most of
        what is not an essay is lost, and FineWeb switches it off. Empty lines go, so paragraphs are no longer parted.
        White space at the ends of kept lines stays, where C4 strips it. Phrases are English, and only A-Z is
        lower-cased. In scripts without white space between words every line is short.

    Source
        Raffel et al. 2020 (T5, arXiv 1910.10683) after the release code, c4_utils.py of tensorflow/datasets: lines are
        judged stripped, in this order: a word over 1,000 characters, then without citation marks ([1], [edit],
        [citation needed]) an end mark (. ? ! " but not ...), five words, "javascript", the policy phrases. Datatrove
        asks for three words, counts them before citations go and takes ' as an end mark. Each line is cut for the first
        rule that it breaks. In C4 some of these lines reject their whole page; see `c4`.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    version: ClassVar[int] = 1

    terminal_punctuation: bool = True
    terminal_marks: str = '.?!"'
    min_words: int = 5
    max_word_characters: int = 1000
    citations: bool = True
    javascript: bool = True
    policy_phrases: tuple[str, ...] = (
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "use of cookies",
        "use cookies",
    )

    def __post_init__(self) -> None:
        if self.terminal_punctuation and not self.terminal_marks:
            raise ValueError("terminal_punctuation needs terminal_marks; to keep every line end, switch it off")
        if "" in self.policy_phrases:
            raise ValueError("policy_phrases holds an empty phrase, which every line contains")

    def edits(self, docs: pa.Table) -> pa.Table:
        """Lines go with their newline; citation marks go alone."""
        phrases = {"javascript": kernel.JAVASCRIPT} if self.javascript else {}
        phrases |= dict.fromkeys(self.policy_phrases, kernel.POLICY)
        marks = self.terminal_marks if self.terminal_punctuation else ""
        limits = kernel.limits(marks, self.citations, self.min_words, self.max_word_characters, phrases)
        found = kernel.spans(segments(docs["text"]), limits)
        rules = pa.DictionaryArray.from_arrays(found.rule.astype(np.int32), list(kernel.RULES)).cast(pa.string())
        nothing = pa.repeat(pa.scalar("", pa.large_string()), len(found.row))
        return pa.table([found.row, rules, found.start, found.end, nothing], schema=EDITS)
