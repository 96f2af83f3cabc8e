"""Folders of HTML files: one record per file."""

from collections.abc import Iterator
from pathlib import PurePath

from corpus import files
from corpus.readers import Record, Settings, Split


def splits(path: str, size: int, target_bytes: int) -> list[Split]:
    """One split: a page is never cut. The caller bundles small files."""
    return [Split(path, 0, size)]


def read(split: Split, settings: Settings) -> Iterator[Record]:
    """The file's bytes as HTML; `origin` is its path as it was found."""
    if split.start:
        return
    record = Record(0, origin=PurePath(split.path).name, media_type="text/html")
    try:
        with files.open_binary(split.path) as file:
            html = file.read(settings.max_record_bytes + 1)
    except (PermissionError, IsADirectoryError) as error:
        record.failure = ("broken_record", str(error))
    else:
        if len(html) > settings.max_record_bytes:
            record.failure = ("too_large", f"more than {settings.max_record_bytes} bytes")
        else:
            record.html = html
    yield record
