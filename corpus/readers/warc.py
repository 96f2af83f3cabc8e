"""WARC, ARC and WET files: crawled responses as HTML, or as text where they are text already.

Only `response`, `resource` and `conversion` records are documents; the others are skipped without a word.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, cast

from fastwarc.stream_io import Lz4Reader, ZstdReader

from corpus import charset, files
from corpus.extraction import ExtractionError
from corpus.readers import Record, Settings, Split
from corpus.readers._archive_records import Block
from corpus.readers._archive_units import GzipUnits, PlainUnits, StreamUnits, Units
from corpus.readers._http import is_http, media, response

DOCUMENTS = frozenset({"response", "resource", "conversion"})
HTML = frozenset({"text/html", "application/xhtml+xml"})
WHOLE = {b"\x28\xb5\x2f\xfd": ZstdReader, b"\x04\x22\x4d\x18": Lz4Reader}
UNKNOWN_TYPES = frozenset({"", "no-type", "unk", "unknown/unknown"})  # what ARC and old crawlers wrote for "none"


def splits(path: str, size: int, target_bytes: int) -> list[Split]:
    """Byte ranges of `target_bytes`; one split for zstd and lz4, which cannot be entered in the middle."""
    if path.endswith((".zst", ".lz4")) or size <= target_bytes:
        return [Split(path, 0, size)]
    return [Split(path, start, min(start + target_bytes, size)) for start in range(0, size, target_bytes)]


def read(split: Split, settings: Settings) -> Iterator[Record]:
    """Records that begin in the range. Memory: the largest record, at most `max_record_bytes`, a few times over."""
    with files.open_binary(split.path) as file:
        for block in _units(file, settings).records(split.start, split.end):
            if block.broken is not None:
                yield Record(block.offset, failure=("broken_record", block.broken))
            elif block.kind in DOCUMENTS and not (block.url or "").startswith("dns:"):
                yield _record(block, settings)


def _units(file: BinaryIO, settings: Settings) -> Units:
    magic = file.read(4)
    file.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return GzipUnits(file, DOCUMENTS, settings.max_record_bytes)
    if inflate := WHOLE.get(magic):
        raw = _Inflated(inflate(file))
        stream = cast(BinaryIO, io.BufferedReader(raw, 1 << 17))
        return StreamUnits(stream, DOCUMENTS, settings.max_record_bytes)
    return PlainUnits(file, DOCUMENTS, settings.max_record_bytes)


class _Inflated(io.RawIOBase):
    """fastwarc's readers have no `readline`."""

    def __init__(self, reader: ZstdReader | Lz4Reader) -> None:
        self.reader = reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.reader.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _record(block: Block, settings: Settings) -> Record:
    record = Record(block.offset, url=block.url, date=block.date)
    if block.body is None:
        record.failure = ("too_large", f"{block.length} bytes")
    elif is_http(block.body) and block.kind != "conversion":
        _fill_from_http(record, block.body, settings)
    else:
        record.media_type, record.charset = media(block.content_type)
        _fill(record, block.body)
        record.language_hint = block.language
    return record


def _fill_from_http(record: Record, block: bytes, settings: Settings) -> None:
    http = response(block, settings.max_record_bytes)
    record.media_type, record.charset = http.media_type, http.charset
    if http.status != 200:
        record.failure = ("http_status", str(http.status))
    elif len(http.body) > settings.max_record_bytes:
        record.failure = ("too_large", f"more than {settings.max_record_bytes} bytes when decoded")
    else:
        _fill(record, http.body)


def _fill(record: Record, body: bytes) -> None:
    if record.media_type in UNKNOWN_TYPES and body.lstrip()[:1] == b"<":
        record.media_type = "text/html"
    if record.media_type in HTML:
        record.html = body
    elif record.media_type == "text/plain":
        try:
            record.text, record.charset = charset.decode(body, record.charset)
        except ExtractionError as error:
            record.failure = (error.reason, error.detail)
    else:
        record.failure = ("not_html", record.media_type or "")
