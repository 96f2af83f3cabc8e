"""A finished run as DuckDB views: every question about a corpus is asked of these, and of nothing else.

The connection can read the files of that one run. It cannot write, reach the network or load extensions, so a query
from anyone may run in it.
"""

import functools
import json
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from corpus import recipe as recipes
from corpus import schema
from corpus.failures import Failure
from corpus.recipe import Recipe

# View -> what one row is. The first five are folders of the run.
VIEWS = {
    "docs": "kept documents",
    "ledger": "rejected documents, with every rule that fired",
    "signals": "every document read, kept or not, with what each filter measured",
    "duplicates": "documents rejected as copies, and what they are copies of",
    "edits": "spans that were cut or replaced",
    "fates": "every document read: kept, or the first reason why not (columns of all of the above, without text)",
}
FOLDERS = tuple(VIEWS)[:5]
MEMORY = "800MB"  # for DuckDB, which would take four fifths of the machine; past that it spills

# The same id is the same content, so it has one length however often it was read.
_FATES = """
create view fates as
select told.*, domain_of(url) as domain, measured.words, measured.chars
from (
    select id, source, url, lang, provenance.file as file, true as kept,
        null::varchar as stage, null::varchar as step, null::varchar as reason
    from docs
    union all
    select id, source, url, lang, provenance.file, false,
        stage, case stage when 'filter' then hits[1]."filter" else stage end, reason
    from ledger
) told
left join (select id, any_value(words) as words, any_value(chars) as chars from signals group by id) measured using (id)
"""
_DOMAIN_OF = r"""
create macro domain_of(url) as
nullif(regexp_extract(lower(url), '^[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?(?:www\.)?([^/:?#]+)', 1), '')
"""


class NotARun(Failure, OSError):
    """A folder that cannot be asked; the message is one line for the user."""


class Run:
    """A run folder, opened. Close it, or use it in a `with`."""

    def __init__(self, path: Path, unfinished: bool = False) -> None:
        """Raises NotARun; also where a takedown was broken off, unless `unfinished`."""
        self.path = path
        self.manifest = _manifest(path)
        if not unfinished and self.tombstones != self.manifest.get("tombstones", ""):
            raise NotARun(f"{path}: a takedown is not finished; `python -m corpus remove {path}` goes on with it")
        self.db = _connect(self.files())

    @functools.cached_property
    def recipe(self) -> Recipe:
        """What the run was built with. Raises RecipeError where a filter has changed since."""
        return recipes.parse(self.settings, str(self.path / "recipe.json"))

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting of the recipe as plain data."""
        return _json(self.path / "recipe.json")

    @property
    def tombstones(self) -> str:
        """What the run's own tombstones are now; the manifest says what they were when it was written."""
        if not (self.path / "tombstones.json").exists():
            return ""
        from corpus.tombstones import load  # loads the kernels: only where there are some

        return load(self.path).digest

    @property
    def timing(self) -> dict[str, Any]:
        """Seconds per stage; empty where the run's stages were removed."""
        try:
            return _json(self.path / "stages" / "timing.json")
        except NotARun:
            return {}

    def files(self) -> dict[str, list[str]]:
        """The Parquet files of each folder. Raises NotARun where one is missing."""
        found: dict[str, list[str]] = {}
        for folder in FOLDERS:
            paths = [self.path.absolute() / folder / f"part-{part}.parquet" for part in self.manifest["parts"]]
            missing = [path for path in paths if not path.exists()]
            if missing:
                raise NotARun(f"{self.path}: {folder}/{missing[0].name} is missing; the same build command restores it")
            found[folder] = [str(path) for path in paths]
        return found

    def rows(self, query: str, parameters: object = None) -> list[dict[str, Any]]:
        """Rows of a query as dictionaries."""
        result = self.db.execute(query, parameters)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.db.close()


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise NotARun(f"{path}: there is no such folder")
    if not (path / "manifest.json").exists():
        begun = (path / "recipe.json").exists()
        hint = "the same build command finishes it" if begun else "it has no manifest.json"
        raise NotARun(f"{path}: no finished run; {hint}")
    manifest = _json(path / "manifest.json")
    if manifest.get("schema") != schema.VERSION:
        raise NotARun(
            f"{path}: written with schema {manifest.get('schema')}, this Winnow reads {schema.VERSION}; build it again"
        )
    return manifest


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotARun(f"{path}: is missing") from None
    except ValueError as error:
        raise NotARun(f"{path}: not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise NotARun(f"{path}: not a JSON object")
    return found


def _connect(files: dict[str, list[str]]) -> duckdb.DuckDBPyConnection:
    offline = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    db = duckdb.connect(config={**offline, "allow_community_extensions": False})
    # The default spills into the current folder.
    db.execute(f"set memory_limit = {literal(MEMORY)}")
    db.execute(f"set temp_directory = {literal(tempfile.gettempdir() + '/winnow-duckdb')}")
    db.execute(_DOMAIN_OF)
    for folder, paths in files.items():
        db.execute(f"create view {folder} as select * from {parquet(paths)}")
    db.execute(_FATES)
    db.execute(f"set allowed_paths = {_list([path for paths in files.values() for path in paths])}")
    db.execute("set enable_external_access = false")
    db.execute("set lock_configuration = true")
    return db


def parquet(paths: list[str], options: str = "") -> str:
    """A table of DuckDB over some Parquet files."""
    return f"read_parquet({_list(paths)}{options})"


def _list(items: list[str]) -> str:
    return "[" + ", ".join(map(literal, items)) + "]"


def literal(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"
