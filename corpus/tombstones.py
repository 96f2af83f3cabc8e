"""What must stay out of a corpus for ever: documents that were taken down, by id, address and text.

A run keeps its own in `tombstones.json`; a recipe may name those of other runs. A build obeys both right after
extraction, so the text goes no further. Only hashes of a text are kept here, never the text.
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpus.dedup.keys import exact_hashes, normalised_url
from corpus.failures import Failure
from corpus.parts import write_json
from corpus.recipe import digest

FILE = "tombstones.json"
_KEYS = ("id", "url", "text", "reason")


class BadTombstones(Failure, ValueError):
    """A file of tombstones that cannot be obeyed."""

    status = 2


@dataclasses.dataclass(frozen=True, order=True)
class Tombstone:
    """A document stays out when its id, its address or its text is the one named here; empty names nothing."""

    id: str = ""
    url: str = ""  # as `address` gives it: every page there, now and later
    text: str = ""  # 32 hex digits: `text_hash` of the text before edits
    reason: str = ""

    @property
    def names(self) -> tuple[str, str, str]:
        return self.id, self.url, self.text


class Tombstones:
    """Some tombstones, ready to be asked."""

    def __init__(self, stones: Iterable[Tombstone] = ()) -> None:
        first: dict[tuple[str, str, str], Tombstone] = {}
        for stone in stones:  # the reason that was given first stays
            first.setdefault(stone.names, stone)
        self.stones = tuple(sorted(first.values()))
        self._reasons: dict[str, dict[str, str]] = {}
        for key in ("id", "url", "text"):
            named = {getattr(stone, key): stone.reason for stone in reversed(self.stones)}
            self._reasons[key] = {name: reason for name, reason in named.items() if name}

    def __add__(self, other: "Tombstones") -> "Tombstones":
        return Tombstones((*self.stones, *other.stones))

    def __bool__(self) -> bool:
        return bool(self.stones)

    @property
    def digest(self) -> str:
        """Changes with any tombstone; empty without one."""
        return digest([dataclasses.astuple(stone) for stone in self.stones]) if self.stones else ""

    def named(self, key: str) -> set[str]:
        """The ids, addresses (`url`) or text hashes that are named."""
        return set(self._reasons[key])

    def reason(self, stone: Tombstone) -> str | None:
        """Why a document with these names stays out; None where nothing says so."""
        for key in ("id", "url", "text"):
            found = self._reasons[key].get(getattr(stone, key))
            if found is not None:
                return found
        return None

    def hit(self, rows: pa.Table) -> dict[int, Tombstone]:
        """Which rows of a table (id, url, text) must stay out: row -> its names and the reason. Only rows with text."""
        if not self.stones or not rows.num_rows:
            return {}
        with_text = pc.is_valid(rows["text"]).to_pylist()
        urls = [address(url) for url in rows["url"].to_pylist()] if self._reasons["url"] else [""] * rows.num_rows
        texts = text_hashes(rows["text"]) if self._reasons["text"] else [""] * rows.num_rows
        found: dict[int, Tombstone] = {}
        for row, names in enumerate(zip(rows["id"].to_pylist(), urls, texts, strict=True)):
            reason = self.reason(Tombstone(*names)) if with_text[row] else None
            if reason is not None:
                found[row] = Tombstone(*names, reason)
        return found


def address(url: str | None) -> str:
    """The address by which pages are compared; a path or name that is none stands for itself."""
    return normalised_url(url) or url or ""


def text_hashes(text: Any) -> list[str]:
    """Hex hashes of texts, blind to case and white space; empty for blank and null."""
    return [found.hex() if found else "" for found in exact_hashes(text).to_pylist()]


def load(path: Path) -> Tombstones:
    """A run's or a file's tombstones; none where a run has none. Raises BadTombstones."""
    file = path / FILE if path.is_dir() else path
    if not file.exists():
        if path.is_dir():
            return Tombstones()
        raise BadTombstones(f"{path}: there is no such run or file of tombstones")
    try:
        listed = json.loads(file.read_text("utf-8"))["tombstones"]
        return Tombstones(_stone(item) for item in listed)
    except (ValueError, KeyError, TypeError) as error:
        told = 'expected {"tombstones": [{"id" or "url" or "text": ..., "reason": ...}]}'
        raise BadTombstones(f"{file}: {told}: {error}") from None


def _stone(item: dict[str, str]) -> Tombstone:
    if set(item) - set(_KEYS) or not all(isinstance(value, str) for value in item.values()):
        raise ValueError(f"{item!r}")
    stone = Tombstone(**item)
    if not any(stone.names):
        raise ValueError(f"{item!r} names nothing")
    return dataclasses.replace(stone, url=address(stone.url))


def save(path: Path, stones: Tombstones) -> None:
    """Write them where `load` finds them."""
    told = [{key: value for key, value in dataclasses.asdict(stone).items() if value} for stone in stones.stones]
    write_json(path, {"tombstones": told})


def obeyed(run: Path, named: Sequence[str]) -> Tombstones:
    """What a build into `run` obeys: its own, and those of the runs and files that its recipe names."""
    return sum((load(Path(path)) for path in named), load(run) if run.is_dir() else Tombstones())
