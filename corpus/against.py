"""Earlier runs that a build is deduplicated against: their kept documents are keepers, and are never touched.

Each part of an earlier run gets a file of keys, one row per document kept: taken from that run's own stages where
they were made with the same settings, else computed from its docs/. Texts are read from its docs/, and of
candidates only.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import filters
from corpus.dedup import Settings, buckets
from corpus.dedup.keys import keys, schema
from corpus.edited import picked
from corpus.failures import Failure
from corpus.parts import (
    ByRow,
    check_intact,
    done,
    file_hash,
    mark_done,
    marked,
    read_arrow,
    record_batches,
    row_groups,
    writing_arrow,
)
from corpus.recipe import Recipe, RecipeError, digest, parse
from corpus.views import Run

FOLDER = "stages/against"
# What ranks a new document. Earlier ones do not compete; with these blank, where keys come from changes nothing.
_RANKS = ("score", "date", "source_rank")


class RunChanged(Failure, OSError):
    """An earlier run is not what it was when this one was built."""


@dataclasses.dataclass(frozen=True)
class EarlierPart:
    """One part of an earlier run, for a build into `into`."""

    into: Path
    run: str  # as the recipe names it
    name: str
    fingerprint: str  # of that run's content and of the settings of the keys
    settings: Settings

    @property
    def docs(self) -> Path:
        return Path(self.run) / "docs" / f"part-{self.name}.parquet"

    @property
    def file(self) -> Path:
        return self.into / FOLDER / f"part-{digest([self.run, self.name])[:12]}.keys.arrow"

    @property
    def mark(self) -> Path:
        return self.file.with_suffix(".done.json")

    @property
    def ready(self) -> Path:
        """The file of keys, of `keys.schema`: a row for each document that the run kept. Raises RunChanged."""
        if not done(self.mark, self.fingerprint, self.file):
            raise RunChanged(f"{self.run}: has changed, or its keys in {self.into / FOLDER} are gone; build again")
        return self.file

    @property
    def keys(self) -> pa.Table:
        """All of them. Raises RunChanged."""
        return read_arrow(self.ready)

    def texts(self, rows: np.ndarray) -> pa.ChunkedArray:
        """Texts of some rows, ascending."""
        found = [pa.chunked_array([], pa.large_string()), *(text for text, _ in self.some_texts(rows))]
        return pa.chunked_array([chunk for array in found for chunk in array.chunks], pa.large_string())

    def some_texts(self, rows: np.ndarray) -> Iterator[tuple[pa.ChunkedArray, np.ndarray]]:
        """The same with their rows, a row group at a time; only those that hold them are read."""
        return picked(self.docs, rows)


Numbered = tuple[int, EarlierPart]


def earlier(recipe: Recipe, into: Path) -> list[Numbered]:
    """Every part of the earlier runs, in the order of the recipe, with its number among all parts. Raises NotARun."""
    found: list[EarlierPart] = []
    for named in recipe.dedup.against:
        if Path(named).resolve() == into.resolve():
            raise RecipeError(f"dedup.against: {named!r} is the folder that is being built")
        with Run(Path(named)) as run:
            fingerprint = digest([run.manifest["docs_hash"], _settings(recipe.dedup)])
            found += [EarlierPart(into, named, part, fingerprint, recipe.dedup) for part in run.manifest["parts"]]
    return [(buckets.EARLIER + index, part) for index, part in enumerate(found)]


def _settings(settings: Settings) -> dict[str, Any]:
    """What keys depend on; priorities of sources only rank."""
    measured = filters.measured_settings(settings)  # type: ignore[arg-type]
    return {key: value for key, value in measured.items() if key != "source_priority"}


def make_keys(part: EarlierPart) -> None:
    """Make the file of a part's keys unless it is there; check it if it is. Raises Damaged."""
    if done(part.mark, part.fingerprint, part.file):
        check_intact(part.mark, part.file)
    else:
        num_rows = _write_keys(part)
        mark_done(part.mark, part.fingerprint, {"rows": num_rows}, part.file)


def _write_keys(part: EarlierPart) -> int:
    num_rows = 0
    tables = _stored(part) if _trusted(part) else map(_computed(part.settings), row_groups(part.docs))
    with writing_arrow(part.file, schema(part.settings)) as out:
        for table in tables:
            blank = {name: pa.nulls(table.num_rows, table.schema.field(name).type) for name in _RANKS}
            for name, column in blank.items():
                table = table.set_column(table.column_names.index(name), name, column)
            out.write_table(table)
            num_rows += table.num_rows
    return num_rows


def _computed(settings: Settings) -> Any:
    def compute(docs: pa.Table) -> pa.Table:
        return keys(docs.select(["id", "url", "text", "date", "source"]), settings)

    return compute


def _trusted(part: EarlierPart) -> bool:
    """Whether the run itself has keys of what it kept: not gone, not damaged, not of other settings."""
    try:
        with Run(Path(part.run)) as opened:
            same = _settings(parse(opened.settings, part.run).dedup) == _settings(part.settings)
            same = same and opened.manifest["versions"]["stages"] == _versions()
        # Row by row the documents of docs/, or they are of another build.
        return same and _intact(_keys_of(part)) and _equal(_ids(_stored(part)), _ids(row_groups(part.docs, ["id"])))
    except (OSError, ValueError, pa.ArrowException, RecipeError):
        return False


def _keys_of(part: EarlierPart) -> Path:
    return Path(part.run) / "stages" / "measure" / f"part-{part.name}.keys.arrow"


def _stored(part: EarlierPart) -> Iterator[pa.Table]:
    """Keys that the run made, of what it kept, piece by piece. Raises ValueError where signals/ is of other rows."""
    at = 0
    with ByRow(Path(part.run) / "signals" / f"part-{part.name}.parquet", columns=["kept"]) as signals:
        for batch in record_batches(_keys_of(part)):
            kept = signals.between(at, at + batch.num_rows)["kept"]
            yield pa.Table.from_batches([batch]).filter(kept)
            at += batch.num_rows
        if at != signals.num_rows:
            raise ValueError(f"{part.run}: {part.name} has keys of {at} rows and signals of {signals.num_rows}")


def _ids(tables: Iterable[pa.Table]) -> Iterator[str]:
    return (name for table in tables for name in table["id"].to_pylist())


def _equal(some: Iterator[str], others: Iterator[str]) -> bool:
    return all(a == b for a, b in itertools.zip_longest(some, others))


def _versions() -> dict[str, int]:
    from corpus.marks import VERSIONS

    return VERSIONS


def _intact(path: Path) -> bool:
    name = path.name.removesuffix(".keys.arrow")
    said = marked(path.with_name(f"{name}.done.json")).get("hashes", {}).get(path.name)
    return path.exists() and said == file_hash(path)
