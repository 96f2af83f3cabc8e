"""The end of a build: the books are proved, stale parts removed, and what the run is made of is written down."""

import contextlib
import dataclasses
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb

from corpus import corrections, schema, tombstones
from corpus.failures import Failure
from corpus.marks import VERSIONS
from corpus.parts import marked, write_json
from corpus.plan import Plan, Task
from corpus.recipe import Recipe
from corpus.store import Mirror
from corpus.views import MEMORY
from corpus.write import FOLDERS

_PACKAGES = (
    "apache-beam",
    "datasketch",
    "fasttext-numpy2-wheel",
    "fastwarc",
    "ftfy",
    "mwparserfromhell",
    "numba",
    "pyarrow",
    "resiliparse",
    "trafilatura",
)
_MASK = (1 << 128) - 1
# What the proof reads, per folder: enough to bring here of a run in a store.
PROVED = {
    "stages/extract": ("id", "provenance.file"),
    "docs": ("id", "provenance.file"),
    "ledger": ("id", "provenance.file", "stage"),
}


class ConservationError(Failure):
    """Something that was read is neither kept nor in the ledger, or is there twice."""


class Unreadable(Failure):
    """A file of the run that DuckDB cannot read."""


def sweep(run: Path, tasks: list[Task]) -> None:
    """Remove parts of earlier builds into this folder whose input is gone, and what a kill left half-written."""
    wanted = {task.part.name for task in tasks}
    for folder in (*FOLDERS, "stages/extract", "stages/measure", "stages/dedup", "stages/write"):
        for path in (run / folder).glob("part-*"):
            if path.name.removeprefix("part-")[:12] not in wanted:
                path.unlink()
        for path in (run / folder).glob(".*.tmp"):
            path.unlink()
    spill = run / "stages" / "spill"
    shutil.rmtree(spill, ignore_errors=True)


def check_conservation(run: Path) -> dict[str, list[int]]:
    """Per input file: rows read, kept, in the ledger. Raises ConservationError where an id does not add up."""
    try:
        return _conservation(run)
    except duckdb.Error as error:
        told = str(error).partition("\n")[0]
        raise Unreadable(f"{run}: a file of the run cannot be read; delete it and build again: {told}") from None


def _conservation(run: Path) -> dict[str, list[int]]:
    offline = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    spilling = {"temp_directory": str(run / "stages" / "spill"), "memory_limit": MEMORY}
    with duckdb.connect(config={**offline, **spilling}) as db:
        extracted = any((run / "stages" / "extract").glob("part-*.parquet"))
        read = f"provenance.file as file from {_parts(run, 'stages/extract')}"
        db.execute(f"create view read as select id, {read if extracted else 'file from ' + _parts(run, 'signals')}")
        db.execute(
            f"""create view told as select id, provenance.file as file, true as kept from {_parts(run, "docs")}
            union all select id, provenance.file, false from {_parts(run, "ledger")}"""
        )
        odd = db.execute(
            """select coalesce(r.id, t.id), coalesce(r.file, t.file), coalesce(r.n, 0), coalesce(t.n, 0)
            from (select id, file, count(*) n from read group by all) r
            full join (select id, file, count(*) n from told group by all) t using (id, file)
            where r.n is distinct from t.n order by 1 limit 1"""
        ).fetchone()
        if odd:
            raise ConservationError(
                f"{run}: document {odd[0]} of {odd[1]} was read {odd[2]} times and is told of {odd[3]} times"
            )
        twice = db.execute(
            "select id from told where kept group by id having count(*) > 1 order by 1 limit 1"
        ).fetchone()
        if twice:
            raise ConservationError(f"{run}: document {twice[0]} is kept more than once")
        rows = db.execute(
            """select file, count(*), count(*) filter (kept), count(*) filter (not kept)
            from told group by file order by file"""
        ).fetchall()
    return {file: [read, kept, ledger] for file, read, kept, ledger in rows}


def _parts(run: Path, folder: str) -> str:
    files = sorted(str(path) for path in (run / folder).glob("part-*.parquet") if path.name.count(".") == 1)
    return "read_parquet([" + ", ".join("'" + file.replace("'", "''") + "'" for file in files) + "])"


def manifest(recipe: Recipe, planned: Plan, run: Path, tasks: list[Task], parts: Path) -> dict[str, Any]:
    """What a run is made of: plain data without a clock, so that the same input gives the same manifest.

    `parts` is a folder with the columns `PROVED` of the run's parts, as a rule the run itself.
    """
    files = ([task.file(folder) for task in _on(parts, tasks)] for folder in ("docs", "ledger"))
    own = tombstones.load(run).digest
    return {
        "schema": schema.VERSION,
        "fingerprint": recipe.fingerprint(),
        "versions": {
            "stages": VERSIONS,
            "steps": {name: step.version for name, step in recipe.settings.items()},
            "packages": {name: version(name) for name in _PACKAGES},
        },
        "inputs": [{"file": file.path, "bytes": file.size} for file in planned.inputs],
        "parts": [task.part.name for task in tasks],
        **books(parts, [marked(task.mark("write")) for task in tasks]),
        **corrections.finish(recipe, run, *files),
        **({"tombstones": own} if own else {}),
    }


def _on(run: Path, tasks: list[Task]) -> list[Task]:
    return [dataclasses.replace(task, run=run) for task in tasks]


def books(run: Path, counts: list[dict[str, Any]]) -> dict[str, Any]:
    """What the parts of a run, counted by `write.Tally`, add up to. Raises ConservationError."""
    reasons: dict[str, int] = {}
    for count in counts:
        for reason, number in count["reasons"].items():
            reasons[reason] = reasons.get(reason, 0) + number
    sums = {key: sum(count[key] for count in counts) for key in ("docs", "ledger", "text_bytes")}
    hashes = {key: f"{sum(int(c[key], 16) for c in counts) & _MASK:032x}" for key in ("docs_hash", "ledger_hash")}
    return {
        "read": sums["docs"] + sums["ledger"],
        **sums,
        **hashes,
        "reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "files": check_conservation(run),
    }


def finish(recipe: Recipe, planned: Plan, run: Path, tasks: list[Task], mirror: Mirror | None = None) -> dict[str, Any]:
    """Prove and write the manifest. Raises ConservationError."""
    sweep(run, tasks)
    with mirror.columns(PROVED) if mirror else contextlib.nullcontext(run) as parts:
        told = manifest(recipe, planned, run, tasks, parts)
    write_json(run / "manifest.json", told)
    return told


def write_timing(run: Path, num_workers: int, seconds: dict[str, float], started: float) -> None:
    """How long it took, apart from the manifest: the clock is no property of the corpus."""
    total = time.perf_counter() - started
    write_json(run / "stages" / "timing.json", {"workers": num_workers, "stages": seconds, "total": total})
