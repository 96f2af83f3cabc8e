"""Chosen blocks to text: paragraphs, lists, tables, quotations and code keep their shape.

Plain text has one line per list item and table row, and code as it was written; Markdown has its marks besides.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

import numpy as np
import numpy.typing as npt

from corpus.extraction.learned.arrays import CODE, EMPHASIS, STRONG, Walked
from corpus.extraction.learned.outline import Place, places

BREAKS = re.compile(r"[*\n]+")  # a heading is one line, and bold already
_MARKS = bytes((CODE, STRONG, EMPHASIS))
_MARKDOWN = ((CODE, "`"), (STRONG, "**"), (EMPHASIS, "*"))
_MAX_CELL_BLOCKS = 2  # a table with more in one cell is for layout
Piece = tuple[Place, str]


def texts(walked: Walked, chosen: npt.NDArray[np.bool_], markdown: bool) -> list[str]:
    """The text of each chosen block."""
    data = walked.text.tobytes()
    starts, ends = walked.blocks.start[chosen].tolist(), walked.blocks.end[chosen].tolist()
    pre = walked.blocks.pre[chosen].tolist()
    if not markdown:
        return [data[a:b].translate(None, _MARKS).decode("utf-8", "replace") for a, b in zip(starts, ends, strict=True)]
    return [_marked(data[a:b], bool(code)) for a, b, code in zip(starts, ends, pre, strict=True)]


def _marked(data: bytes, code: bool) -> str:
    for mark, sign in _MARKDOWN:
        byte = bytes((mark,))
        count = data.count(byte)
        if not count:
            continue
        if code or count % 2 or byte * 2 in data:
            data = data.replace(byte, b"")
        data = data.replace(byte, sign.encode())
    return data.decode("utf-8", "replace")


def render(walked: Walked, chosen: npt.NDArray[np.bool_], pieces: list[str], markdown: bool = False) -> str:
    """The page's text. `pieces` are its chosen blocks' own, as `texts` gives them; empty ones are left out."""
    found = [(place, text) for place, text in zip(places(walked, chosen), pieces, strict=True) if text.strip()]
    data_tables = _data_tables(found)
    out: list[str] = []
    previous: tuple[str, int] = ("", 0)
    for (kind, key), group in groupby(found, lambda piece: _kind(piece[0], data_tables)):
        lines = "\n".join(_lines(kind, list(group), markdown))
        close = kind == previous[0] == "list" or (kind, key) == previous
        out += ("\n" if close else "\n\n", lines)
        previous = (kind, key)
    return "".join(out[1:])


def _data_tables(found: list[Piece]) -> set[int]:
    """Tables of rows and columns, not of layout."""
    blocks = Counter(place.cell for place, _ in found if place.cell)
    cells: Counter[int] = Counter()
    layout = set()
    widest: dict[int, int] = {}
    for cell_row in dict.fromkeys((p.table, p.row, p.cell) for p, _ in found if p.cell and p.row and p.table):
        table, row, cell = cell_row
        cells[row] += 1
        widest[table] = max(widest.get(table, 0), cells[row])
        if blocks[cell] > _MAX_CELL_BLOCKS:
            layout.add(table)
    return {table for table, width in widest.items() if width > 1} - layout


def _kind(place: Place, data_tables: set[int]) -> tuple[str, int]:
    if place.pre:
        return "code", place.pre
    if place.table in data_tables and place.row:
        return "table", place.table
    if place.heading:
        return "heading", id(place)
    if place.item:
        return "list", place.quotes
    return "paragraph", id(place)


def _lines(kind: str, group: list[Piece], markdown: bool) -> Iterator[str]:
    if kind == "code":
        code = "\n".join(text for _, text in group)
        yield f"```\n{code}\n```" if markdown else code
    elif kind == "table":
        yield from _table(group, markdown)
    elif kind == "list":
        yield from _items(group, markdown)
    else:
        for place, text in group:
            yield _quoted(_heading(place, text) if markdown else text, place.quotes if markdown else 0)


def _heading(place: Place, text: str) -> str:
    return f"{'#' * place.heading} {BREAKS.sub(' ', text).strip()}" if place.heading else text


def _quoted(text: str, quotes: int) -> str:
    return "\n".join(f"{'> ' * quotes}{line}" for line in text.split("\n")) if quotes else text


def _items(group: list[Piece], markdown: bool) -> Iterator[str]:
    seen = set()
    for place, text in group:
        indent = "  " * max(0, place.depth - 1)
        fresh = f"{place.number}. " if place.number else "- "
        mark = "  " if place.item in seen else fresh  # a further paragraph of the same item
        seen.add(place.item)
        text = text.replace("\n", f"\n{indent}  ") if markdown else text
        yield _quoted(f"{indent}{mark}{text}", place.quotes if markdown else 0)


def _table(group: list[Piece], markdown: bool) -> Iterator[str]:
    width = 0
    for number, (_, row) in enumerate(groupby(group, lambda piece: piece[0].row)):
        cells = [" ".join(text for _, text in cell).replace("\n", " ") for _, cell in groupby(row, lambda p: p[0].cell)]
        if not markdown:
            yield " | ".join(cells)
            continue
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        width = max(width, len(cells))
        if number == 0:
            yield "|" + " --- |" * width
