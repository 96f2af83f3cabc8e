"""A WARC or ARC file cut in byte ranges: which records begin in a range, wherever the cuts are.

The law that any splitting gives the same records rests on one rule: a *unit* (a gzip member, or a plain record)
begins where `begins` says so, which depends on the bytes at that place only. Bytes between units are reported by the
range that holds the unit before them. An uncompressed file that holds another WARC verbatim can break the rule.
"""

import abc
import io
import re
from collections.abc import Generator, Iterator
from typing import BinaryIO, cast

from corpus.readers._archive_records import ARC_LINE, WARC_HEAD, Block, Blocks, begins_record
from corpus.readers._gzip_members import MemberStream, Window, is_boundary, next_boundary, whole_member

PLAIN_HEAD = re.compile(rb"(?<=\n)(?:" + WARC_HEAD.pattern + rb"|(?i:" + ARC_LINE.pattern + rb"))")
HEAD_BYTES = 8192  # more than the longest match of PLAIN_HEAD
STEP = 1 << 20


class Units(abc.ABC):
    def __init__(self, file: BinaryIO, wanted: frozenset[str], max_bytes: int) -> None:
        self.window, self.wanted, self.max_bytes = Window(file), wanted, max_bytes

    @abc.abstractmethod
    def begins(self, position: int) -> bool:
        """Whether a unit begins here."""

    @abc.abstractmethod
    def next(self, start: int, end: int) -> int | None:
        """The first unit that begins in [start, end)."""

    @abc.abstractmethod
    def run(self, position: int, end: int) -> Generator[Block, None, int | None]:
        """The records of a unit, or of several; returns where the next one begins."""

    def records(self, start: int, end: int) -> Iterator[Block]:
        """The records that begin in [start, end), broken ones among them, in order."""
        position = self.next(start, end)
        if start == 0 and position != 0 and self.window.size:
            yield Block(0, broken=self._junk(0))
        while position is not None and position < end:
            position = yield from self.run(position, end)

    def _junk(self, position: int) -> str:
        return f"no record begins with {self.window.view(position, 16)!r}"


class GzipUnits(Units):
    """A record's position is that of its member, plus its offset within for one that is not the member's first."""

    def begins(self, position: int) -> bool:
        return is_boundary(self.window, position, begins_record)

    def next(self, start: int, end: int) -> int | None:
        return next_boundary(self.window, start, end, begins_record)

    def run(self, position: int, end: int) -> Generator[Block, None, int | None]:
        behind = yield from self._unit(position)
        if behind is None:  # damaged or cut off: go on with the next member that can be found
            return self.next(position + 1, end)
        if behind >= self.window.size or self.begins(behind):
            return behind
        yield Block(behind, broken=self._junk(behind))
        return self.next(behind + 1, end)

    def _unit(self, position: int) -> Generator[Block, None, int | None]:
        whole = whole_member(self.window, position, self.max_bytes)
        if whole:
            content, behind = whole
            blocks = list(Blocks(cast(BinaryIO, io.BytesIO(content)), self.wanted, self.max_bytes))
            if blocks and not blocks[-1].broken:
                yield from _moved(blocks, position)
                return behind
        raw = MemberStream(self.window, position, begins_record)
        stream = Blocks(cast(BinaryIO, io.BufferedReader(raw, 1 << 17)), self.wanted, self.max_bytes)
        yield from _moved(stream, position)
        while stream.failed and not stream.dead and stream.resync():
            yield from _moved(stream, position)
        return None if stream.dead else raw.end


class PlainUnits(Units):
    """Uncompressed: a unit is a record."""

    def begins(self, position: int) -> bool:
        before = self.window.view(position - 1, 1) if position else b"\n"
        return before == b"\n" and PLAIN_HEAD.match(b"\n" + self.window.view(position, HEAD_BYTES), 1) is not None

    def next(self, start: int, end: int) -> int | None:
        while start < end:
            before = self.window.view(start - 1, 1) if start else b"\n"
            data = before + self.window.view(start, STEP + HEAD_BYTES)
            found = PLAIN_HEAD.search(data, 1)
            if found and found.start() <= STEP:
                place = start + found.start() - 1
                return place if place < end else None
            start += STEP
        return None

    def run(self, position: int, end: int) -> Generator[Block, None, int | None]:
        self.window.file.seek(position)
        for block in _moved(Blocks(self.window.file, self.wanted, self.max_bytes), position):
            if block.offset >= end and (not block.broken or self.begins(block.offset)):
                return None
            yield block
            if block.broken:
                return self.next(block.offset + 1, end)
        return None


class StreamUnits(Units):
    """A stream that cannot be cut (zstd, lz4): positions are those in the inflated stream."""

    def __init__(self, stream: BinaryIO, wanted: frozenset[str], max_bytes: int) -> None:
        self.blocks = Blocks(stream, wanted, max_bytes)

    def begins(self, position: int) -> bool:
        return position == 0

    def next(self, start: int, end: int) -> int | None:
        return None

    def run(self, position: int, end: int) -> Generator[Block, None, int | None]:
        yield from self.blocks
        while self.blocks.failed and not self.blocks.dead and self.blocks.resync():
            yield from self.blocks
        return None

    def records(self, start: int, end: int) -> Iterator[Block]:
        if start == 0:
            yield from self.run(0, end)


def _moved(blocks: "Blocks | list[Block]", position: int) -> Iterator[Block]:
    for block in blocks:
        block.offset += position
        yield block
