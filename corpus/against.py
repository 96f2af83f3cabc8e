"""Earlier runs that a build is deduplicated against: their kept documents are keepers, and are never touched.

Each part of an earlier run gets a file of keys, one row per document kept: taken from that run's own stages where
they were made with the same settings, else computed from its docs/. Texts are read from its docs/, and of
candidates only.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import filters
from corpus.dedup import Settings, buckets
from corpus.dedup.keys import keys, schema
from corpus.edited import picked
from corpus.failures import Failure
from corpus.parts import check_intact, done, file_hash, mark_done, marked, read_arrow, row_groups, writing_arrow
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
    def keys(self) -> pa.Table:
        """Of `keys.schema`, a row for each document that the run kept. Raises RunChanged."""
        if not done(self.mark, self.fingerprint, self.file):
            raise RunChanged(f"{self.run}: has changed, or its keys in {self.into / FOLDER} are gone; build again")
        return read_arrow(self.file)

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


def earlier_keys(part: EarlierPart) -> pa.Table:
    """The keys of a part, made unless they are there. Raises Damaged."""
    if done(part.mark, part.fingerprint, part.file):
        check_intact(part.mark, part.file)
    else:
        num_rows = _write_keys(part)
        mark_done(part.mark, part.fingerprint, {"rows": num_rows}, part.file)
    return part.keys


def _write_keys(part: EarlierPart) -> int:
    stored, num_rows = _stored(part), 0
    with writing_arrow(part.file, schema(part.settings)) as out:
        for table in [stored] if stored is not None else map(_computed(part.settings), row_groups(part.docs)):
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


def _stored(part: EarlierPart) -> pa.Table | None:
    """Keys that the run itself made, of what it kept; None where they are gone, damaged or of other settings."""
    run = Path(part.run)
    path = run / "stages" / "measure" / f"part-{part.name}.keys.arrow"
    signals = run / "signals" / f"part-{part.name}.parquet"
    try:
        with Run(run) as opened:
            same = _settings(parse(opened.settings, part.run).dedup) == _settings(part.settings)
            same = same and opened.manifest["versions"]["stages"] == _versions()
        if not same or not _intact(path):
            return None
        table = read_arrow(path)
        kept = pq.read_table(signals, columns=["id", "kept"], use_threads=False)
    except (OSError, pa.ArrowException, RecipeError):
        return None
    if table.num_rows != kept.num_rows:
        return None
    table = table.filter(kept["kept"])
    ids = pq.read_table(part.docs, columns=["id"], use_threads=False)["id"]
    return table if table["id"].equals(ids) else None  # row by row the documents of docs/, or not to be trusted


def _versions() -> dict[str, int]:
    from corpus.marks import VERSIONS

    return VERSIONS


def _intact(path: Path) -> bool:
    name = path.name.removesuffix(".keys.arrow")
    said = marked(path.with_name(f"{name}.done.json")).get("hashes", {}).get(path.name)
    return path.exists() and said == file_hash(path)
