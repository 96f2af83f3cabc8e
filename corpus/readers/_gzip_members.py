"""Gzip members of a big file: where they begin, and what they inflate to.

A WARC keeps one gzip member per record so that it can be cut anywhere. fastwarc inflates twice as fast as zlib but
says neither where a member ends nor that it was cut off, so it does the common case and zlib all others.
"""

import io
import zlib
from collections.abc import Callable
from typing import BinaryIO

from fastwarc.stream_io import GzipReader

MAGIC = b"\x1f\x8b\x08"
WINDOW = 1 << 20
MAX_MEMBER = 8 << 20  # compressed bytes of a member that is inflated in one go; web pages have 20 to 100 kB
MAX_TRIES = 8  # the magic occurs by chance within one member of a thousand
HEADER = 18  # the shortest member
PROBE = 4096  # inflated bytes that tell the beginning of a record

Accepts = Callable[[bytes], bool]


class Window:
    """A file of bytes seen through a moving buffer: random access in order of position costs one read per MB."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = file.seek(0, io.SEEK_END)
        self.base = 0
        self.buffer = b""

    def view(self, position: int, num_bytes: int) -> bytes:
        """Up to `num_bytes` from `position`; fewer at the end of the file."""
        start = position - self.base
        if start < 0 or (start + num_bytes > len(self.buffer) and self.base + len(self.buffer) < self.size):
            self.file.seek(position)
            self.buffer = self.file.read(max(WINDOW, num_bytes))
            self.base, start = position, 0
        return self.buffer[start : start + num_bytes]

    def find(self, needle: bytes, start: int, end: int) -> int:
        """Position of the first `needle` that begins in [start, end), or -1."""
        end = min(end, self.size - len(needle) + 1)
        while start < end:
            self.view(start, len(needle))  # now the needle, and whatever else was read, is in the buffer
            offset = start - self.base
            found = self.buffer.find(needle, offset, end - self.base + len(needle) - 1)
            if found >= 0:
                return self.base + found
            start = min(end, self.base + len(self.buffer) - len(needle) + 1)
        return -1


def is_boundary(window: Window, position: int, accepts: Accepts) -> bool:
    """Whether a member begins at `position` whose content begins a record."""
    data = window.view(position, PROBE)
    if not data.startswith(MAGIC):
        return False
    try:
        return accepts(zlib.decompressobj(31).decompress(data, PROBE))
    except zlib.error:
        return False


def next_boundary(window: Window, start: int, end: int, accepts: Accepts) -> int | None:
    """The first boundary in [start, end)."""
    while (start := window.find(MAGIC, start, end)) >= 0:
        if is_boundary(window, start, accepts):
            return start
        start += 1
    return None


def whole_member(window: Window, position: int, max_bytes: int) -> tuple[bytes, int] | None:
    """A member's content and the position behind it; None if it is large, broken or cut off (see `MemberStream`)."""
    end = position
    limit = min(window.size, position + MAX_MEMBER)
    for _ in range(MAX_TRIES):
        found = window.find(MAGIC, max(end + 1, position + HEADER), limit)
        end = found if found >= 0 else limit
        member = window.view(position, end - position)
        try:
            content: bytes = GzipReader(io.BytesIO(member)).read(max_bytes + 1)
        except OSError:
            content = b""
        # the last four bytes are the inflated length; without them a member that ends too soon would pass
        if content and len(content) <= max_bytes and len(content) == int.from_bytes(member[-4:], "little"):
            return content, end
        if end == limit:
            break
    return None


class MemberStream(io.RawIOBase):
    """Inflates from `position` on, over members that continue a record, up to the next boundary.

    Tools such as bgzip cut members anywhere. After the end, `end` is the position behind the last member, or None if
    the stream was cut off. Raises zlib.error for damaged bytes.
    """

    def __init__(self, window: Window, position: int, accepts: Accepts) -> None:
        self.window, self.position, self.accepts = window, position, accepts
        self.inflater = zlib.decompressobj(31)
        self.pending = b""
        self.end: int | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while self.end is None:
            data = self.pending or self._compressed()
            if not data:
                return 0
            out = self.inflater.decompress(data, len(buffer))
            self.pending = self.inflater.unconsumed_tail
            if self.inflater.eof:
                self._next_member()
            if out:
                buffer[: len(out)] = out
                return len(out)
        return 0

    def _compressed(self) -> bytes:
        data = self.window.view(self.position, 1 << 16)
        self.position += len(data)
        return data

    def _next_member(self) -> None:
        self.position -= len(self.inflater.unused_data)
        at, self.pending = self.position, b""
        if self.window.view(at, 3) == MAGIC and not is_boundary(self.window, at, self.accepts):
            self.inflater = zlib.decompressobj(31)
        else:
            self.end = at
