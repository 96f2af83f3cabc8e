"""Tags that would make the HTML standard's own algorithm slow: it takes the square of nesting and of attributes.

100,000 nested <div> take Lexbor 52 seconds, 20,000 attributes in one tag 1.4. Browsers stop at a depth of 512.
"""

from typing import Any

import numpy as np

from corpus.extraction.learned import names
from corpus.extraction.learned.tags import skip_raw, tables, tag_name
from filters.kernels.compiled import compiled, inlined

MAX_DEPTH = 2000  # by a count that knows no missing end tags, so far from what pages have
MAX_ATTRIBUTES = 500
# Their ends may be left out, and they do not nest but within others.
_IMPLIED = "p li td th tr tbody thead tfoot dt dd option optgroup colgroup rp rt".split()
_COUNTS = np.array([True] + [not (n in names.VOID or n in _IMPLIED) for n in names.NAMES])
_LT, _GT, _SLASH, _SPACE, _DOUBLE, _SINGLE = 60, 62, 47, 32, 34, 39


def tamed(html: bytes) -> bytes:
    """The same page, unless it is hostile: then without its deepest tags and its surplus attributes."""
    data = np.frombuffer(html, np.uint8)
    if not _is_hostile(data, tables().slots, tables().kinds, _COUNTS):
        return html
    out = np.empty(len(data) + 2, np.uint8)
    size = _tame(data, out, tables().slots, tables().kinds, _COUNTS)
    return out[:size].tobytes()


@compiled
def _is_hostile(d: Any, slots: Any, kinds: Any, counts: Any) -> Any:
    """Whether `_tame` would leave anything out."""
    n = len(d)
    i = depth = 0
    while i < n:
        if d[i] != _LT:
            i += 1
            continue
        after = d[i + 1] if i + 1 < n else 0
        closing = after == _SLASH
        letter = (d[i + 2] if closing and i + 2 < n else after) | 32
        if letter < 97 or letter > 122:
            i += 1
            continue
        _, tag = tag_name(d, i + 1 + closing, slots)
        i, cut = _end(d, i)
        if counts[tag]:
            depth = max(0, depth - 1) if closing else depth + 1
        if cut < i or depth > MAX_DEPTH:
            return True
        if not closing and kinds[tag] & names.IS_RAW:
            i = skip_raw(d, i, tag, slots)
    return False


@compiled
def _tame(d: Any, out: Any, slots: Any, kinds: Any, counts: Any) -> Any:
    n = len(d)
    i = at = depth = 0
    while i < n:
        byte = d[i]
        after = d[i + 1] if i + 1 < n else 0
        closing = after == _SLASH
        letter = d[i + 2] if closing and i + 2 < n else after
        if byte != _LT or not (65 <= letter <= 90 or 97 <= letter <= 122):
            out[at] = byte
            at += 1
            i += 1
            continue
        _, tag = tag_name(d, i + 1 + closing, slots)
        end, cut = _end(d, i)
        drop = False
        if counts[tag]:
            depth -= closing and depth > 0
            drop = depth >= MAX_DEPTH
            depth += not closing
        if not drop:
            for k in range(i, cut):
                out[at] = d[k]
                at += 1
            if cut < end:
                out[at] = _GT
                at += 1
        i = end
        if not closing and kinds[tag] & names.IS_RAW:
            stop = skip_raw(d, i, tag, slots)
            for k in range(i, stop):
                out[at] = d[k]
                at += 1
            i = stop
    return at


@inlined
def _end(d: Any, i: Any) -> Any:
    """(position after a tag, position up to which it is kept)"""
    n = len(d)
    attributes = 0
    cut = -1
    while i < n:
        byte = d[i]
        if byte == _GT:
            return i + 1, i + 1 if cut < 0 else cut
        if byte in (_DOUBLE, _SINGLE) and d[i - 1] == 61:
            i += 1
            while i < n and d[i] != byte:
                i += 1
        elif byte <= _SPACE or byte == _SLASH:
            attributes += 1
            if attributes == MAX_ATTRIBUTES:
                cut = i
        i += 1
    return n, n if cut < 0 else cut
