"""Offensive words and mentions of groups of people."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters import Rule, threshold
from filters.kernels import lexicon as kernel
from filters.kernels.ratio import ratio
from filters.kernels.text import segments

_LEXICONS = Path(__file__).parent / "lexicons"


@dataclasses.dataclass(frozen=True)
class Bias:
    """How densely a document uses offensive words, and how often it mentions groups of people.

    Why
        A page of slurs and obscenities teaches a model to abuse. But a list that rejects for a single word silences
        those whom it insults, so the rule looks at density. The mentions are the basis of an audit: which groups lose
        how many documents, at this and at every other filter. A mention alone never rejects.

    Limits
        Words are counted, not meant: quotation, reclaimed use, medicine, law and names ("Dick", "black shoes") count
        too, and bias without a listed word is not seen. Very short texts reach any density. The shipped lists are
        short and uneven, and only English has identity terms. Forms are listed one by one, there is no stemming, and
        scripts without white space between words match only whole runs.

    Source
        Density instead of presence after the criticism of block lists in Dodge et al. 2021 (arXiv 2104.08758). Groups
        follow the axes of common audits (Smith et al. 2022, HolisticBias, arXiv 2205.09209); the lists in
        `filters/lexicons` are our own. A file holds one phrase of up to four words a line, # begins a comment, and in
        files of identity terms [name] begins a group. `offensive` and `identity` name files instead of the shipped ones
        of `languages`. Every occurrence counts, also inside a longer phrase; words are white-space words.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    version: ClassVar[int] = 1

    languages: tuple[str, ...] = ("en",)
    offensive: tuple[str, ...] = ()
    identity: tuple[str, ...] = ()
    max_offensive_per_1000_words: float = threshold(10.0)

    def __post_init__(self) -> None:
        _groups(self._offensive(), self._identity())

    def _offensive(self) -> tuple[str, ...]:
        return self.offensive or tuple(str(_LEXICONS / f"offensive.{lang}.txt") for lang in self.languages)

    def _identity(self) -> tuple[str, ...]:
        shipped = (_LEXICONS / f"identity.{lang}.txt" for lang in self.languages)
        return self.identity or tuple(str(path) for path in shipped if path.is_file())

    def measure(self, docs: pa.Table) -> pa.Table:
        """Offensive words in all and per 1,000 words, and one count of mentions for each group."""
        groups = _groups(self._offensive(), self._identity())
        s = segments(docs["text"])
        counts = kernel.count(s, _table(self._offensive(), self._identity()), len(groups))
        columns = {
            "offensive_words": counts[:, 0],
            "offensive_per_1000_words": 1000 * ratio(counts[:, 0], np.diff(s.words)),
        }
        mentions = {f"mentions_{name}": counts[:, i] for i, name in enumerate(groups) if i}
        return pa.table(columns | mentions)

    def rules(self) -> Sequence[Rule]:
        """Only offensive words reject."""
        return (Rule("offensive", "offensive_per_1000_words", ">", self.max_offensive_per_1000_words),)


@functools.cache
def _groups(offensive: tuple[str, ...], identity: tuple[str, ...]) -> dict[str, list[str]]:
    """Phrases by group, the offensive ones first. Raises ValueError."""
    groups: dict[str, list[str]] = {"": [phrase for path in offensive for phrase in _lines(path)]}
    for path in identity:
        name = None
        for line in _lines(path):
            if line.startswith("[") and line.endswith("]"):
                name = line[1:-1].strip()
                if not name.isidentifier():
                    raise ValueError(f"{path}: a group is named by letters, digits and underscores, not {line}")
                groups.setdefault(name, [])
            elif name is None:
                raise ValueError(f"{path}: {line!r} stands before the first [group]")
            else:
                groups[name].append(line)
    return groups


@functools.cache
def _table(offensive: tuple[str, ...], identity: tuple[str, ...]) -> kernel.Lexicon:
    return kernel.lexicon(list(_groups(offensive, identity).values()))


def _lines(path: str) -> list[str]:
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such word list")
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
