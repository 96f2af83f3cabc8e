"""Compressed streams, known by their first bytes rather than by their names."""

import bz2
import gzip
import io
import lzma
import zlib
from typing import Any, BinaryIO, cast

import zstandard

LONGEST_MAGIC = 6
# what the modules raise for damaged or cut off data; BadGzipFile is an OSError
ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
SUFFIXES = (".gz", ".zst", ".bz2", ".xz")


def inflated(file: BinaryIO) -> BinaryIO | None:
    """A stream of the inflated bytes, or None where the file is not compressed. Reading it raises one of ERRORS."""
    magic = file.read(LONGEST_MAGIC)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return _buffered(gzip.GzipFile(fileobj=file))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False)
        return _buffered(reader)
    if magic.startswith(b"BZh"):
        return cast(BinaryIO, bz2.BZ2File(file))
    if magic == b"\xfd7zXZ\x00":
        return cast(BinaryIO, lzma.LZMAFile(file))
    return None


def _buffered(stream: Any) -> BinaryIO:
    """Inflated in pieces of 128 kB; in gzip's own of 8 kB it takes half as long again."""
    return cast(BinaryIO, io.BufferedReader(stream, 1 << 17))
