"""Reading text: blocks begun and ended, white space collapsed, escapes resolved, marks of inline markup."""

from typing import Any

import numpy as np

from corpus.extraction.learned import names
from corpus.extraction.learned.arrays import (
    BOLD,
    BREAKS,
    CODE,
    ELEMENT,
    EMPHASIS,
    END,
    HIDING,
    IN_PRE,
    IN_STRONG,
    LINK,
    LINK_BYTES,
    LINKED,
    LINKS,
    MAX_DEPTH,
    N_BLOCKS,
    N_TEXT,
    NUM_LINKS,
    OPEN,
    PREFORMATTED,
    SPACE,
    START,
    STRONG,
    STRONG_BYTES,
    TAG,
    TITLE_END,
    TITLE_START,
    TOP,
    WRITTEN,
)  # fmt: skip
from filters.kernels.compiled import inlined

_SPACE, _NEWLINE, _LT, _GT, _AMP, _QUOTE, _SEMICOLON = 32, 10, 60, 62, 38, 34, 59
_T_HEAD, _T_TITLE = names.TAG["head"], names.TAG["title"]
_INLINE, _IS_STRONG, _IS_CODE = names.IS_INLINE, names.IS_STRONG, names.IS_CODE


@inlined
def characters(d: Any, i: Any, stack: Any, e: Any, b: Any, text: Any, c: Any, kinds: Any) -> Any:
    """Text up to the next tag."""
    n = len(d)
    if c[HIDING] >= 0:
        return _hidden_characters(d, i, stack, e, text, c)
    pre = c[IN_PRE] > 0
    while i < n and d[i] != _LT:
        byte = d[i]
        if _is_plain(byte):
            _begin(stack, e, b, text, c, kinds)
            i = _copy(d, i, pre, text, c)
            continue
        width = 1
        if byte == _AMP:
            byte, width = _escape(d, i)
        elif byte >= 0xC2:
            byte, width = _blank(d, i)
        i += width
        if byte == 0 or byte == 0x7F:
            continue
        if byte > _SPACE:
            _begin(stack, e, b, text, c, kinds)
            _put(byte, pre, text, c)
        elif not pre:
            c[SPACE] = 1
        elif c[OPEN] >= 0 or byte != _NEWLINE:
            _begin(stack, e, b, text, c, kinds)
            text[c[N_TEXT]] = byte if byte == _NEWLINE or byte == 9 else _SPACE
            c[N_TEXT] += 1
    return i


@inlined
def _is_plain(byte: Any) -> Any:
    """Whether a byte stands for itself: no space, tag or escape, nor the beginning of what may be a kind of space."""
    if byte < 0x7F:
        return byte > _SPACE and byte != _LT and byte != _AMP
    return byte > 0x7F and byte != 0xC2 and byte != 0xE2 and byte != 0xE3 and byte != 0xEF


@inlined
def _copy(d: Any, i: Any, pre: Any, text: Any, c: Any) -> Any:
    """A run of plain bytes."""
    if c[WRITTEN] > 0 and not pre:
        _gap(text, c)
    c[SPACE] = c[BREAKS] = 0
    start, at, n = i, c[N_TEXT], len(d)
    spaces = 0
    while i < n:
        if not _is_plain(d[i]):
            # a single space between words, by far the commonest case, needs no detour
            if d[i] != _SPACE or i + 1 >= n or not _is_plain(d[i + 1]):
                break
            spaces += 1
        text[at] = d[i]
        at += 1
        i += 1
    c[N_TEXT] = at
    _count(i - start - spaces, c)
    return i


@inlined
def _put(byte: Any, pre: Any, text: Any, c: Any) -> None:
    if c[WRITTEN] > 0 and not pre:
        _gap(text, c)
    c[SPACE] = c[BREAKS] = 0
    text[c[N_TEXT]] = byte
    c[N_TEXT] += 1
    _count(1, c)


@inlined
def _count(num: Any, c: Any) -> None:
    c[WRITTEN] += num
    if c[LINK] > 0:
        c[LINK_BYTES] += num
    if c[IN_STRONG] > 0:
        c[STRONG_BYTES] += num


@inlined
def _begin(stack: Any, e: Any, b: Any, text: Any, c: Any, kinds: Any) -> None:
    if c[OPEN] < 0:
        c[OPEN] = c[N_TEXT]
        c[WRITTEN] = c[SPACE] = c[BREAKS] = 0
    if c[WRITTEN] == 0:
        k = min(c[TOP], MAX_DEPTH)
        while k > 0 and kinds[e[stack[k], TAG]] & _INLINE:
            k -= 1
        b[c[N_BLOCKS], ELEMENT] = stack[k]


@inlined
def _escape(d: Any, i: Any) -> Any:
    """(character, bytes read): a serialiser escapes these five only."""
    left = len(d) - i
    if left > 4 and d[i + 1] == 97 and d[i + 2] == 109 and d[i + 3] == 112 and d[i + 4] == _SEMICOLON:
        return np.uint8(_AMP), 5
    if left > 3 and d[i + 1] == 108 and d[i + 2] == 116 and d[i + 3] == _SEMICOLON:
        return np.uint8(_LT), 4
    if left > 3 and d[i + 1] == 103 and d[i + 2] == 116 and d[i + 3] == _SEMICOLON:
        return np.uint8(_GT), 4
    if left > 5 and d[i + 1] == 110 and d[i + 2] == 98 and d[i + 4] == 112 and d[i + 5] == _SEMICOLON:
        return np.uint8(_SPACE), 6
    if left > 5 and d[i + 1] == 113 and d[i + 2] == 117 and d[i + 4] == 116 and d[i + 5] == _SEMICOLON:
        return np.uint8(_QUOTE), 6
    return np.uint8(_AMP), 1


@inlined
def _blank(d: Any, i: Any) -> Any:
    """(character, bytes read): no-break spaces are spaces; 0 for what has no width and means nothing."""
    left = len(d) - i
    byte = d[i]
    if byte == 0xC2 and left > 1 and d[i + 1] == 0xA0:
        return np.uint8(_SPACE), 2
    if byte == 0xC2 and left > 1 and d[i + 1] == 0xAD:  # soft hyphen
        return np.uint8(0), 2
    if byte == 0xE2 and left > 2 and d[i + 1] == 0x80 and (0x80 <= d[i + 2] <= 0x8A or d[i + 2] == 0xAF):
        return np.uint8(_SPACE), 3
    if byte == 0xE2 and left > 2 and d[i + 1] == 0x80 and d[i + 2] == 0x8B:  # zero-width space
        return np.uint8(0), 3
    if byte == 0xE2 and left > 2 and d[i + 1] == 0x81 and d[i + 2] == 0xA0:  # word joiner
        return np.uint8(0), 3
    if byte == 0xE3 and left > 2 and d[i + 1] == 0x80 and d[i + 2] == 0x80:  # ideographic space
        return np.uint8(_SPACE), 3
    if byte == 0xEF and left > 2 and d[i + 1] == 0xBB and d[i + 2] == 0xBF:
        return np.uint8(0), 3
    return byte, 1


@inlined
def _hidden_characters(d: Any, i: Any, stack: Any, e: Any, text: Any, c: Any) -> Any:
    """Nothing of it is kept but the page's title."""
    n = len(d)
    top = min(c[TOP], MAX_DEPTH)
    title = c[TITLE_END] < 0 and stack[top] == -1 - _T_TITLE and e[stack[c[HIDING]], TAG] == _T_HEAD and c[OPEN] < 0
    if title:
        c[TITLE_START] = c[N_TEXT]
    while i < n and d[i] != _LT:
        if title:
            text[c[N_TEXT]] = d[i]
            c[N_TEXT] += 1
        i += 1
    if title:
        c[TITLE_END] = c[N_TEXT]
    return i


@inlined
def mark(kind: Any, opening: Any, text: Any, c: Any) -> None:
    if c[IN_PRE] > 0:
        return
    if c[OPEN] < 0:
        if not opening:
            return
        c[OPEN] = c[N_TEXT]
        c[WRITTEN] = c[SPACE] = c[BREAKS] = 0
    if opening and c[WRITTEN] > 0:
        _gap(text, c)
    text[c[N_TEXT]] = CODE if kind & _IS_CODE else STRONG if kind & _IS_STRONG else EMPHASIS
    c[N_TEXT] += 1


@inlined
def _gap(text: Any, c: Any) -> None:
    """The white space that is due before the next character."""
    if c[BREAKS] > 0 or c[SPACE] > 0:
        text[c[N_TEXT]] = _NEWLINE if c[BREAKS] > 0 else _SPACE
        c[N_TEXT] += 1
    c[BREAKS] = c[SPACE] = 0


@inlined
def line_break(b: Any, g: Any, text: Any, c: Any) -> None:
    if c[OPEN] < 0:
        return
    if c[IN_PRE] > 0:
        text[c[N_TEXT]] = _NEWLINE
        c[N_TEXT] += 1
    else:
        c[BREAKS] += 1
        if c[BREAKS] > 1:  # an empty line ends a paragraph
            flush(b, g, text, c)


@inlined
def flush(b: Any, g: Any, text: Any, c: Any) -> None:
    """End the block in hand; one of marks or white space only is none."""
    if c[OPEN] < 0:
        return
    k = c[N_BLOCKS]
    if c[WRITTEN] == 0 or k + 2 >= len(b):
        c[N_TEXT] = c[OPEN]
    else:
        end = c[N_TEXT]
        if c[IN_PRE] > 0:
            while end > c[OPEN] and (text[end - 1] == _SPACE or text[end - 1] == _NEWLINE):
                end -= 1
        b[k, START], b[k, END] = c[OPEN], end
        b[k, LINKED], b[k, NUM_LINKS], b[k, BOLD] = c[LINK_BYTES], c[LINKS], c[STRONG_BYTES]
        b[k, PREFORMATTED] = c[IN_PRE] > 0
        c[N_TEXT] = end
        c[N_BLOCKS] = k + 1
        c[LINKS] = min(c[LINK], 1)
        g[k + 1, 0] = g[k + 1, 1] = 0
    c[OPEN] = -1
    c[LINK_BYTES] = c[STRONG_BYTES] = c[WRITTEN] = c[SPACE] = c[BREAKS] = 0
