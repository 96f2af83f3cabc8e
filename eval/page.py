"""Pages that answer a question: one file that loads nothing, so that it can be mailed and kept; every value escaped."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.parts import replacing
from corpus.terminal import clean, say

_FOLDER = Path(__file__).parent / "pages"


@dataclass(frozen=True)
class Bar:
    """An interval to be drawn on its table's common scale, with a line at zero."""

    value: float
    low: float
    high: float
    good: int = 0  # 1: better, -1: worse, 0: neither


@dataclass(frozen=True)
class Table:
    """A heading, a sentence about it, columns and rows; a cell may be a Bar."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


@dataclass(frozen=True)
class Card:
    """A failure as a person reads it: facts, then texts by their names."""

    title: str
    facts: str
    texts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Cards:
    """Cards that are alike, folded."""

    title: str
    cards: Sequence[Card]
    note: str = ""


def write(path: Path, title: str, answer: Sequence[str], parts: Sequence[Table | Cards]) -> None:
    """Write a page. `answer`: sentences that answer its question, before all tables."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"say": _said, "lines": lambda text: clean(text, lines=True)}
    environment.tests |= {"bar": lambda value: isinstance(value, Bar), "cards": lambda part: isinstance(part, Cards)}
    environment.globals["scale"] = _scale
    page = environment.get_template("page.html.j2").render(title=title, answer=answer, parts=parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(page.encode("utf-8", "replace").decode(), "utf-8")


def _said(value: Any, column: str = "") -> str:
    if isinstance(value, float) and math.isnan(value):
        return ""
    return clean(say(value, column))


@dataclass(frozen=True)
class Scale:
    """Values as places from 0 to 100."""

    low: float
    high: float

    def at(self, value: float) -> float:
        span = self.high - self.low
        return 100 * min(1.0, max(0.0, (value - self.low) / span)) if span and math.isfinite(value) else 50.0


def _scale(part: Table) -> Scale:
    """One that holds every bar of a table, and zero."""
    ends = [
        end for row in part.rows for cell in row if isinstance(cell, Bar) for end in (cell.low, cell.high, cell.value)
    ]
    ends = [0.0, *(end for end in ends if math.isfinite(end))]
    return Scale(min(ends), max(ends))
