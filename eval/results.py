"""A folder of results: what a model was asked and what came out, so that two can be compared later.

`result.json` says which model and how; tables lie beside it under their own names. One folder may hold a corpus's
documents, several suites and samples: each command adds its own.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.failures import Failure
from corpus.parts import replacing, writing

DOCUMENTS, GROUPS, SAMPLES = "documents.parquet", "groups.parquet", "samples.parquet"


class NoResult(Failure):
    """A folder that holds no results."""

    status = 2


def put(folder: Path, name: str, table: pa.Table) -> Path:
    """Write a table, whole or not at all."""
    path = folder / name
    with writing(path, table.schema) as out:
        out.write(table)
    return path


def tell(folder: Path, part: str, told: dict[str, Any]) -> None:
    """Add what one command did to result.json."""
    path = folder / "result.json"
    known = read(folder) if path.exists() else {}
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({**known, part: told}, indent=1, sort_keys=True) + "\n", "utf-8")


def read(folder: Path) -> dict[str, Any]:
    """What result.json tells. Raises NoResult."""
    try:
        return dict(json.loads((folder / "result.json").read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise NoResult(f"{folder}: no results there ({error}); `python -m eval perplexity` writes some") from None


def is_result(folder: Path) -> bool:
    return (folder / "result.json").is_file()


def table(folder: Path, name: str) -> pa.Table | None:
    """A table of the folder, or None."""
    path = folder / name
    return pq.read_table(path) if path.exists() else None


def suites(folder: Path) -> dict[str, pa.Table]:
    """Name -> items of every suite in the folder."""
    return {path.stem.removeprefix("suite-"): pq.read_table(path) for path in sorted(folder.glob("suite-*.parquet"))}
