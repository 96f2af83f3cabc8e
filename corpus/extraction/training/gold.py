"""Pages of a WARC file with what is known of their text: a whole gold text, snippets in and out of it, or nothing."""

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

import orjson
import zstandard
from fastwarc.warc import ArchiveIterator, WarcRecordType

from corpus.charset import decode
from corpus.extraction import ExtractionError

PAGES, GOLD = "web.warc.gz", "web_gold.jsonl.zst"


@dataclasses.dataclass(frozen=True)
class GoldPage:
    """`text` is None where no whole gold text is known."""

    id: str
    url: str
    html: str
    kind: str  # article | collection | documentation | forum | listing | product | service | "" where unknown
    text: str | None
    inside: tuple[str, ...]
    outside: tuple[str, ...]


def pages(folder: Path) -> Iterator[GoldPage]:
    """In the order of the archive; a page whose charset cannot be told is left out."""
    rows = {row["record_id"]: row for row in _rows(folder / GOLD)}
    with (folder / PAGES).open("rb") as file:
        for record in ArchiveIterator(file, record_types=WarcRecordType.response):
            row = rows.get(record.headers["WARC-Record-ID"])
            if row is None:
                continue
            said = (record.http_headers.get("Content-Type") or "") if record.http_headers else ""
            charset = said.partition("charset=")[2] or None
            try:
                html, _ = decode(record.reader.read(), charset)
            except ExtractionError:
                continue
            yield _page(row, html)


def _page(row: dict[str, object], html: str) -> GoldPage:
    def strings(key: str) -> tuple[str, ...]:
        value = row.get(key)
        return tuple(map(str, value)) if isinstance(value, list) else ()

    text = str(row["main_content"]) if row["gold_kind"] == "full_text" else None
    kind = str(row.get("page_type") or "")
    return GoldPage(str(row["record_id"]), str(row["url"]), html, kind, text, strings("with"), strings("without"))


def _rows(path: Path) -> Iterator[dict[str, object]]:
    with path.open("rb") as raw:
        for line in io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw)):
            yield orjson.loads(line)
