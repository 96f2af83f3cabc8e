"""Readers: bytes of a file to records. One file per kind; the directory listing is the registry.

warc      WARC, ARC and WET records, plain or gzip, one split per range of bytes
html      folders of HTML files, one record per file
jsonl     JSON lines, plain, .gz or .zst
parquet   Parquet row groups
text      plain text and Gutenberg books, one record per file
epub      EPUB books, chapters in the order of the spine
wiki      dumps of MediaWiki, one record per page, plain or compressed

Every reader is a module with two functions:

    splits(path, size, target_bytes) -> list[Split]     cheap: looks at the name, the size, a footer at most
    read(split, settings) -> Iterator[Record]           streams; memory does not grow with the file

A record that cannot be read is yielded with `failure` set; a reader raises only for a file that is not there.
"""

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol


@dataclasses.dataclass(frozen=True, order=True)
class Split:
    """A part of one file that a worker reads in one go: records that begin in bytes [start, end)."""

    path: str
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to read a source: which keys or columns hold what."""

    text_key: str = "text"
    url_key: str = "url"
    title_key: str = "title"
    date_key: str = "date"
    id_key: str = "id"
    license_key: str = "license"
    turns_key: str = "messages"  # a list of {role, content}; rendered to text where there is no text
    max_record_bytes: int = 16 << 20  # a larger record is a ledger row: measuring takes some 30 times its bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Wikitext:
    """A page as its authors wrote it. `unseen` names in lower case the namespaces whose links show no text."""

    source: str
    unseen: frozenset[str] = frozenset({"file", "image", "media", "category"})


@dataclasses.dataclass(slots=True)
class Record:
    """One thing read: raw HTML (`html`), wikitext, or text that needs no extraction (`text`), or a failure."""

    position: int  # byte offset, line or row: with the path it finds the record again
    url: str | None = None
    origin: str | None = None  # what tells it from others when there is no URL (a key, a file name); part of the id
    html: bytes | None = None
    wikitext: Wikitext | None = None
    charset: str | None = None  # from the HTTP header
    text: str | None = None
    title: str | None = None
    author: str | None = None
    date: str | None = None
    language_hint: str | None = None
    license: str | None = None
    media_type: str | None = None
    turns: list[dict[str, str]] | None = None
    chapters: list[tuple[str, int, int]] | None = None  # title, start, end in the text after `edits`
    extra: dict[str, Any] | None = None
    edits: list[tuple[str, int, int, str]] | None = None  # rule, start, end, replacement on `text`, ascending
    repairs: int = 0  # characters that the reader's own normalisation changed
    failure: tuple[str, str] | None = None  # reason, detail
    num_bytes: int = dataclasses.field(default=0, compare=False)  # as read, where that may be more than html or text


class Reader(Protocol):
    def splits(self, path: str, size: int, target_bytes: int) -> list[Split]: ...
    def read(self, split: Split, settings: Settings) -> Iterator[Record]: ...


def kinds() -> list[str]:
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def reader(kind: str) -> Reader:
    return importlib.import_module(f"corpus.readers.{kind}")
