"""A dump of a wiki cut at its pages, by bytes, before any XML is parsed.

MediaWiki escapes every `<` within a page, so `<page>` and `</page>` are always tags. Cut by them, a broken page costs
itself and not the rest of the dump, a plain file can be entered anywhere, and memory is that of the largest page.
"""

import codecs
import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from corpus.readers._compressed import ERRORS

OPEN, CLOSE, END = b"<page>", b"</page>", b"</mediawiki>"
MARK = re.compile(rb"</?page>")
HEAD_BYTES = 1 << 18  # what a wiki says of itself takes 4 kB
READ_BYTES = 1 << 17
SHOWN = 40  # bytes of what is no page


@dataclasses.dataclass(slots=True)
class Frame:
    """One page, or what is none. `data` lies between its tags; None where it is longer than allowed or broken."""

    position: int
    length: int
    data: bytes | None = None
    broken: str | None = None


@dataclasses.dataclass(slots=True)
class _Piece:
    """What lies between two tags. `mark` is the tag behind it, empty at the end of the stream."""

    position: int
    length: int
    data: bytes | None
    mark: bytes
    error: str | None = None


class Utf8:
    """A stream of UTF-16 as UTF-8. Half a pair of surrogates stays one, which makes its page, and no other, invalid."""

    def __init__(self, stream: BinaryIO, charset: str) -> None:
        self._read = _reads(stream)
        self._decoder = codecs.getincrementaldecoder(charset)("surrogatepass")

    def read(self, num_bytes: int) -> bytes:
        """Of so many bytes below; none at the end."""
        text = ""
        while not text and (data := self._read(num_bytes)):
            text = self._decoder.decode(data)
        return text.encode("utf-8", "surrogatepass")


def head(stream: BinaryIO | Utf8) -> bytes:
    """The first bytes, as far as they can be read."""
    read, found = _reads(stream), bytearray()
    try:
        while len(found) < HEAD_BYTES and (data := read(READ_BYTES)):
            found += data
    except ERRORS:
        pass
    return bytes(found[:HEAD_BYTES])


def frames(stream: BinaryIO | Utf8, start: int, end: float, max_bytes: int) -> Iterator[Frame]:
    """Pages that begin in [start, end) of a stream that stands at `start`, and what is wrong behind each of them."""
    inside, opened = False, 0
    ours = start == 0  # what lies before the first page; else it belongs to the split before
    for number, piece in enumerate(_pieces(stream, start, max_bytes)):
        if inside:
            yield _page(opened, piece)
        elif ours and (wrong := _wrong(piece, number == 0)):
            yield Frame(piece.position, piece.length, broken=wrong)
        inside = piece.mark == OPEN
        opened = piece.position + piece.length
        if inside and opened >= end:
            return
        ours = ours or inside


def _page(opened: int, piece: _Piece) -> Frame:
    if piece.mark == CLOSE:
        return Frame(opened, piece.length, piece.data)
    cut = "another page begins within it" if piece.mark else "the dump stops within this page"
    return Frame(opened, piece.length, broken=piece.error or cut)


def _wrong(piece: _Piece, first: bool) -> str | None:
    """What is wrong with bytes outside of pages."""
    if piece.error or piece.data is None:
        return piece.error or f"{piece.length} bytes belong to no page"
    data = piece.data.strip()
    if first and b"<mediawiki" not in data:
        return f"no dump of a wiki begins with {data[:SHOWN]!r}"
    if piece.mark == CLOSE:
        return "a page ends that never began"
    if not piece.mark and not data.endswith(END):
        return "the dump stops before its end"
    data = b"" if first else data.removesuffix(END) if not piece.mark else data
    return f"{data[:SHOWN]!r} belongs to no page" if data else None


def _pieces(stream: BinaryIO | Utf8, position: int, max_bytes: int) -> Iterator[_Piece]:
    read, buffer = _reads(stream), bytearray()
    dropped = scanned = 0  # bytes of a piece that is too long to be kept; bytes known to hold no tag
    while True:
        while found := MARK.search(buffer, scanned):
            at, mark, behind = found.start(), found[0], found.end()
            whole = not dropped and at <= max_bytes
            yield _Piece(position, dropped + at, bytes(buffer[:at]) if whole else None, mark)
            position += dropped + behind
            del buffer[:behind]
            dropped = scanned = 0
        scanned = max(0, len(buffer) - len(CLOSE) + 1)
        if scanned > max_bytes:
            del buffer[:scanned]
            dropped, scanned = dropped + scanned, 0
        try:
            data = read(READ_BYTES)
        except ERRORS as error:
            yield _Piece(position, dropped + len(buffer), None, b"", f"cannot inflate: {error}")
            return
        if not data:
            yield _Piece(position, dropped + len(buffer), None if dropped else bytes(buffer), b"")
            return
        buffer += data


def _reads(stream: BinaryIO | Utf8) -> Callable[[int], bytes]:
    """One read from below at a time: where the next one fails, what came before it is not lost."""
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    return read
