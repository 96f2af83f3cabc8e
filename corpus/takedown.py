"""Taking documents out of what is written of one part: their rows stay, what was said of their text goes.

`forget` is for a build, right after extraction: what follows is measured anew. `Rewrite` is for a finished run:
every file of the part is written beside the old one first, then all take their places; a kill in between is
finished by `recover`.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import filters
from corpus import schema
from corpus.extract import EXTRACTED, outputs
from corpus.measure import STAGE_EDITS, after_takedown
from corpus.parts import file_hash, marked, read_arrow, record_batches, row_groups, write_json, writing, writing_arrow
from corpus.plan import Task
from corpus.tombstones import Tombstone, Tombstones
from corpus.write import Tally

STAGED = "stages/takedown"
_IDENTITY = ("id", "source", "url", "provenance")  # what of a document may be told after it is gone


def forget(task: Task, stones: Tombstones) -> None:
    """Blank the rows of an extracted part that must stay out, and say so in its mark."""
    mark = marked(task.mark("extract"))
    if mark.get("tombstones", "") == stones.digest:
        return
    path = task.file("stages/extract")
    hits: dict[str, Tombstone] = {}
    for rows in row_groups(path):
        for row, stone in stones.hit(rows).items():
            hits[rows["id"][row].as_py()] = stone
    if hits:
        reasons = {name: stone.reason for name, stone in hits.items()}
        edits = path.with_suffix(".edits.parquet")
        _copy(edits, edits, lambda table: without(table, hits), schema.EDITS)
        _copy(path, path, lambda table: blank_extracted(table, reasons), EXTRACTED)
        mark["hashes"] = {file.name: file_hash(file) for file in outputs(task)}
    removed = [*mark.get("removed", []), *([*stone.names, stone.reason] for stone in hits.values())]
    write_json(task.mark("extract"), mark | {"tombstones": stones.digest, "removed": sorted(removed)})


def still_out(mark: dict[str, Any], stones: Tombstones) -> bool:
    """Whether every document that was blanked must stay so; otherwise its part has to be read again."""
    return all(stones.reason(Tombstone(*removed[:3])) == removed[3] for removed in mark.get("removed", []))


def blank_extracted(rows: pa.Table, reasons: dict[str, str]) -> pa.Table:
    """Extracted rows, those of some ids that have text without it."""

    def blank(row: dict[str, Any]) -> dict[str, Any]:
        failure = {"reason": schema.TAKEDOWN, "detail": reasons[row["id"]]}
        return {key: row[key] for key in _IDENTITY} | {"failure": failure}

    return _replace(rows, reasons, blank, "text")


def blank_signals(rows: pa.Table, ids: Any) -> pa.Table:
    """Signals without what was measured of the text."""

    def blank(row: dict[str, Any]) -> dict[str, Any]:
        kept = {key: row[key] for key in row if key in ("id", "source", "file") or _of_address(key)}
        return kept | ({"kept": False} if "kept" in row else {})

    return _replace(rows, ids, blank, "chars")


def _of_address(name: str) -> bool:
    return name in filters.names() and "text" not in filters.find(name).needs


def blank_keys(rows: pa.Table, ids: Any) -> pa.Table:
    return _replace(rows, ids, lambda row: {}, "id")


def without(rows: pa.Table, ids: Any) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows["id"], value_set=pa.array(sorted(ids), pa.string()))))


def _replace(rows: pa.Table, ids: Any, blank: Callable[[dict[str, Any]], dict[str, Any]], present: str) -> pa.Table:
    """Rows of some ids, where the column `present` is not null, as `blank` leaves them; all in their places."""
    chosen = pc.and_(pc.is_in(rows["id"], value_set=pa.array(sorted(ids), pa.string())), pc.is_valid(rows[present]))
    where = pc.indices_nonzero(chosen).to_pylist()
    if not where:
        return rows
    blanked = pa.Table.from_pylist([blank(row) for row in rows.take(where).to_pylist()], rows.schema)
    order = list(range(rows.num_rows))
    for index, row in enumerate(where):
        order[row] = rows.num_rows + index
    return pa.concat_tables([rows, blanked]).take(order)


def _copy(source: Path, target: Path, change: Callable[[pa.Table], pa.Table], columns: pa.Schema, **cut: Any) -> None:
    with writing(target, columns, **cut) as out:
        for table in row_groups(source):
            out.write(change(table))


class Rewrite:
    """One part of a finished run, written anew without some documents: id -> reason."""

    def __init__(self, run: Path, part: str, reasons: dict[str, str], stones: Tombstones, cut: dict[str, Any]) -> None:
        self._run = run
        self._part = part
        self._reasons = reasons
        self._stones = stones
        self._cut = cut
        self._staged = run / STAGED / part
        self._files: list[str] = []

    def __call__(self) -> None:
        shutil.rmtree(self._staged, ignore_errors=True)
        self._stage_files()
        self._shards()
        self._tables()
        write_json(self._staged / "done.json", self._files)
        _move(self._run, self._staged)

    def _old(self, name: str) -> Path:
        folder, suffix = name.split(" ")
        return self._run / folder / f"part-{self._part}{suffix}"

    def _new(self, name: str) -> Path:
        """Where the new version of a file waits."""
        self._files.append(name)
        return self._waiting(name)

    def _waiting(self, name: str) -> Path:
        return self._staged / name.replace("/", "-").replace(" ", "-")

    def _table(self, name: str, change: Callable[[pa.Table], pa.Table], columns: pa.Schema, **cut: Any) -> None:
        if self._old(name).exists():
            _copy(self._old(name), self._new(name), change, columns, **cut)

    def _stage_files(self) -> None:
        """What makes a build resumable must not bring the text back; it may be gone as a whole."""
        mark = marked(self._old("stages/extract .done.json"))
        rows = self._old("stages/extract .parquet")
        if not mark or not rows.exists():
            return
        here = {name for table in row_groups(rows, ["id"]) for name in table["id"].to_pylist()} & self._reasons.keys()
        removed = {tuple(old) for old in mark.get("removed", [])}
        removed |= {(*stone.names, stone.reason) for stone in self._stones.stones if stone.id in here}
        mark["removed"] = sorted(list(stone) for stone in removed)
        mark.pop("tombstones", None)  # there may be others that the next build has to look for
        ids = self._reasons
        self._table("stages/extract .parquet", lambda t: blank_extracted(t, ids), EXTRACTED)
        self._table("stages/extract .edits.parquet", lambda t: without(t, ids), schema.EDITS)
        self._mark("stages/extract", mark)
        signals = self._old("stages/measure .parquet")
        if not signals.exists():
            return
        self._table("stages/measure .parquet", lambda t: blank_signals(t, ids), pq.read_schema(signals))
        self._table("stages/measure .edits.parquet", lambda t: without(t, ids), STAGE_EDITS)
        keys = self._old("stages/measure .keys.arrow")
        with writing_arrow(self._new("stages/measure .keys.arrow"), read_arrow(keys).schema) as out:
            for batch in record_batches(keys):
                out.write_table(blank_keys(pa.Table.from_batches([batch]), ids).combine_chunks())
        told = marked(self._old("stages/measure .done.json"))
        if "base" in told:  # what the part would be measured as without tombstones
            told["fingerprint"] = after_takedown(told["base"], mark)
        self._mark("stages/measure", told)

    def _mark(self, folder: str, mark: dict[str, Any]) -> None:
        """A stage's mark, with the hashes of its new files."""
        names = [name for name in self._files if name.split(" ")[0] == folder]
        hashes = {self._old(name).name: file_hash(self._waiting(name)) for name in names}
        write_json(self._new(f"{folder} .done.json"), mark | {"hashes": hashes})

    def _shards(self) -> None:
        """docs/ without the documents, ledger/ with their rows at their places, and what both add up to."""
        ids, tally = self._reasons, Tally()
        kept = pq.read_table(self._old("signals .parquet"), columns=["kept"])["kept"].to_numpy()
        moved: list[dict[str, Any]] = []
        at = 0
        places = kept.nonzero()[0]
        with writing(self._new("docs .parquet"), schema.DOCUMENT, **self._cut) as out:
            for rows in row_groups(self._old("docs .parquet")):
                for row, name in enumerate(rows["id"].to_pylist()):
                    if name in ids:
                        moved.append({"place": int(places[at + row]), **rows.slice(row, 1).to_pylist()[0]})
                at += rows.num_rows
                rest = without(rows, ids)
                out.write(rest)
                tally.add(rest, schema.LEDGER.empty_table())
        with writing(self._new("ledger .parquet"), schema.LEDGER, **self._cut) as out:
            for rows in self._told((~kept).nonzero()[0], moved):
                out.write(rows)
                tally.add(schema.DOCUMENT.empty_table(), rows)
        mark = marked(self._old("stages/write .done.json"))
        if mark:
            # No build has written the part so: the next one does, if it comes to another result.
            mark["fingerprint"] = f"{mark.get('fingerprint')}, less what was taken down"
            write_json(self._new("stages/write .done.json"), mark | tally.counts())

    def _told(self, places: npt.NDArray[np.int64], moved: list[dict[str, Any]]) -> Iterator[pa.Table]:
        """The ledger's row groups, with the rows of moved documents between the others."""
        at = 0
        for rows in row_groups(self._old("ledger .parquet")):
            mine = places[at : at + rows.num_rows].tolist()
            at += rows.num_rows
            rows = _replace(rows, self._reasons, self._ledger_row, "text")
            here = [row for row in moved if row["place"] < mine[-1]]
            moved = moved[len(here) :]
            added = pa.Table.from_pylist([self._ledger_row(row) for row in here], schema.LEDGER)
            order = sorted(range(len(mine) + len(here)), key=[*mine, *(row["place"] for row in here)].__getitem__)
            yield pa.concat_tables([rows.cast(schema.LEDGER), added]).take(order)
        if moved:
            yield pa.Table.from_pylist([self._ledger_row(row) for row in moved], schema.LEDGER)

    def _ledger_row(self, row: dict[str, Any]) -> dict[str, Any]:
        hits = [hit for hit in row.get("hits", []) if _of_address(hit["filter"])]
        told = {"stage": "correction", "reason": schema.TAKEDOWN, "hits": hits, "detail": self._reasons[row["id"]]}
        return {key: row[key] for key in _IDENTITY} | told

    def _tables(self) -> None:
        ids = self._reasons
        columns = pq.read_schema(self._old("signals .parquet"))
        self._table("signals .parquet", lambda t: blank_signals(t, ids), columns, **self._cut)
        self._table("edits .parquet", lambda t: without(t, ids), schema.EDITS)
        self._table("duplicates .parquet", lambda t: without(t, ids), schema.DUPLICATES)


def recover(run: Path) -> None:
    """Finish what a kill left of earlier rewrites: what was written whole takes its place, the rest is dropped."""
    for staged in sorted((run / STAGED).glob("*")):
        if (staged / "done.json").exists():
            _move(run, staged)
        else:
            shutil.rmtree(staged)


def _move(run: Path, staged: Path) -> None:
    for name in json.loads((staged / "done.json").read_text("utf-8")):
        waiting = staged / name.replace("/", "-").replace(" ", "-")
        folder, suffix = name.split(" ")
        if waiting.exists():
            os.replace(waiting, run / folder / f"part-{staged.name}{suffix}")
    shutil.rmtree(staged)
