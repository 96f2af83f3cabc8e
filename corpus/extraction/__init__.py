"""Extraction engines: the bytes of a page to its main text. One file per engine; the directory listing is the registry.

trafilatura   the engine of record
fast          resiliparse, several times faster

Every engine is a module with `version() -> str` and `extract(page) -> Extracted`. An engine raises
`ExtractionError(reason, detail)` for a page it cannot use; the caller guards time and crashes.
"""

import dataclasses
import importlib
from pathlib import Path
from typing import Protocol


@dataclasses.dataclass(slots=True)
class Page:
    """`html` is decoded text; `charset` is what it was decoded with."""

    html: str
    url: str | None
    charset: str


@dataclasses.dataclass(slots=True)
class Extracted:
    text: str
    title: str | None = None
    author: str | None = None
    date: str | None = None
    site: str | None = None
    language_hint: str | None = None


class ExtractionError(Exception):
    """`reason` is a ledger reason such as `no_text`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason
        self.detail = detail


class Engine(Protocol):
    def version(self) -> str: ...
    def extract(self, page: Page) -> Extracted: ...


def engines() -> list[str]:
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def engine(name: str) -> Engine:
    """An engine of this folder, or any importable module by its dotted name."""
    return importlib.import_module(name if "." in name else f"corpus.extraction.{name}")
