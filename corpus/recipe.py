"""A build is one TOML recipe, parsed into frozen dataclasses that are its schema.

Every mistake is a `RecipeError` with the file, the key and what would be accepted, raised before any work starts.
"""

import dataclasses
import difflib
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import filters
from corpus import extraction, readers
from corpus.dedup import Settings as Dedup
from corpus.failures import Failure

EXTRACT = "extract"  # the word in `steps` before which filters see only the address


class RecipeError(Failure, ValueError):
    """A recipe that cannot be built."""

    status = 2


@dataclasses.dataclass(frozen=True)
class Source:
    """Where documents come from. Files of one source share its name, kind and licence."""

    name: str
    kind: str
    files: tuple[str, ...]
    license: str = ""
    keys: readers.Settings = readers.Settings()


@dataclasses.dataclass(frozen=True)
class Extract:
    """How pages become text."""

    engine: str = "blocks"  # a file of corpus/extraction, or a module by its dotted name
    format: Literal["text", "markdown"] = "text"  # of the text; not every engine has both
    seconds: float = 10.0  # longest time for one page; then it is a ledger row, `extract_timeout`
    quick_language: bool = False  # drop pages whose raw text is surely in another language before extraction
    quick_score: float = 0.8  # how sure


@dataclasses.dataclass(frozen=True)
class Write:
    """How work and output are cut."""

    split_mb: float = 4.0  # input bytes of one part, as stored
    row_group_rows: int = 10_000
    compression_level: int = 3
    wipe_out_share: float = 0.5  # a rule that removes more than this share of a source is named in the report


@dataclasses.dataclass(frozen=True)
class Corrections:
    """Signed corrections that the build obeys; see corrections.py. `build --corrections` sets it."""

    file: str = ""
    sha256: str = ""  # of the signed rows, filled in by the build


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A whole build. `steps` names filters and editors in order; each has a table of its own with its settings."""

    sources: tuple[Source, ...]
    steps: tuple[str, ...]
    extract: Extract = Extract()
    dedup: Dedup = Dedup()
    write: Write = Write()
    tombstones: tuple[str, ...] = ()  # runs and files whose documents, once taken down, stay out of this build too
    corrections: Corrections = Corrections()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # step name -> its filter or editor

    def fingerprint(self) -> str:
        """16 hex digits that change with any setting."""
        return digest(self.resolved())

    def resolved(self) -> dict[str, Any]:
        """Every setting with its value, defaults included, as plain data."""
        plain = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name != "settings"}
        if not self.corrections.file:  # a recipe without any is what it was before there were any
            del plain["corrections"]
        return plain | {name: _plain(step) for name, step in self.settings.items()}

    def filters(self) -> dict[str, filters.Filter]:
        return {name: step for name, step in self.settings.items() if isinstance(step, filters.Filter)}


def digest(value: Any) -> str:
    """16 hex digits of plain data, the same on every machine."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def load(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `a.b=value` overrides. Raises RecipeError."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such recipe") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from None
    for override in overrides:
        put(raw, override)
    return parse(raw, str(path))


def parse(raw: Mapping[str, Any], file: str) -> Recipe:
    """Plain data to a recipe. Raises RecipeError."""
    raw = dict(raw)
    steps = _convert(raw.get("steps", []), tuple[str, ...], file, "steps")
    _check_steps(steps, file)
    tables = {name: raw.pop(name, {}) for name in steps if name != EXTRACT}
    stray = [key for key in raw if key in filters.names()]
    if stray:
        raise RecipeError(f"{file}: [{stray[0]}] has settings but is not in `steps`")
    known = {"sources", "steps", "extract", "dedup", "write", "tombstones", "corrections"}
    for key in raw:
        if key not in known:
            raise RecipeError(f"{file}: unknown key {key!r}{_suggest(key, known | set(steps))}")
    settings = {name: _build(filters.find(name), table, file, name) for name, table in tables.items()}
    recipe = _build(Recipe, {**raw, "settings": settings}, file, "")
    _check_sources(recipe, file)
    return typing.cast(Recipe, recipe)


def _check_steps(steps: Sequence[str], file: str) -> None:
    accepted = {*filters.names(), EXTRACT}
    for name in steps:
        if name not in accepted:
            raise RecipeError(f"{file}: steps: unknown step {name!r}{_suggest(name, accepted)}")
        if list(steps).count(name) > 1:
            raise RecipeError(f"{file}: steps: {name!r} is listed twice")
    before = steps[: steps.index(EXTRACT)] if EXTRACT in steps else ()
    for name in before:
        needs = filters.find(name).needs
        if set(needs) - {"url"}:
            raise RecipeError(f"{file}: steps: {name!r} reads {', '.join(needs)}, so it must come after 'extract'")


def _check_sources(recipe: Recipe, file: str) -> None:
    if not recipe.sources:
        raise RecipeError(f"{file}: sources: at least one [[sources]] is needed")
    for source in recipe.sources:
        if source.kind not in readers.kinds():
            raise RecipeError(f"{file}: sources.kind: {source.kind!r}{_suggest(source.kind, readers.kinds())}")
        if not source.files:
            raise RecipeError(f"{file}: sources.files: {source.name!r} names no file")
    names = [source.name for source in recipe.sources]
    if len(set(names)) < len(names):
        raise RecipeError(f"{file}: sources.name: two sources have the same name")
    engine = recipe.extract.engine
    if "." not in engine and engine not in extraction.engines():
        raise RecipeError(f"{file}: extract.engine: {engine!r}{_suggest(engine, extraction.engines())}")
    if recipe.extract.format != "text" and recipe.extract.format not in extraction.formats(engine):
        raise RecipeError(f"{file}: extract.format: engine {engine!r} writes no {recipe.extract.format!r}")


def put(raw: dict[str, Any], override: str) -> None:
    """Set one key of a raw recipe from `a.b=value`; lists count from 0. Raises RecipeError."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {override}: expected key=value, for example quality.min_words=30")
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text  # an unquoted word is a string
    *tables, last = key.strip().split(".")
    table: Any = raw
    for name in tables:
        if isinstance(table, list) and name.isdigit() and int(name) < len(table):  # sources.0.files
            table = table[int(name)]
        elif isinstance(table, dict):
            table = table.setdefault(name, {})
        else:
            raise RecipeError(f"--set {override}: {name!r} names nothing here")
    if not isinstance(table, dict):
        raise RecipeError(f"--set {override}: {'.'.join(tables)!r} is not a table")
    table[last] = value


def _build(cls: type[Any], table: Any, file: str, at: str) -> Any:
    if not isinstance(table, Mapping):
        raise RecipeError(f"{file}: {at}: expected a table, found {table!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in table:
        if key not in fields:
            raise RecipeError(f"{file}: unknown key {_join(at, key)!r}{_suggest(key, fields)}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise RecipeError(f"{file}: {_join(at, name)}: this key is required")
    values = {key: _convert(value, hints[key], file, _join(at, key)) for key, value in table.items()}
    try:
        return cls(**values)
    except (ValueError, OSError) as error:
        raise RecipeError(f"{file}: {at or 'recipe'}: {error}") from None


def _convert(value: Any, kind: Any, file: str, at: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type[Any], kind), value, file, at)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(item, args[0], file, at) for item in value)
    if origin in (typing.Union, types.UnionType):
        inner = [arg for arg in args if arg is not type(None)]
        return None if value is None else _convert(value, inner[0], file, at)
    if origin is Literal:
        if value not in args:
            raise RecipeError(f"{file}: {at}: {value!r} is not one of {', '.join(map(repr, args))}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = origin or kind
    if plain is Mapping or (isinstance(plain, type) and issubclass(plain, Mapping)):
        return value
    if not isinstance(plain, type) or not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        name = "a list" if origin is tuple else getattr(kind, "__name__", str(kind))
        raise RecipeError(f"{file}: {at}: expected {name}, found {value!r}")
    return value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _suggest(word: str, accepted: typing.Iterable[str]) -> str:
    accepted = sorted(accepted)
    close = difflib.get_close_matches(word, accepted, 1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{meant}; accepted: {', '.join(accepted)}"
