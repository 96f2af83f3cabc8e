"""An HTTP response as a crawler stored it: status, media type, charset and the decoded body.

Headers of real crawls lie (gzip that is plain, chunks that are not), so what cannot be decoded stays as it is.
"""

import dataclasses
import io
import re

from fastwarc.stream_io import BrotliReader, ChunkedReader, GzipReader, ZstdReader

FIELD = re.compile(rb"^(content-type|content-encoding|transfer-encoding)[ \t]*:[ \t]*([^\r\n]*)", re.I | re.M)
CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s"';,]+)""", re.I)
STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})")
CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}[ \t]*(;[^\r\n]*)?\r?\n")
END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


@dataclasses.dataclass(slots=True)
class Response:
    status: int | None  # None: no status line
    media_type: str
    charset: str | None
    body: bytes


def is_http(block: bytes) -> bool:
    return block.startswith(b"HTTP/")


def media(content_type: str) -> tuple[str, str | None]:
    """`text/html; charset=utf-8` to ("text/html", "utf-8")."""
    charset = CHARSET.search(content_type)
    return content_type.split(";", 1)[0].strip().lower(), charset[1].lower() if charset else None


def response(block: bytes, max_bytes: int) -> Response:
    """Parses a stored response. The body stops one byte behind `max_bytes`, which tells the caller of a bomb."""
    end = END_OF_HEAD.search(block)
    head, body = (block[: end.start()], block[end.end() :]) if end else (block, b"")
    status = STATUS.match(head)
    fields = {name.lower(): value.decode("latin-1").strip() for name, value in FIELD.findall(head)}
    media_type, charset = media(fields.get(b"content-type", ""))
    if "chunked" in fields.get(b"transfer-encoding", "").lower() and CHUNK_SIZE.match(body):
        body = _unpack(ChunkedReader, body, max_bytes)
    for encoding in reversed(fields.get(b"content-encoding", "").lower().split(",")):
        body = _decoded(encoding.strip(), body, max_bytes)
    return Response(int(status[1]) if status else None, media_type, charset, body)


def _decoded(encoding: str, body: bytes, max_bytes: int) -> bytes:
    if encoding in ("gzip", "x-gzip") and body.startswith(b"\x1f\x8b"):
        return _unpack(GzipReader, body, max_bytes)
    if encoding == "deflate":
        return _unpack(_zlib, body, max_bytes)
    if encoding == "br" and body.lstrip()[:1] != b"<":  # crawlers that decode often leave the header
        return _unpack(BrotliReader, body, max_bytes)
    if encoding == "zstd" and body.startswith(b"\x28\xb5\x2f\xfd"):
        return _unpack(ZstdReader, body, max_bytes)
    return body


def _zlib(stream: io.BytesIO) -> GzipReader:
    return GzipReader(stream, zlib=True)


def _unpack(reader: type | object, body: bytes, max_bytes: int) -> bytes:
    """What can be unpacked before the first error; the body itself if nothing can."""
    stream = reader(io.BytesIO(body))  # type: ignore[operator]
    parts, num_bytes = [], 0
    while num_bytes <= max_bytes:
        try:
            part = stream.read(min(1 << 20, max_bytes + 1 - num_bytes))
        except OSError:
            break
        if not part:
            break
        parts.append(part)
        num_bytes += len(part)
    return b"".join(parts) or body
