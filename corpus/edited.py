"""Documents of a part with the editors' spans carried out: what filters saw last, what is written and compared."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import filters
from corpus import schema
from corpus.parts import ByRow, row_groups
from corpus.plan import Task


def edited_rows(task: Task) -> Iterator[tuple[int, pa.Table]]:
    """(number of the first row, rows) of an extracted part, a row group at a time, edits carried out."""
    at = 0
    with ByRow(task.file("stages/measure", ".edits.parquet"), "row") as edits:
        for rows in row_groups(task.file("stages/extract")):
            mine = edits.between(at, at + rows.num_rows)
            local = pc.subtract(mine["row"], at).cast(pa.int32())
            yield at, carry_out(rows, mine.set_column(mine.column_names.index("row"), "row", local))
            at += rows.num_rows


def texts(task: Task, rows: np.ndarray) -> pa.ChunkedArray:
    """Texts of some rows of a part, ascending."""
    found = [pa.chunked_array([], pa.large_string()), *(text for text, _ in some_texts(task, rows))]
    return pa.chunked_array([chunk for array in found for chunk in array.chunks], pa.large_string())


def some_texts(task: Task, rows: np.ndarray) -> Iterator[tuple[pa.ChunkedArray, np.ndarray]]:
    """Texts of some rows, ascending, with those rows, a row group at a time; only those that hold them are read."""
    if not rows.size:
        return
    with ByRow(task.file("stages/measure", ".edits.parquet"), "row") as edits:
        for text, mine in picked(task.file("stages/extract"), rows):
            yield _edited(text, edits.between(int(mine[0]), int(mine[-1]) + 1), mine), mine


def picked(path: Path, rows: np.ndarray) -> Iterator[tuple[pa.ChunkedArray, np.ndarray]]:
    """The column `text` of some rows of a file, as `some_texts` gives it."""
    with pq.ParquetFile(path) as file:
        at = 0
        for index in range(file.num_row_groups):
            end = at + file.metadata.row_group(index).num_rows
            mine = rows[slice(*np.searchsorted(rows, [at, end]))]
            if mine.size:
                yield file.read_row_group(index, ["text"], use_threads=False)["text"].take(pa.array(mine - at)), mine
            at = end


def _edited(text: pa.ChunkedArray, edits: pa.Table, rows: np.ndarray) -> pa.ChunkedArray:
    """Texts of `rows` with the edits on them carried out; `edits` may have others'."""
    mine = edits.filter(pc.is_in(edits["row"], value_set=pa.array(rows)))
    place = pa.array(np.searchsorted(rows, mine["row"].to_numpy()), pa.int32())
    return pa.chunked_array([_in_steps(text, mine.set_column(mine.column_names.index("row"), "row", place))])


def carry_out(rows: pa.Table, edits: pa.Table) -> pa.Table:
    """Carry out edits, whose `row` counts from 0 in `rows`, step by step, and move chapters along."""
    rows = rows.set_column(rows.column_names.index("text"), "text", _in_steps(rows["text"], edits))
    chapters = rows["chapters"].to_pylist() if edits.num_rows else []
    if any(chapters):
        for step in _steps(edits):
            _move_chapters(chapters, edits.filter(pc.equal(edits["step"], step)))
        moved = pa.array(chapters, schema.DOCUMENT.field("chapters").type)
        rows = rows.set_column(rows.column_names.index("chapters"), "chapters", moved)
    return rows


def _in_steps(text: pa.ChunkedArray, edits: pa.Table) -> pa.Array:
    """One step's edits after the other's; `row` counts from 0 in `text`."""
    done = text.combine_chunks()
    for step in _steps(edits):
        done = filters.apply_edits(done, edits.filter(pc.equal(edits["step"], step)))
    return done


def _steps(edits: pa.Table) -> list[str]:
    return list(dict.fromkeys(edits["step"].to_pylist()))


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
