"""Documents of a part with the editors' spans carried out: what filters saw last, what is written and compared."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import filters
from corpus import schema
from corpus.parts import row_groups
from corpus.plan import Task


def edited_rows(task: Task) -> Iterator[tuple[int, pa.Table]]:
    """(number of the first row, rows) of an extracted part, a row group at a time, edits carried out."""
    edits = pq.read_table(task.file("stages/measure", ".edits.parquet"), use_threads=False)
    at = 0
    for rows in row_groups(task.file("stages/extract")):
        inside = pc.and_(pc.greater_equal(edits["row"], at), pc.less(edits["row"], at + rows.num_rows))
        mine = edits.filter(inside)
        local = pc.subtract(mine["row"], at).cast(pa.int32())
        yield at, carry_out(rows, mine.set_column(mine.column_names.index("row"), "row", local))
        at += rows.num_rows


def texts(task: Task, rows: np.ndarray) -> pa.ChunkedArray:
    """Texts of some rows of a part, ascending."""
    found = [pa.chunked_array([], pa.large_string())]
    for at, table in edited_rows(task):
        mine = rows[(rows >= at) & (rows < at + table.num_rows)] - at
        found.append(table["text"].take(pa.array(mine)))
    return pa.chunked_array([chunk for array in found for chunk in array.chunks], pa.large_string())


def carry_out(rows: pa.Table, edits: pa.Table) -> pa.Table:
    """Carry out edits, whose `row` counts from 0 in `rows`, step by step, and move chapters along."""
    text = rows["text"].combine_chunks()
    chapters = rows["chapters"].to_pylist() if edits.num_rows else None
    for step in dict.fromkeys(edits["step"].to_pylist()):
        mine = edits.filter(pc.equal(edits["step"], step))
        text = filters.apply_edits(text, mine)
        _move_chapters(chapters or [], mine)
    rows = rows.set_column(rows.column_names.index("text"), "text", text)
    if chapters and any(chapters):
        moved = pa.array(chapters, schema.DOCUMENT.field("chapters").type)
        rows = rows.set_column(rows.column_names.index("chapters"), "chapters", moved)
    return rows


def _move_chapters(chapters: list[Any], edits: pa.Table) -> None:
    for row, start, end, replacement in zip(
        *(edits[c].to_pylist() for c in ("row", "start", "end", "replacement")), strict=True
    ):
        for chapter in chapters[row] or ():
            for side in ("start", "end"):
                at = chapter.setdefault(f"old_{side}", chapter[side])
                if at >= end:
                    chapter[side] += len(replacement) - (end - start)
                elif at > start:  # the border itself was cut
                    chapter[side] += start - at
    for found in chapters:
        for chapter in found or ():
            chapter.pop("old_start", None)
            chapter.pop("old_end", None)
