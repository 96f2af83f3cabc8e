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
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _harmless(c) else f"\\u{ord(c):04x}" for c in text)


def _harmless(character: str) -> bool:
    """Not so: control characters, halves of surrogate pairs, and marks that turn a line round or hide in it."""
    code = ord(character)
    hidden = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069 or 0xE0000 <= code <= 0xE007F
    return character in "\n\t" or not (hidden or unicodedata.category(character) in ("Cc", "Cs"))


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


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Numbers to the right, text to the left; a column that is too wide is folded, never cut."""
    rows = [list(row) for row in rows]
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, name in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) and not isinstance(row[index], bool) for row in rows)
        header = Text(clean(name.replace("_", " ")))
        shown.add_column(header, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        shown.add_row(*(Text(clean(say(value, name))) for name, value in zip(columns, row, strict=True)))
    return shown


def line(text: str = "", style: str = "") -> Text:
    """A line in which nothing is markup."""
    return Text(clean(text, lines=True), style=style)
