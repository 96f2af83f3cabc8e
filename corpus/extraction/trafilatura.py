"""The engine of record: trafilatura without its second opinions, comments and metadata.

`fast` skips the comparison with readability and justext, which costs a third of the time and lowers F1 on no page
kind that we measured (benchmarks/RESULTS.md).
"""

import functools
import importlib.metadata
import logging

import trafilatura
from trafilatura.settings import Extractor

from corpus.extraction import Extracted, ExtractionError, Page
from corpus.metadata import scan

# it reports each page without text as an error; here that is a ledger row
logging.getLogger("trafilatura").setLevel(logging.CRITICAL + 1)


@functools.cache
def version() -> str:
    return f"trafilatura {importlib.metadata.version('trafilatura')}"


@functools.cache
def _options() -> Extractor:
    return Extractor(output_format="txt", fast=True, comments=False, tables=True)


def extract(page: Page) -> Extracted:
    """One line per paragraph, list item and table row. Raises ExtractionError."""
    text = trafilatura.extract(page.html, options=_options())
    if not text:
        raise ExtractionError("no_text", "no main content found")
    meta = scan(page.html)
    return Extracted(text, meta.title, meta.author, meta.date, meta.site, meta.language_hint)
