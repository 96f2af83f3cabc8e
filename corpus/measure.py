"""Second stage: every filter measures every document, editors propose their spans, dedup keys are computed.

Nothing is decided here. Signals are kept for every row read, so that any threshold can be replayed later.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import filters
from corpus import schema
from corpus.dedup.keys import keys
from corpus.extract import EXTRACTED
from corpus.parts import mark_done, marked, row_groups, writing, writing_arrow
from corpus.plan import Task
from corpus.recipe import Recipe, digest
from filters.kernels import spans
from filters.kernels.text import segments

Column = Any  # pyarrow's Array or ChunkedArray; their stubs know too many kinds
IDENTITY = ("id", "source")
# Between stages an edit also knows its row in the part: ids repeat where a record was read twice.
_SIGNALS_ROWS = 10_000  # of a hundred columns and more, but short ones
STAGE_EDITS = schema.EDITS.append(pa.field("row", pa.int64()))


def measure_part(task: Task) -> None:
    """Measure one part that was extracted. Writes signals, keys and edits."""
    path = task.file("stages/measure")
    first = measure(EXTRACTED.empty_table(), task.recipe)  # the schemas follow from the recipe
    with (
        writing(path, first.signals.schema, rows=_SIGNALS_ROWS, max_bytes=32 << 20) as signals_out,
        writing_arrow(path.with_suffix(".keys.arrow"), first.keys.schema) as keys_out,
        writing(path.with_suffix(".edits.parquet"), STAGE_EDITS) as edits_out,
    ):
        rows = 0
        for batch in row_groups(task.file("stages/extract")):
            measured = measure(batch, task.recipe, first_row=rows)
            signals_out.write(measured.signals)
            keys_out.write(measured.keys)
            edits_out.write(measured.edits)
            rows += batch.num_rows
    base = task.marks["measure"]
    mark_done(task.mark("measure"), fingerprint(task), {"rows": rows, "base": base}, *outputs(task))


def outputs(task: Task) -> list[Path]:
    """The files that this stage makes of a part."""
    return [task.file("stages/measure", suffix) for suffix in (".parquet", ".keys.arrow", ".edits.parquet")]


def fingerprint(task: Task) -> str:
    """What the part is measured from: its extraction, less what was taken down since."""
    return after_takedown(task.marks["measure"], marked(task.mark("extract")))


def after_takedown(base: str, mark: dict[str, Any]) -> str:
    """Other rows blanked, another result; `mark` is that of the extraction."""
    removed = mark.get("removed")
    return digest([base, removed]) if removed else base


class Measured:
    """What one batch came to: three tables, the first two with one row per row of the batch."""

    def __init__(self, signals: pa.Table, keys: pa.Table, edits: pa.Table) -> None:
        self.signals = signals
        self.keys = keys
        self.edits = edits


def measure(extracted: pa.Table, recipe: Recipe, first_row: int = 0) -> Measured:
    """Run the steps of a recipe over a batch of extracted rows. Pure; batching changes nothing."""
    with_text = pc.is_valid(extracted["text"]).to_numpy()
    where = _positions(with_text)
    docs = extracted.filter(pa.array(with_text))
    structs: dict[str, pa.StructArray] = {}
    edits: list[pa.Table] = []
    rows = np.flatnonzero(with_text) + first_row
    for name, step in recipe.settings.items():
        if isinstance(step, filters.Editor):
            docs, proposed = _edit(docs, name, step, rows)
            edits.append(proposed)
        elif "text" in step.needs:
            structs[name] = pc.take(_struct(step.measure(docs.select(step.needs))), where)
        else:
            structs[name] = _struct(step.measure(extracted.select(step.needs)))
    signals = _signals(extracted, docs, where, structs)
    return Measured(signals, _keys(docs, where, structs, recipe), _concat(edits))


def _positions(mask: np.ndarray) -> Column:
    """For each row its place among the rows that have text, null for the others."""
    return pa.array(np.cumsum(mask) - 1, pa.int64(), mask=~mask)


def _struct(table: pa.Table) -> pa.StructArray:
    columns = [column.combine_chunks() for column in table.columns]
    return pa.StructArray.from_arrays(columns, fields=list(table.schema))


def _edit(docs: pa.Table, name: str, step: filters.Editor, rows: np.ndarray) -> tuple[pa.Table, pa.Table]:
    proposed = step.edits(docs.select(step.needs))
    text = docs["text"].combine_chunks()
    edited = filters.apply_edits(text, proposed)
    table = pa.table(
        {
            "id": pc.take(docs["id"], proposed["row"]),
            "step": pa.array([name] * proposed.num_rows, pa.string()),
            "rule": proposed["rule"],
            "start": proposed["start"],
            "end": proposed["end"],
            "removed": spans.held(text, proposed),
            "replacement": proposed["replacement"],
            "row": pa.array(rows[proposed["row"].to_numpy()], pa.int64()),
        },
        schema=STAGE_EDITS,
    )
    return docs.set_column(docs.column_names.index("text"), "text", edited), table


def _signals(extracted: pa.Table, docs: pa.Table, where: Column, structs: dict[str, pa.StructArray]) -> pa.Table:
    found = segments(docs["text"])
    columns: dict[str, Any] = {name: extracted[name] for name in IDENTITY}
    columns["file"] = pc.struct_field(extracted["provenance"], "file")
    columns["lang"] = _lang(extracted, structs)
    columns["chars"] = pc.take(pc.utf8_length(docs["text"]).combine_chunks().cast(pa.int64()), where)
    columns["words"] = pc.take(pa.array(np.diff(found.words), pa.int64()), where)
    if columns.keys() & structs.keys():
        raise ValueError(
            f"a filter cannot be called {', '.join(columns.keys() & structs.keys())}: signals/ has that column"
        )
    return pa.table(columns | structs)


def _lang(extracted: pa.Table, structs: dict[str, pa.StructArray]) -> Column:
    if "language" in structs:
        return pc.struct_field(structs["language"], "lang")
    return extracted["lang"]


def _keys(docs: pa.Table, where: Column, structs: dict[str, Any], recipe: Recipe) -> pa.Table:
    """Dedup keys of every row, null keys where there is no text."""
    table = docs.select(["id", "url", "text", "date", "source"])
    if "score" in structs:
        score = pc.struct_field(structs["score"], "score").drop_null()
        table = table.append_column("score", score)
    return _scatter(keys(table, recipe.dedup), where)


def _scatter(table: pa.Table, where: Column) -> pa.Table:
    return pa.table({name: pc.take(table[name], where) for name in table.column_names})


def _concat(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables) if tables else STAGE_EDITS.empty_table()
