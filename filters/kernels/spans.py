"""Edits carried out on Arrow's own buffers: where their spans lie, texts without these, and what these held."""

from typing import Any

import numpy as np
import pyarrow as pa

from filters.kernels.compiled import I32, I64, U8, compiled
from filters.kernels.text import buffers


def applied(text: Any, edits: pa.Table) -> Any:
    """`text`, an array of strings, with the spans of `edits` (filters.EDITS) replaced; null stays null."""
    row = edits["row"].to_numpy()
    if (np.diff(row) < 0).any():
        edits = edits.take(np.argsort(row, kind="stable"))
        row = edits["row"].to_numpy()
    data, offsets = buffers(text)
    first, last = _bytes(data, offsets, edits)
    new, new_offsets = buffers(edits["replacement"])
    out = np.empty(int(offsets[-1] - offsets[0]) + len(new), np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    _splice(data, offsets, row.astype(np.int32), first, last, new, new_offsets, out, ends)
    return _array(out[: ends[-1]], ends, text.is_valid() if text.null_count else None)


def held(text: Any, edits: pa.Table) -> Any:
    """What is in the spans of `edits`, a string for each."""
    data, offsets = buffers(text)
    first, last = _bytes(data, offsets, edits)
    ends = np.concatenate([[0], np.cumsum(last - first)]).astype(np.int64)
    out = np.empty(int(ends[-1]), np.uint8)
    _gather(data, first, last, out)
    return _array(out, ends, None)


def _array(data: U8, offsets: I64, valid: Any) -> Any:
    """An array of large strings; of a null row no byte is told."""
    mask = None if valid is None else pa.array(valid).buffers()[1]
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data), mask)


def _bytes(data: U8, offsets: I64, edits: pa.Table) -> tuple[I64, I64]:
    """Where each span begins and ends in `data`."""
    row, start, end = (edits[name].to_numpy() for name in ("row", "start", "end"))
    first, last = np.empty(len(row), np.int64), np.empty(len(row), np.int64)
    _find(data, offsets, row.astype(np.int32), start.astype(np.int64), end.astype(np.int64), first, last)
    return first, last


@compiled
def _find(data: U8, offsets: I64, row: I32, start: I64, end: I64, first: I64, last: I64) -> None:
    """Spans of a row ascend, so that its bytes are counted once."""
    at, count, before = np.int64(0), np.int64(0), -1
    for e in range(len(row)):
        if row[e] != before:
            before = row[e]
            at, count = offsets[before], np.int64(0)
        at = _ahead(data, at, offsets[before + 1], start[e] - count)
        first[e] = at
        at = _ahead(data, at, offsets[before + 1], end[e] - start[e])
        last[e], count = at, end[e]


@compiled
def _ahead(data: U8, at: Any, end: Any, characters: Any) -> Any:
    """Where the code point begins that many further on."""
    while characters > 0 and at < end:
        at += 1
        while at < end and (data[at] & 0xC0) == 0x80:
            at += 1
        characters -= 1
    return at


@compiled
def _splice(
    data: U8, offsets: I64, row: I32, first: I64, last: I64, new: U8, new_offsets: I64, out: U8, ends: I64
) -> None:
    used, e = 0, 0
    for r in range(len(offsets) - 1):
        at = offsets[r]
        while e < len(row) and row[e] == r:
            used = _copy(data, at, first[e], out, used)
            used = _copy(new, new_offsets[e], new_offsets[e + 1], out, used)
            at = last[e]
            e += 1
        used = _copy(data, at, offsets[r + 1], out, used)
        ends[r + 1] = used


@compiled
def _gather(data: U8, first: I64, last: I64, out: U8) -> None:
    used = 0
    for e in range(len(first)):
        used = _copy(data, first[e], last[e], out, used)


@compiled
def _copy(data: U8, start: Any, end: Any, out: U8, used: Any) -> Any:
    size = end - start
    out[used : used + size] = data[start:end]
    return used + size
