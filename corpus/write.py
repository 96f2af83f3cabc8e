"""Last stage: verdicts joined back to their documents, and the run's shards written, one set per part.

Every row read ends in docs/ once or in ledger/ once.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from corpus import corrections, extract, measure, schema
from corpus.decide import Bound, fired, rules
from corpus.edited import edited_rows
from corpus.guard import Heartbeat
from corpus.parts import ByRow, check_intact, mark_done, row_groups, writing
from corpus.plan import Task
from corpus.recipe import Recipe
from corpus.workers import Skip

_MASK = (1 << 128) - 1
_NO_ORDERS = corrections.Orders()
_NO_VERDICT: dict[str, Any] = {"kind": None, "kept_id": None}


def write_part(task: Task, skip: Skip, heartbeat: Path) -> dict[str, Any]:
    """Write one part's docs, ledger, signals, duplicates and edits. Returns counts and content hashes."""
    cut = {
        "rows": task.recipe.write.row_group_rows,
        "max_bytes": 64 << 20,
        "level": task.recipe.write.compression_level,
    }
    check_intact(task.mark("extract"), *extract.outputs(task))
    check_intact(task.mark("measure"), *measure.outputs(task))
    tally, orders, masks = Tally(), corrections.orders(task.recipe, task.run), []
    signals_schema = _signals_schema(task)
    with (
        contextlib.closing(Heartbeat(heartbeat)) as beat,
        writing(task.file("docs"), schema.DOCUMENT, **cut) as docs_out,
        writing(task.file("ledger"), schema.LEDGER, **cut) as ledger_out,
        writing(task.file("signals"), signals_schema, **cut) as signals_out,
    ):
        for rows, signals, verdicts in _aligned(task):
            docs, ledger, kept = divide(rows, signals, verdicts, task.recipe, orders)
            docs, masked = orders.mask(docs)
            masks.append(masked)
            docs_out.write(docs)
            ledger_out.write(ledger)
            signals_out.write(signals.append_column("kept", pa.array(kept)))
            tally.add(docs, ledger)
            beat.done(rows.num_rows, 0)
    _copy_edits(task, masks)
    _write_duplicates(task)
    mark_done(task.mark("write"), task.marks["write"], tally.counts())
    return {**tally.counts(), "part": task.part.name, "rows": tally.rows}


FOLDERS = ("docs", "ledger", "signals", "edits", "duplicates")


def written(task: Task) -> list[Path]:
    """The files that this stage makes of a part."""
    return [task.file(folder) for folder in FOLDERS]


def verdicts_file(task: Task) -> Path:
    """Where the dedup stage leaves what it found of this part; absent where it found nothing."""
    return task.file("stages/dedup")


def divide(
    rows: pa.Table,
    signals: pa.Table,
    verdicts: dict[int, dict[str, Any]],
    recipe: Recipe,
    orders: corrections.Orders = _NO_ORDERS,
) -> tuple[pa.Table, pa.Table, np.ndarray]:
    """Documents, ledger rows and the mask of what was kept. `verdicts` are by row, from 0 here."""
    hits = fired(signals, recipe)
    failed = pc.is_valid(rows["failure"]).to_numpy()
    kept = ~failed & ~hits.any(axis=1)
    kept[list(verdicts)] = False
    blocked = {row: block for row, block in orders.blocked(rows["id"]).items() if kept[row]}
    kept[list(blocked)] = False
    rows = rows.set_column(rows.column_names.index("lang"), "lang", signals["lang"])
    docs = rows.filter(pa.array(kept)).select(schema.DOCUMENT.names)
    out = np.flatnonzero(~kept)
    mine = [verdicts.get(row, _NO_VERDICT) for row in out.tolist()]
    blocks = [blocked.get(row) for row in out.tolist()]
    return docs, _ledger(rows.take(out), signals.take(out), hits[out], mine, blocks, recipe), kept


def _aligned(task: Task) -> Iterator[tuple[pa.Table, pa.Table, dict[int, dict[str, Any]]]]:
    """Rows of a part, edits carried out, with their signals and verdicts, a row group at a time."""
    path = verdicts_file(task)
    with contextlib.ExitStack() as files:
        signals = files.enter_context(ByRow(task.file("stages/measure")))
        verdicts = files.enter_context(ByRow(path, "row")) if path.exists() else None
        for at, rows in edited_rows(task):
            end = at + rows.num_rows
            mine = verdicts.between(at, end).to_pylist() if verdicts else []
            yield rows, signals.between(at, end), {row["row"] - at: row for row in mine}


def _signals_schema(task: Task) -> pa.Schema:
    found = pq.read_schema(task.file("stages/measure"))
    return found.append(pa.field("kept", pa.bool_()))


def _ledger(
    rows: pa.Table,
    signals: pa.Table,
    hits: np.ndarray,
    verdicts: list[dict[str, Any]],
    blocks: list[corrections.Correction | None],
    recipe: Recipe,
) -> pa.Table:
    told = _hits(signals, hits, rules(recipe))
    stages, reasons, details = [], [], []
    for failure, hit, verdict, block in zip(rows["failure"].to_pylist(), told, verdicts, blocks, strict=True):
        stage, reason = (
            ("correction" if failure["reason"] == schema.TAKEDOWN else "extract", failure["reason"]) if failure
            else ("filter", hit[0]["reason"]) if hit
            else (corrections.STAGE, block.reason) if block
            else ("dedup", f"{verdict['kind']}_duplicate")
        )  # fmt: skip
        stages.append(stage)
        reasons.append(reason)
        details.append(failure["detail"] if failure else block.said() if block else None)
    evidence = [v if v["kind"] else None for v in verdicts]
    return pa.table(
        {
            "id": rows["id"],
            "source": rows["source"],
            "url": rows["url"],
            "stage": pa.array(stages, pa.string()),
            "reason": pa.array(reasons, pa.string()),
            "hits": pa.array(told, pa.list_(schema.HIT)),
            "kept_id": pa.array([v["kept_id"] for v in verdicts], pa.string()),
            "evidence": pa.array(evidence, schema.EVIDENCE),
            "detail": pa.array(details, pa.string()),
            "text": rows["text"],
            "title": rows["title"],
            "lang": rows["lang"],
            "provenance": rows["provenance"],
            "meta": rows["meta"],
        },
        schema=schema.LEDGER,
    )


def _hits(signals: pa.Table, hits: np.ndarray, bound: list[Bound]) -> list[list[dict[str, Any]]]:
    """For each row the rules that fired, with the value that each one saw."""
    told: list[list[dict[str, Any]]] = [[] for _ in range(signals.num_rows)]
    for column, rule in enumerate(bound):
        where = np.flatnonzero(hits[:, column])
        if not len(where):
            continue
        values = pc.struct_field(signals[rule.step], rule.rule.signal).take(where).to_pylist()
        said = {"filter": rule.step, "reason": rule.rule.reason, "signal": rule.rule.signal,
                "operator": rule.rule.operator, "threshold": _say(rule.rule.threshold)}  # fmt: skip
        for row, value in zip(where, values, strict=True):
            told[row].append({**said, "value": _say(value)})
    return told


def _say(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _copy_edits(task: Task, masks: list[pa.Table]) -> None:
    with writing(task.file("edits"), schema.EDITS) as out:
        for path in (task.file("stages/extract", ".edits.parquet"), task.file("stages/measure", ".edits.parquet")):
            for table in row_groups(path):
                out.write(table)
        for table in masks:
            out.write(table)


def _write_duplicates(task: Task) -> None:
    path = verdicts_file(task)
    with writing(task.file("duplicates"), schema.DUPLICATES) as out:
        for table in row_groups(path) if path.exists() else ():
            out.write(table)


class Tally:
    """Counts and content hashes of one part; sums, so that parts add up in any order and any split."""

    def __init__(self) -> None:
        self.rows = self._docs = self._ledger = self._docs_hash = self._ledger_hash = self._text_bytes = 0
        self._reasons: dict[str, int] = {}

    def add(self, docs: pa.Table, ledger: pa.Table) -> None:
        self.rows += docs.num_rows + ledger.num_rows
        self._docs += docs.num_rows
        self._ledger += ledger.num_rows
        for name, text in zip(docs["id"].to_pylist(), docs["text"].to_pylist(), strict=True):
            content = str(text).encode()
            self._docs_hash += xxhash.xxh3_128_intdigest(str(name).encode() + b"\0" + content)
            self._text_bytes += len(content)
        for row in zip(*(ledger[c].to_pylist() for c in ("id", "reason", "hits", "kept_id")), strict=True):
            told = "\0".join([row[0], row[1], *(hit["reason"] for hit in row[2]), row[3] or ""])
            self._ledger_hash += xxhash.xxh3_128_intdigest(told.encode())
            self._reasons[row[1]] = self._reasons.get(row[1], 0) + 1

    def counts(self) -> dict[str, Any]:
        return {
            "docs": self._docs,
            "ledger": self._ledger,
            "text_bytes": self._text_bytes,
            "reasons": dict(sorted(self._reasons.items())),
            "docs_hash": f"{self._docs_hash & _MASK:032x}",
            "ledger_hash": f"{self._ledger_hash & _MASK:032x}",
        }
