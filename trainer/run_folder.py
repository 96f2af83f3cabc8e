"""A corpus's run folder as the trainer sees it: proved to be whole first, then read piece by piece."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainer.failures import Failure, UsageFailure

SCHEMA = 2  # the version of the documents' columns that this trainer reads


@dataclasses.dataclass(frozen=True)
class Run:
    """One corpus. `content_hash` is of all ids and texts, as the build wrote it down."""

    folder: Path
    parts: tuple[Path, ...]
    num_documents: int
    text_bytes: int
    content_hash: str

    @property
    def name(self) -> str:
        """What its sources are called by when there are several corpora."""
        return self.folder.resolve().name

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Its documents, one row group at a time; the whole corpus never lies in memory."""
        for path in self.parts:
            with pq.ParquetFile(path, memory_map=True) as file:
                for index in range(file.num_row_groups):
                    yield file.read_row_group(index, columns=list(columns), use_threads=False)


def open_run(folder: Path) -> Run:
    """Check a run folder. Raises UsageFailure (no run, another schema) or Failure (empty, or changed since built)."""
    told = _manifest(folder)
    parts = sorted(path for path in (folder / "docs").glob("part-*.parquet") if path.name.count(".") == 1)
    _check_schema(folder / "manifest.json", told.get("schema"))
    _check_parts(folder, parts, told)
    rows = 0
    for path in parts:
        rows += _rows(path)
    if rows != told["docs"]:
        raise Failure(
            f"{folder}: docs/ has {rows} documents and manifest.json tells of {told['docs']}; "
            "the run changed after it was built: build it again"
        )
    if not rows:
        raise Failure(f"{folder}: the corpus is empty; its report says what rejected every document")
    return Run(folder, tuple(parts), rows, int(told["text_bytes"]), str(told["docs_hash"]))


def open_runs(folders: Sequence[Path]) -> list[Run]:
    """Several corpora; their folders' names must differ, since sources are called by them."""
    if not folders:
        raise UsageFailure("no corpus: name at least one run folder")
    runs = [open_run(folder) for folder in folders]
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UsageFailure(f"two corpora have a folder called {name!r}: sources could not be told apart")
    return runs


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not folder.is_dir():
        raise UsageFailure(f"{folder}: no such folder; a corpus is a run folder made by `python -m corpus build`")
    try:
        told = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageFailure(f"{folder}: no manifest.json; no run folder, or its build has not finished") from None
    except (OSError, ValueError) as error:
        raise Failure(f"{path}: cannot be read ({error}); build the run again") from None
    missing = [key for key in ("schema", "docs", "docs_hash", "text_bytes", "parts") if key not in told]
    if missing:
        raise UsageFailure(f"{path}: no {', '.join(missing)}; this is not the manifest of a run")
    return dict(told)


def _check_schema(path: Path, found: object) -> None:
    if str(found) != str(SCHEMA):
        raise UsageFailure(f"{path}: documents of schema {found}, this trainer reads {SCHEMA}; build the run again")


def _check_parts(folder: Path, parts: Sequence[Path], told: dict[str, Any]) -> None:
    found = {path.name for path in parts}
    expected = {f"part-{name}.parquet" for name in told["parts"]}
    odd = sorted(found ^ expected)
    if odd:
        where = "is missing" if odd[0] in expected else "is not told of in manifest.json"
        raise Failure(f"{folder}: docs/{odd[0]} {where}; the run changed after it was built: build it again")


def _rows(path: Path) -> int:
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.schema_arrow.metadata or {}
            _check_schema(path, metadata.get(b"winnow.schema", b"unknown").decode())
            return int(file.metadata.num_rows)
    except (OSError, pa.ArrowInvalid) as error:
        raise Failure(f"{path}: cannot be read ({error}); build the run again") from None
