"""JSON lines: one object per line, plain or compressed."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from corpus import files
from corpus.readers import Record, Settings, Split
from corpus.readers._compressed import ERRORS, SUFFIXES, inflated
from corpus.readers._fields import record_of, without_surrogates

BOM = b"\xef\xbb\xbf"
SKIP = 1 << 20


def splits(path: str, size: int, target_bytes: int) -> list[Split]:
    """Byte ranges of `target_bytes`; one split for a compressed file."""
    if path.endswith(SUFFIXES) or size <= target_bytes:
        return [Split(path, 0, size)]
    return [Split(path, start, min(start + target_bytes, size)) for start in range(0, size, target_bytes)]


def read(split: Split, settings: Settings) -> Iterator[Record]:
    """Lines that begin in the range. `position` is the byte offset of the line, or its number when compressed.

    Empty lines are no records. Memory: one line, at most `max_record_bytes`.
    """
    with files.open_binary(split.path) as file:
        stream = inflated(file)
        if stream is None:
            yield from _plain(file, split, settings)
        elif split.start == 0:  # whatever its name said
            yield from _compressed(stream, settings)


def _plain(file: BinaryIO, split: Split, settings: Settings) -> Iterator[Record]:
    position = _next_line(file, split.start)
    while position < split.end:
        line, length = _line(file, settings.max_record_bytes)
        if not length:
            return
        if line is None or line.strip():
            yield _record(line, length, position, settings)
        position += length


def _compressed(stream: BinaryIO, settings: Settings) -> Iterator[Record]:
    number = 0
    while True:
        try:
            line, length = _line(stream, settings.max_record_bytes)
        except ERRORS as error:
            yield Record(number, failure=("broken_record", f"cannot inflate: {error}"))
            return
        if not length:
            return
        if line is None or line.strip():
            yield _record(line, length, number, settings)
        number += 1


def _next_line(file: BinaryIO, start: int) -> int:
    """Where the first line at or behind `start` begins; leaves the file there."""
    file.seek(max(0, start - 1))
    if start:
        while (part := file.readline(SKIP)) and not part.endswith(b"\n"):
            pass
    return file.tell()


def _line(file: BinaryIO, max_bytes: int) -> tuple[bytes | None, int]:
    """The line and its length, 0 at the end of the file; None in place of a line that is too long."""
    line = file.readline(max_bytes + 1)
    length = len(line)
    if length <= max_bytes:
        return line, length
    while line and not line.endswith(b"\n"):
        line = file.readline(SKIP)
        length += len(line)
    return None, length


def _record(line: bytes | None, length: int, position: int, settings: Settings) -> Record:
    if line is None:
        return Record(position, failure=("too_large", f"{length} bytes"))
    try:
        row = _parse(line.removeprefix(BOM) if position == 0 else line)
    except UnicodeDecodeError as error:
        return Record(position, failure=("bad_encoding", str(error)))
    except (ValueError, RecursionError) as error:
        return Record(position, failure=("broken_record", str(error)))
    if not isinstance(row, dict):
        return Record(position, failure=("broken_record", f"{type(row).__name__} in place of an object"))
    record = record_of(row, position, settings)
    record.num_bytes = length
    return record


def _parse(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # orjson refuses lone surrogates, NaN and broken UTF-8 alike; the slow parser tells them apart
        return without_surrogates(json.loads(line.decode("utf-8")))
