"""What is compared of each document: a few hashes and the columns that rank it. Text stays behind."""

import urllib.parse
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from corpus.dedup import Settings
from filters.kernels import signature
from filters.kernels.compiled import compiled

# Parameters that say how a reader came, not what is on the page.
TRACKING = frozenset(
    "ref ref_src ref_url referrer fbclid gclid dclid msclkid yclid igshid mc_cid mc_eid _ga _hsenc _hsmi".split()
)
_LOWER_ONE_SPACE = np.frombuffer(
    bytes(range(256)).lower().translate(bytes.maketrans(b"\t\n\v\f\r", b" " * 5)), np.uint8
)
_DEFAULT_PORT = {"http": ":80", "https": ":443"}


def schema(settings: Settings) -> pa.Schema:
    """One row per document, in their order; `bands` has `settings.bands` hashes."""
    fields: list[tuple[str, pa.DataType]] = [
        ("id", pa.string()),
        ("record", pa.uint64()),  # of the id
        ("url", pa.uint64()),  # of the normalised URL; null where there is none
        ("exact", pa.binary(16)),  # xxh3_128 of lower-cased text with single spaces; null for blank text
        ("bands", pa.list_(pa.uint64(), settings.bands)),  # null for texts shorter than a shingle
        ("score", pa.float64()),  # null or NaN in the input: null
        ("length", pa.int64()),  # code points
        ("date", pa.string()),
        ("source_rank", pa.int32()),  # 0 is best
    ]
    return pa.schema(fields)


def keys(docs: pa.Table, settings: Settings) -> pa.Table:
    """Hashes and ranks of `docs` (id, url, text, date, source and perhaps score), of schema `schema(settings)`.

    A row depends on its document alone. Raises KeyError where a column is missing.
    """
    text = docs["text"]
    score = docs["score"] if "score" in docs.column_names else pa.nulls(docs.num_rows, pa.float64())
    columns = [
        docs["id"],
        _hashes(docs["id"].to_pylist()),
        _hashes([normalised_url(url) for url in docs["url"].to_pylist()]),
        exact_hashes(text),
        _bands(text, settings),
        pc.if_else(pc.is_nan(score.cast(pa.float64())), None, score.cast(pa.float64())),
        pc.fill_null(pc.utf8_length(text), 0),
        docs["date"],
        _source_ranks(docs["source"], settings.source_priority),
    ]
    wanted = schema(settings)
    arrays = [column.cast(field.type) for column, field in zip(columns, wanted, strict=True)]
    return pa.Table.from_arrays(arrays, schema=wanted)


def normalised_url(url: str | None) -> str | None:
    """The address without what does not change the page; None where `url` is no address with a host.

    Scheme, `www.`, user, default port, fragment, tracking parameters (`utm_*`, `TRACKING`) and slashes at the end go;
    the host is lower-cased and parameters are sorted. Fragments that name a page (`#!…`, `#/…`) stay. Paths of files
    are no addresses: many records may share one.
    """
    scheme, mark, rest = (url or "").strip().partition("://")
    if not mark or scheme.lower() == "file":
        return None
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    host, _, path = rest.partition("/")
    host = host.rpartition("@")[2].lower().removesuffix(_DEFAULT_PORT.get(scheme.lower(), ":")).removesuffix(".")
    if not host:
        return None
    path = path.rstrip("/")
    kept = sorted(part for part in query.split("&") if part and not _tracks(part))
    route = fragment if fragment.startswith(("!", "/")) else ""
    return host.removeprefix("www.") + "/" + path + "?" * bool(kept) + "&".join(kept) + "#" * bool(route) + route


def _tracks(parameter: str) -> bool:
    name = urllib.parse.unquote(parameter.partition("=")[0]).lower()
    return name.startswith("utm_") or name in TRACKING


def exact_hashes(text: signature.Text) -> "pa.Array[Any]":
    """xxh3_128 (16 bytes, big-endian) of each text, lower-cased, white space collapsed; null for blank text."""
    data, offsets = signature.buffers(text)
    out = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
    ends = np.empty(offsets.size - 1, np.int64)
    _collapse(data, offsets, out, ends)
    view, start, digests = memoryview(out.data), 0, []
    for end in ends.tolist():
        digests.append(xxhash.xxh3_128_digest(view[start:end]) if end > start else None)
        start = end
    return pa.array(digests, pa.binary(16))


@compiled
def _collapse(data: signature.Bytes, offsets: signature.I64, out: signature.Bytes, ends: signature.I64) -> None:
    """Copy texts in lower case with one space for each run of white space between words and none at either end.

    Every byte is written and only what stays is counted: no branch, so word ends cost nothing.
    """
    used = 0
    for doc in range(offsets.size - 1):
        at, end, first, after_space = offsets[doc], offsets[doc + 1], used, 1
        while at < end:
            byte = _LOWER_ONE_SPACE[data[at]]  # `buffers` leaves the case of ASCII as it is
            width = 1
            if byte == 0xC2 or byte == 0xE2 or byte == 0xE3:
                wide = _wide_space(data, at, end)
                if wide:
                    byte, width = np.uint8(32), wide
            space = byte == 32
            out[used] = byte
            used += 1 - (space & after_space)
            after_space = 1 if space else 0
            at += width
        used -= after_space if used > first else 0
        ends[doc] = used


@compiled
def _wide_space(data: signature.Bytes, at: int, end: int) -> int:
    """Bytes of the white space at data[at]: U+0085, 00A0, 2000..200A, 2028, 2029, 202F, 205F, 3000; else 0."""
    byte = data[at]
    if byte == 0xC2:
        return 2 if at + 1 < end and (data[at + 1] == 0x85 or data[at + 1] == 0xA0) else 0
    if at + 2 >= end:
        return 0
    second, third = data[at + 1], data[at + 2]
    if byte == 0xE3:
        return 3 if second == 0x80 and third == 0x80 else 0
    if second == 0x80:
        return 3 if third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
    return 3 if second == 0x81 and third == 0x9F else 0


def _bands(text: signature.Text, settings: Settings) -> "pa.Array[Any]":
    kind: Any = pa.list_(pa.uint64(), settings.bands)
    if not settings.near:
        none: pa.Array[Any] = pa.nulls(len(text), kind)
        return none
    signatures = signature.signatures(text, settings.shingle_words, settings.bands * settings.rows)
    flat = pa.array(signature.bands(signatures, settings.bands, settings.rows).reshape(-1))
    mask = pa.array(~signature.has_signature(signatures))
    return pa.FixedSizeListArray.from_arrays(flat, type=kind, mask=mask)


def _hashes(values: list[str | None]) -> "pa.Array[Any]":
    hashes: list[int | None] = [None if v is None else xxhash.xxh3_64_intdigest(v.encode()) for v in values]
    return pa.array(hashes, pa.uint64())


def _source_ranks(source: "pa.ChunkedArray[Any]", priority: tuple[str, ...]) -> "pa.Array[Any]":
    ranks: Any = pc.index_in(source, value_set=pa.array(priority, pa.string()))
    filled: pa.Array[Any] = ranks.fill_null(len(priority))
    return filled
