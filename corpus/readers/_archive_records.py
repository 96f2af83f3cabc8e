"""Heads and bodies of WARC and ARC records in a stream of inflated bytes.

fastwarc reads no ARC, and where a record is broken it raises without a position, so the framing is done here.
"""

import dataclasses
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO

WARC_LINE = re.compile(rb"WARC/\d\.\d+\r?\n")
WARC_HEAD = re.compile(rb"WARC/\d\.\d+\r?\n[A-Za-z][\w-]*[ \t]*:")
# URL (older crawlers left spaces in it), IP address, date, media type, length; version 2 has more fields between
ARC_LINE = re.compile(
    rb"([a-z][a-z0-9+.-]{1,20}:[^\r\n]{0,4000}?) +(\d[\d.]{6,14}|[0-9a-f:]{2,39}) +(\d{8,14}) +([^\r\n]*?) *(\d+)\r?\n",
    re.IGNORECASE,
)
MAX_LINE = 1 << 16
MAX_HEAD_LINES = 256
COPY = 1 << 20


class Broken(Exception):
    """A record cannot be read."""


@dataclasses.dataclass(slots=True)
class Block:
    """One record. `body` is None where it is longer than allowed or of a kind that is not wanted."""

    offset: int  # in the inflated stream
    kind: str = ""  # WARC-Type, or "response" for ARC
    url: str | None = None
    date: str | None = None
    content_type: str = ""
    language: str | None = None  # WET: what the crawler's detector said
    length: int = 0
    body: bytes | None = None
    broken: str | None = None  # why it could not be read


def begins_record(data: bytes) -> bool:
    """Whether inflated bytes begin a record; blank lines before it do not matter."""
    data = data.lstrip(b"\r\n")
    return WARC_HEAD.match(data) is not None or ARC_LINE.match(data) is not None


class Blocks:
    """The records of a stream in order; the last one is `broken` where the stream could not be read on.

    A record is given out only when the next one has begun: only then its length is known to be true.
    """

    def __init__(self, stream: BinaryIO, wanted: frozenset[str], max_bytes: int) -> None:
        self.stream, self.wanted, self.max_bytes = stream, wanted, max_bytes
        self.offset = 0
        self.failed = False  # the last record given out was broken
        self.dead = False  # the bytes below could not be inflated, so there is no use in reading on
        self._line_back = b""

    def __iter__(self) -> Iterator[Block]:
        held: Block | None = None
        begun, self.failed = self.offset, False
        try:
            while line := self._next_head(held):
                if held:
                    yield held
                    held = None
                begun = self.offset - len(line)
                held = self._block(line, begun)
            if held:
                yield held
        except (Broken, zlib.error, OSError, EOFError) as error:
            self.dead = not isinstance(error, Broken)
            if held and not self.dead and self._gap:  # its own end is sound, what follows is not
                yield held
                begun = self.offset
            elif held:
                begun = held.offset
            self.failed = True
            yield Block(begun, broken=str(error))

    def resync(self) -> bool:
        """Goes on to the next line that looks like the head of a record; False at the end of the stream."""
        try:
            while line := self._line():
                if WARC_LINE.fullmatch(line) or ARC_LINE.fullmatch(line):
                    self._line_back = line
                    self.offset -= len(line)
                    return True
        except (zlib.error, OSError, EOFError):
            self.dead = True
        return False

    def _next_head(self, held: Block | None) -> bytes:
        self._gap = held is None
        while line := self._line():
            if line.strip(b"\r\n"):
                break
            self._gap = True
        if line and not WARC_LINE.fullmatch(line) and not ARC_LINE.fullmatch(line):
            self.offset -= len(line)
            raise Broken(f"no record begins with {line[:40]!r}")
        return line

    def _line(self) -> bytes:
        line, self._line_back = self._line_back or self.stream.readline(MAX_LINE), b""
        self.offset += len(line)
        return line

    def _block(self, line: bytes, begun: int) -> Block:
        if arc := ARC_LINE.fullmatch(line):
            url, length = arc[1].decode("utf-8", "replace"), int(arc[5])
            kind = "warcinfo" if url.startswith(("filedesc:", "dns:")) else "response"
            body = self._body(kind, length)
            date, media = _arc_date(arc[3].decode()), arc[4].decode("latin-1")
            return Block(begun, kind, url, date, media, None, length, body)
        head = self._fields()
        kind, length = head.get("warc-type", "").lower(), _length(head.get("content-length"))
        if not kind:
            raise Broken("no WARC-Type")
        body = self._body(kind, length)
        return Block(
            begun,
            kind,
            head.get("warc-target-uri", "").strip(" <>") or None,  # wget put it in brackets
            head.get("warc-date"),
            head.get("content-type", ""),
            head.get("warc-identified-content-language"),
            length,
            body,
        )

    def _fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        name = ""
        for _ in range(MAX_HEAD_LINES):
            line = self._line()
            if not line:
                raise Broken("the file ends within the head of a record")
            if not line.strip(b"\r\n"):
                return fields
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text[0] in " \t":  # a folded line goes on with the field before
                fields[name] = fields.get(name, "") + " " + text.strip()
                continue
            name, _, value = text.partition(":")
            name = name.strip().lower()
            fields.setdefault(name, value.strip())
        raise Broken(f"the head of a record has more than {MAX_HEAD_LINES} lines")

    def _body(self, kind: str, length: int) -> bytes | None:
        if kind in self.wanted and length <= self.max_bytes:
            body = self.stream.read(length)
            self.offset += len(body)
            if len(body) < length:
                raise Broken(f"cut off after {len(body)} of {length} bytes")
            return body
        left = length
        while left:
            skipped = len(self.stream.read(min(COPY, left)))
            if not skipped:
                raise Broken(f"cut off after {length - left} of {length} bytes")
            left -= skipped
            self.offset += skipped
        return None


def _length(value: str | None) -> int:
    if value is None or not value.isascii() or not value.isdigit():
        raise Broken(f"Content-Length is {value!r}")
    return int(value)


def _arc_date(digits: str) -> str:
    """20080430204825 to 2008-04-30T20:48:25Z, as far as it goes."""
    time = digits[8:14]
    day = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
    return f"{day}T{time[:2]}:{time[2:4]}:{time[4:]}Z" if len(time) == 6 else day
