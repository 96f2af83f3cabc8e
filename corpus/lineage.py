"""Which models were trained on some documents: asked of the lineage that a trainer leaves beside its model."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from corpus.failures import Failure
from corpus.views import parquet


class NoLineage(Failure):
    """A folder that is no model with lineage."""


@dataclasses.dataclass(frozen=True)
class Use:
    """What one model saw of some documents."""

    model: str
    documents: int
    first_step: int
    last_step: int


def uses(models: Sequence[Path], ids: Sequence[str]) -> list[Use]:
    """One entry for each model that saw any of the documents, in the order given. Raises NoLineage."""
    found = []
    with duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}) as db:
        db.register("wanted", pa.table({"id": pa.array(sorted(set(ids)), pa.string())}))
        for model in models:
            files = parquet([str(path) for path in lineage_files(model)])
            query = f"select count(distinct id), min(step), max(step) from {files} where id in (select id from wanted)"
            try:
                row = db.execute(query).fetchone()
            except duckdb.Error as error:
                told = str(error).partition("\n")[0]
                raise NoLineage(f"{model}/lineage: cannot be read as lineage (step, id): {told}") from None
            if row and row[0]:
                found.append(Use(str(model), *row))
    return found


def lineage_files(model: Path) -> list[Path]:
    """The lineage of a model folder. Raises NoLineage where there is none: silence would read as "not used"."""
    files = sorted((model / "lineage").glob("part-*.parquet"))
    if not files:
        raise NoLineage(f"{model}: has no lineage/part-*.parquet, so nobody can say what it was trained on")
    return files
