"""C4's page rules."""

import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from filters import Rule, threshold

_CLOSERS = r"[\"')\]}”’»]*"
_SPACE = r"[\s\p{Z}]"
_ENDS = r"[.!?…]+" + _CLOSERS
_WIDE_ENDS = r"[。！？｡؟۔।॥]+" + _CLOSERS  # scripts that put no space behind an end mark, or no capital
# An initial ("J. Smith") ends nothing, and a small letter begins nothing.
_SENTENCE_END = (
    rf"(?:[^\s\p{{Z}}]{{2}}|[^\s\p{{Z}}\p{{L}}]){_ENDS}(?:{_SPACE}+[^\s\p{{Z}}\p{{Ll}}]|{_SPACE}*\z)|{_WIDE_ENDS}"
)
_FINISHED = rf"(?:{_ENDS}|{_WIDE_ENDS}){_SPACE}*\z"
_LOREM_IPSUM = "[Ll][Oo][Rr][Ee][Mm] [Ii][Pp][Ss][Uu][Mm]"  # as C4 lower-cases; RE2's own folding has ſ for an s
# The lists of these languages hold words of scripts without spaces, and are searched inside words too.
_WITHOUT_BOUNDARIES = ("ja", "th", "zh")


@dataclasses.dataclass(frozen=True)
class C4:
    """Pages that are filler text, code, too short, too long or that hold a listed word.

    Why
        A page with "lorem ipsum" is a template, a page with a curly bracket mostly code, and a page with one or two
        sentences rarely text. Put `c4_lines` before it: C4 applies these rules to the lines that are left.

    Limits
        Curly brackets also stand in mathematics and in good programming tutorials. A list of bad words rejects the
        pages of those whom they insult, of medicine and of law: Dodge et al. 2021 found 42 % of documents in African
        American English removed against 6 % of the others; no list is given by default, and `bias` measures instead.
        Sentences are found by a simple rule, not by Punkt: an end mark with its closing quotes or brackets, behind more
        than a single letter, before white space and no small letter, or at the end; 。！？ and their like anywhere.
        "Dr. Who" is counted as two. What is left without an end mark is one sentence more.

    Source
        Raffel et al. 2020 (T5, arXiv 1910.10683) after the release code, c4_utils.py of tensorflow/datasets: at most
        190,000 characters, three sentences, no "lorem ipsum", no "{". Datatrove asks for five sentences. Differences:
        the release code looks at the page before its lines are cut for the length, and rejects for a filler text or a
        bracket on a line that a later line rule would cut; bad words are those of the files `bad_words` (one a line, #
        begins a comment), between non-word characters as in C4, except in files named ja, th or zh.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    version: ClassVar[int] = 2

    bad_words: tuple[str, ...] = ()
    min_sentences: int = threshold(3)
    max_characters: int = threshold(190_000)
    max_lorem_ipsum: int = threshold(0)
    max_curly_brackets: int = threshold(0)
    max_bad_words: int = threshold(0)

    def __post_init__(self) -> None:
        for path in self.bad_words:
            if not Path(path).is_file():
                raise ValueError(f"bad_words: there is no file {path}")
            _pattern(path)

    def measure(self, docs: pa.Table) -> pa.Table:
        """How long a page is, and how often each of the things occurs in it."""
        text = pc.fill_null(docs["text"].cast(pa.large_string()), "")
        lower = pc.utf8_lower(text) if self.bad_words else text
        found = [pc.count_substring_regex(lower, _pattern(path)) for path in self.bad_words]
        # RE2 looks for the first letter of a pattern at 3 to 25 GB/s; Arrow's own search for a plain string at 0.6.
        columns = {
            "characters": pc.utf8_length(text),
            "sentences": _sentences(text),
            "lorem_ipsum": pc.count_substring_regex(text, _LOREM_IPSUM),
            "curly_brackets": pc.count_substring_regex(text, r"\{"),
            "bad_words": functools.reduce(pc.add, found, pa.array([0] * len(text), pa.int64())),
        }
        return pa.table({name: column.cast(pa.int64()) for name, column in columns.items()})

    def rules(self) -> Sequence[Rule]:
        """C4's limits; a value that equals its limit passes."""
        return (
            Rule("too_few_sentences", "sentences", "<", self.min_sentences),
            Rule("too_long", "characters", ">", self.max_characters),
            Rule("lorem_ipsum", "lorem_ipsum", ">", self.max_lorem_ipsum),
            Rule("curly_bracket", "curly_brackets", ">", self.max_curly_brackets),
            Rule("bad_words", "bad_words", ">", self.max_bad_words),
        )


def _sentences(text: Any) -> Any:
    stripped = pc.utf8_trim_whitespace(text)
    ends = pc.count_substring_regex(stripped, _SENTENCE_END)
    unfinished = pc.and_(pc.invert(pc.match_substring_regex(stripped, _FINISHED)), pc.not_equal(stripped, ""))
    return pc.add(ends.cast(pa.int64()), unfinished.cast(pa.int64()))


@functools.cache
def _pattern(path: str) -> str:
    lines = (line.strip().lower() for line in Path(path).read_text(encoding="utf-8").splitlines())
    words = sorted({re.escape(line) for line in lines if line and not line.startswith("#")})
    if not words:
        raise ValueError(f"bad_words: the file {path} holds no word")
    either = "(?:" + "|".join(words) + ")"
    if Path(path).stem in _WITHOUT_BOUNDARIES:
        return either
    edge = r"[^\p{L}\p{N}_]"
    return rf"(?:\A|{edge}){either}(?:{edge}|\z)"
