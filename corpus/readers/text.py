"""Plain text, Gutenberg's books among it: one record per file.

The text is normalised here, before the licence is found and chapters are counted, so that positions stay true when
the caller normalises it again (which changes nothing).
"""

from collections.abc import Iterator
from pathlib import PurePath

from corpus import charset, files
from corpus.extraction import ExtractionError
from corpus.normalise import normalise
from corpus.readers import Record, Settings, Split
from corpus.readers._chapters import chapters
from corpus.readers._compressed import ERRORS, inflated
from corpus.readers._gutenberg import body, header


def splits(path: str, size: int, target_bytes: int) -> list[Split]:
    """One split: a book is never cut."""
    return [Split(path, 0, size)]


def read(split: Split, settings: Settings) -> Iterator[Record]:
    """The file as one text. `edits` cut the licence around a Gutenberg book; `chapters` count in what is left."""
    if split.start:
        return
    record = Record(0, origin=PurePath(split.path).name, media_type="text/plain")
    try:
        data = _bytes(split.path, settings.max_record_bytes)
        if len(data) > settings.max_record_bytes:
            record.failure = ("too_large", f"more than {settings.max_record_bytes} bytes")
        else:
            _fill(record, data)
    except ExtractionError as error:
        record.failure = (error.reason, error.detail)
    except FileNotFoundError:
        raise
    except ERRORS as error:
        record.failure = ("broken_record", str(error))
    yield record


def _bytes(path: str, max_bytes: int) -> bytes:
    with files.open_binary(path) as file:
        return (inflated(file) or file).read(max_bytes + 1)


def _fill(record: Record, data: bytes) -> None:
    text, record.charset = charset.decode(data)
    text, record.repairs = normalise(text)
    if not text:
        record.failure = ("no_text", "the file is empty")
        return
    record.text = text
    start, end = body(text)
    if start < end:
        record.edits = _edits(start, end, len(text)) or None
        text = text[start:end]
    if record.edits:
        about = header(record.text)
        record.title, record.author = about.title, about.author
        record.date, record.language_hint = about.date, about.language_hint
    record.chapters = chapters(text) or None


def _edits(start: int, end: int, length: int) -> list[tuple[str, int, int, str]]:
    spans = [("gutenberg_header", 0, start, ""), ("gutenberg_footer", end, length, "")]
    return [edit for edit in spans if edit[1] < edit[2]]
