"""What the commands print: tables of at most 100 columns for a person, uncut and uncoloured lines for a pipe.

Text of documents is data: control characters are shown, never sent, and nothing in it is read as markup.
"""

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 100
_UNCUT = 100_000  # columns; a pipe has no edge


def console() -> Console:
    """Standard output."""
    if sys.stdout.isatty():
        found = Console(highlight=False)
        return Console(highlight=False, width=min(found.width, WIDTH))
    return Console(highlight=False, no_color=True, force_terminal=False, width=_UNCUT)


def clean(text: str, lines: bool = False) -> str:
    """Text without anything that a terminal obeys; line breaks stay where `lines`, else they become spaces."""
    if not lines:
        text = " ".join(text.split("\n"))
    return "".join(c if _harmless(c) else f"\\u{ord(c):04x}" for c in text)


def _harmless(character: str) -> bool:
    # Cc: control characters. Cf: direction marks, which can turn a line round. Cs: halves of pairs, not printable.
    return character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")


def excerpt(text: str | None, characters: int) -> str:
    """The beginning of a text on one line."""
    text = " ".join((text or "").split())
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


def say(value: Any, column: str = "") -> str:
    """A value for a person; columns called share… are percentages."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.1%}" if column.startswith("share") else f"{value:,.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(say(item) for item in value)
    return str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> Table:
    """Numbers to the right, text to the left; a column that is too wide is folded, never cut."""
    rows = [list(row) for row in rows]
    shown = Table(
        box=box.SIMPLE_HEAD, title=Text(clean(title)) if title else None, title_justify="left", title_style="bold"
    )
    for index, name in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) and not isinstance(row[index], bool) for row in rows)
        shown.add_column(
            Text(clean(name.replace("_", " "))), justify="right" if numeric else "left", overflow="fold",
            no_wrap=numeric,
        )  # fmt: skip
    for row in rows:
        shown.add_row(*(Text(clean(say(value, name))) for name, value in zip(columns, row, strict=True)))
    return shown


def line(text: str = "", style: str = "") -> Text:
    """A line in which nothing is markup."""
    return Text(clean(text, lines=True), style=style)
