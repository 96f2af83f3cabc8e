"""Extraction engines: the bytes of a page to its main text. One file per engine; the directory listing is the registry.

blocks        learned: the most exact, and several times faster than trafilatura
trafilatura   rules, the baseline
fast          resiliparse, the fastest
learned/      what `blocks` is made of
training/     how its model is made: python -m corpus.extraction train
wikitext/     pages of wikis, which are no HTML: used for every source of kind `wiki`, whatever the engine

Every engine is a module with `version() -> str` and `extract(page) -> Extracted`; `FORMATS`, if it can write more
than plain text; and `warm()`, if there is something to load or compile before the first page. An engine raises
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
    format: str = "text"  # or "markdown", if it is among the engine's FORMATS


@dataclasses.dataclass(slots=True)
class Extracted:
    text: str
    title: str | None = None
    author: str | None = None
    date: str | None = None
    site: str | None = None
    language_hint: str | None = None
    description: str | None = None
    confidence: float | None = None  # the engine's own estimate of its text's F1


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


def formats(name: str) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(engine(name), "FORMATS", ("text",))
    return found


def engine(name: str) -> Engine:
    """An engine of this folder, or any importable module by its dotted name."""
    return importlib.import_module(name if "." in name else f"corpus.extraction.{name}")
