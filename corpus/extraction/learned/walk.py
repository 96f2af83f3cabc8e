"""Well-formed HTML, as a parser writes it, to flat arrays of elements and blocks, in one compiled pass.

A DOM's nodes cannot be walked by compiled code, but a parser's serialisation can: all tags are closed, attributes are
quoted, and five escapes remain. A block is a run of text without a block-level tag or an empty line in it. Blocks are
numbered in the order of the document, so those of an element are a range, and sums over elements are differences.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from corpus.extraction.learned import cues, names
from corpus.extraction.learned.automaton import Automaton, automaton
from filters.kernels.compiled import I32, U8, U32, U64, compiled

# Marks in the text around inline markup, for Markdown; control characters of the page itself become spaces.
CODE, STRONG, EMPHASIS = 1, 2, 3
# bits of an element
HIDDEN, ARIA_HIDDEN, NO_WIDTH, HREF, FRAGMENT = 1, 2, 4, 8, 16

_SPACE, _NEWLINE, _LT, _GT, _AMP, _SLASH, _BANG, _QUOTE, _EQUALS, _SEMICOLON = 32, 10, 60, 62, 38, 47, 33, 34, 61, 59
MAX_DEPTH = 4096  # of elements; deeper ones count as their ancestor
MAX_BLOCKS = 50_000  # what comes after is left out: 80 MB of features
# indices of counters
N_ELEMENTS, N_BLOCKS, N_TEXT, TOP, HIDING, OPEN, WRITTEN, SPACE, BREAKS, LINK, LINKS, LINK_BYTES = range(12)
IN_PRE, IN_STRONG, STRONG_BYTES, IMAGES, INPUTS, TITLE_START, TITLE_END = range(12, 19)
NUM_COUNTERS = 19


class Elements(NamedTuple):
    """One entry per element, parents before children; 0 is the document."""

    tag: U8
    parent: I32
    look: U32  # hash of tag and class: siblings that look alike are a list
    cue: U64  # [element, 2]: words of its own class, id and role
    cues: U64  # [element, 2]: those of it and its ancestors below <body>
    kin: U64  # tags of it and its ancestors
    flags: U8
    first: I32  # blocks [first, last)
    last: I32
    images: I32  # images before its start and end, so that their number within is a difference
    images_end: I32


class Blocks(NamedTuple):
    """One entry per block: text[start:end] in UTF-8, white space collapsed except in <pre>."""

    start: I32
    end: I32
    element: I32  # the block-level element that holds it
    link: I32  # bytes within links
    links: I32
    strong: I32
    cue: U64  # [block, 2]: words of its inline elements' classes
    pre: U8


class Walked(NamedTuple):
    elements: Elements
    blocks: Blocks
    text: U8
    title: U8
    counters: Any


class _Tables(NamedTuple):
    hashes: U32
    tags: U8
    kinds: U8
    kin: U64
    step: I32
    found: U64


_SLOTS = 1024


def _hash(name: bytes) -> int:
    value = 2166136261
    for byte in name:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


@functools.cache
def tables() -> _Tables:
    hashes, tags = np.zeros(_SLOTS, np.uint32), np.zeros(_SLOTS, np.uint8)
    for name, number in names.TAG.items():
        slot = _hash(name.encode()) % _SLOTS
        while hashes[slot]:
            slot = (slot + 1) % _SLOTS
        hashes[slot], tags[slot] = _hash(name.encode()), number
    words: Automaton = automaton(cues.CLASSES)
    kinds = np.array(names.kinds(), np.uint8)
    return _Tables(hashes, tags, kinds, np.array(names.kin_bits(), np.uint64), words.step, words.found)


_T_BODY, _T_HTML, _T_HEAD, _T_TITLE, _T_A, _T_PRE, _T_BR, _T_IMG, _T_PLAINTEXT, _T_INPUT = (
    names.TAG[n] for n in ("body", "html", "head", "title", "a", "pre", "br", "img", "plaintext", "input")
)
_VOID, _RAW, _HIDDEN, _INLINE = names.IS_VOID, names.IS_RAW, names.IS_HIDDEN, names.IS_INLINE
_IS_STRONG, _IS_EM, _IS_CODE = names.IS_STRONG, names.IS_EMPHASIS, names.IS_CODE


def walk(html: bytes) -> Walked:
    """Elements, blocks, their text and the title. Time and memory are linear in the input."""
    data = np.frombuffer(html, np.uint8)
    size = html.count(b"<") + 2
    elements = Elements(
        np.zeros(size, np.uint8), np.zeros(size, np.int32), np.zeros(size, np.uint32), np.zeros((size, 2), np.uint64),
        np.zeros((size, 2), np.uint64), np.zeros(size, np.uint64), np.zeros(size, np.uint8), np.zeros(size, np.int32),
        np.zeros(size, np.int32), np.zeros(size, np.int32), np.zeros(size, np.int32),
    )  # fmt: skip
    room = min(size, MAX_BLOCKS) + 2
    blocks = Blocks(
        np.zeros(room, np.int32), np.zeros(room, np.int32), np.zeros(room, np.int32), np.zeros(room, np.int32),
        np.zeros(room, np.int32), np.zeros(room, np.int32), np.zeros((room, 2), np.uint64), np.zeros(room, np.uint8),
    )  # fmt: skip
    text = np.empty(len(data) + 3 * size + 16, np.uint8)
    counters = np.zeros(NUM_COUNTERS, np.int64)
    _walk(data, elements, blocks, text, counters, tables())
    n, m = int(counters[N_ELEMENTS]), int(counters[N_BLOCKS])
    title = text[counters[TITLE_START] : counters[TITLE_END]]
    return Walked(
        Elements(*(a[:n] for a in elements)), Blocks(*(a[:m] for a in blocks)), text[: counters[N_TEXT]], title, counters
    )


@compiled
def _walk(d: Any, e: Any, b: Any, text: Any, c: Any, t: Any) -> None:
    n = len(d)
    stack = np.empty(MAX_DEPTH + 1, np.int32)
    stack[0] = 0
    c[N_ELEMENTS], c[OPEN], c[HIDING], c[TITLE_END] = 1, -1, -1, -1
    i = 0
    while i < n:
        if d[i] != _LT:
            i = _characters(d, i, stack, e, b, text, c, t)
        elif i + 1 < n and d[i + 1] == _BANG:
            i = _declaration(d, i)
        elif i + 1 < n and d[i + 1] == _SLASH:
            i, tag = tag_name(d, i + 2, t)
            while i < n and d[i] != _GT:
                i += 1
            i += 1
            _close(tag, stack, e, b, text, c, t)
        else:
            i, tag = tag_name(d, i + 1, t)
            i = _open(d, i, tag, stack, e, b, text, c, t)
            if t.kinds[tag] & _RAW:
                i = skip_raw(d, i, tag, t)
    _flush(b, text, c)
    for k in range(min(c[TOP], MAX_DEPTH) + 1):
        if stack[k] >= 0:
            e.last[stack[k]] = c[N_BLOCKS]
            e.images_end[stack[k]] = c[IMAGES]


@compiled
def _declaration(d: Any, i: Any) -> Any:
    n = len(d)
    if i + 3 < n and d[i + 2] == 45 and d[i + 3] == 45:  # <!--
        i += 4
        while i < n and not (d[i] == _GT and d[i - 1] == 45 and d[i - 2] == 45):
            i += 1
    else:
        while i < n and d[i] != _GT:
            i += 1
    return i + 1


@compiled
def tag_name(d: Any, i: Any, t: Any) -> Any:
    """(position after a tag's name, number of the tag)"""
    n = len(d)
    value = np.uint32(2166136261)
    while i < n and d[i] != _GT and d[i] != _SPACE and d[i] != _SLASH:
        byte = d[i] | np.uint8(32) if 65 <= d[i] <= 90 else d[i]
        value = np.uint32((value ^ np.uint32(byte)) * np.uint32(16777619))
        i += 1
    slot = value & np.uint32(_SLOTS - 1)
    while t.hashes[slot] != 0:
        if t.hashes[slot] == value:
            return i, np.int64(t.tags[slot])
        slot = (slot + np.uint32(1)) & np.uint32(_SLOTS - 1)
    return i, np.int64(0)


@compiled
def skip_raw(d: Any, i: Any, tag: Any, t: Any) -> Any:
    """The position of the end tag of a script or the like."""
    n = len(d)
    if tag == _T_PLAINTEXT:
        return n
    while i < n:
        if d[i] == _LT and i + 1 < n and d[i + 1] == _SLASH:
            _, other = tag_name(d, i + 2, t)
            if other == tag:
                return i
        i += 1
    return n


@compiled
def _open(d: Any, i: Any, tag: Any, stack: Any, e: Any, b: Any, text: Any, c: Any, t: Any) -> Any:
    kind = t.kinds[tag]
    inline = kind & _INLINE != 0
    if c[HIDING] < 0:
        if tag == _T_BR:
            _break(b, text, c)
        elif not inline:
            _flush(b, text, c)
        c[IMAGES] += tag == _T_IMG
        c[INPUTS] += tag == _T_INPUT
    if kind & _VOID:
        return _skip_attributes(d, i)
    c[TOP] += 1
    if c[TOP] > MAX_DEPTH:
        return _skip_attributes(d, i)
    if c[HIDING] >= 0:
        stack[c[TOP]] = -1 - tag  # a hidden element is remembered by its tag alone, so that its end is found
        return _skip_attributes(d, i)
    me = c[N_ELEMENTS]
    c[N_ELEMENTS] += 1
    parent = stack[c[TOP] - 1]
    stack[c[TOP]] = me
    e.tag[me], e.parent[me], e.first[me], e.images[me] = tag, parent, c[N_BLOCKS], c[IMAGES]
    e.kin[me] = e.kin[parent] | t.kin[tag]
    e.flags[me] = e.flags[parent] & (HIDDEN | ARIA_HIDDEN | NO_WIDTH)
    e.look[me] = tag
    i = _attributes(d, i, me, e, t)
    page = tag == _T_BODY or tag == _T_HTML
    for k in range(2):
        e.cues[me, k] = e.cues[parent, k] if page else e.cues[parent, k] | e.cue[me, k]
        if inline:
            b.cue[c[N_BLOCKS], k] |= e.cue[me, k]
    if kind & _HIDDEN:
        c[HIDING] = c[TOP]
    elif tag == _T_A and e.flags[me] & HREF:
        c[LINK] += 1
        c[LINKS] += 1
    elif tag == _T_PRE:
        c[IN_PRE] += 1
    elif kind & (_IS_STRONG | _IS_EM | _IS_CODE):
        c[IN_STRONG] += kind & _IS_STRONG != 0
        _mark(kind, True, text, c)
    return i


@compiled
def _close(tag: Any, stack: Any, e: Any, b: Any, text: Any, c: Any, t: Any) -> None:
    if c[TOP] > MAX_DEPTH:
        c[TOP] -= 1
        return
    me = stack[c[TOP]]
    mine = np.int64(e.tag[me]) if me >= 0 else np.int64(-1 - me)
    if c[TOP] <= 0 or mine != tag:  # no serialiser writes this, unless the parser was tricked
        return
    kind = t.kinds[tag]
    if me >= 0:
        if tag == _T_A and e.flags[me] & HREF:
            c[LINK] -= 1
        elif kind & (_IS_STRONG | _IS_EM | _IS_CODE):
            c[IN_STRONG] -= kind & _IS_STRONG != 0
            _mark(kind, False, text, c)
        elif not kind & _INLINE and c[HIDING] < 0:
            _flush(b, text, c)
        if tag == _T_PRE:
            c[IN_PRE] -= 1
        e.last[me] = c[N_BLOCKS]
        e.images_end[me] = c[IMAGES]
    if c[HIDING] == c[TOP]:
        c[HIDING] = -1
    c[TOP] -= 1


@compiled
def _mark(kind: Any, opening: Any, text: Any, c: Any) -> None:
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


@compiled
def _gap(text: Any, c: Any) -> None:
    """The white space that is due before the next character."""
    if c[BREAKS] > 0 or c[SPACE] > 0:
        text[c[N_TEXT]] = _NEWLINE if c[BREAKS] > 0 else _SPACE
        c[N_TEXT] += 1
    c[BREAKS] = c[SPACE] = 0


@compiled
def _break(b: Any, text: Any, c: Any) -> None:
    if c[OPEN] < 0:
        return
    if c[IN_PRE] > 0:
        text[c[N_TEXT]] = _NEWLINE
        c[N_TEXT] += 1
    else:
        c[BREAKS] += 1
        if c[BREAKS] > 1:  # an empty line ends a paragraph
            _flush(b, text, c)


@compiled
def _flush(b: Any, text: Any, c: Any) -> None:
    """End the block in hand; one of marks or white space only is none."""
    if c[OPEN] < 0:
        return
    k = c[N_BLOCKS]
    if c[WRITTEN] == 0 or k + 2 >= len(b.start):
        c[N_TEXT] = c[OPEN]
    else:
        end = c[N_TEXT]
        if c[IN_PRE] > 0:
            while end > c[OPEN] and (text[end - 1] == _SPACE or text[end - 1] == _NEWLINE):
                end -= 1
        b.start[k], b.end[k] = c[OPEN], end
        b.link[k], b.links[k], b.strong[k], b.pre[k] = c[LINK_BYTES], c[LINKS], c[STRONG_BYTES], c[IN_PRE] > 0
        c[N_TEXT] = end
        c[N_BLOCKS] = k + 1
        c[LINKS] = min(c[LINK], 1)
        b.cue[k + 1, 0] = b.cue[k + 1, 1] = 0
    c[OPEN] = -1
    c[LINK_BYTES] = c[STRONG_BYTES] = c[WRITTEN] = c[SPACE] = c[BREAKS] = 0


@compiled
def _characters(d: Any, i: Any, stack: Any, e: Any, b: Any, text: Any, c: Any, t: Any) -> Any:
    """Text up to the next tag."""
    n = len(d)
    if c[HIDING] >= 0:
        return _hidden_characters(d, i, stack, e, text, c)
    pre = c[IN_PRE] > 0
    while i < n and d[i] != _LT:
        byte = d[i]
        if _is_plain(byte):
            _begin(stack, e, b, text, c, t)
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
            _begin(stack, e, b, text, c, t)
            _put(byte, pre, text, c)
        elif not pre:
            c[SPACE] = 1
        elif c[OPEN] >= 0 or byte != _NEWLINE:
            _begin(stack, e, b, text, c, t)
            text[c[N_TEXT]] = byte if byte == _NEWLINE or byte == 9 else _SPACE
            c[N_TEXT] += 1
    return i


@compiled
def _is_plain(byte: Any) -> Any:
    """Whether a byte stands for itself: no space, tag or escape, nor the beginning of what may be a kind of space."""
    if byte < 0x7F:
        return byte > _SPACE and byte != _LT and byte != _AMP
    return byte > 0x7F and byte != 0xC2 and byte != 0xE2 and byte != 0xE3 and byte != 0xEF


@compiled
def _copy(d: Any, i: Any, pre: Any, text: Any, c: Any) -> Any:
    """A run of plain bytes."""
    if c[WRITTEN] > 0 and not pre:
        _gap(text, c)
    c[SPACE] = c[BREAKS] = 0
    start, at = i, c[N_TEXT]
    while i < len(d) and _is_plain(d[i]):
        text[at] = d[i]
        at += 1
        i += 1
    c[N_TEXT] = at
    _count(i - start, c)
    return i


@compiled
def _put(byte: Any, pre: Any, text: Any, c: Any) -> None:
    if c[WRITTEN] > 0 and not pre:
        _gap(text, c)
    c[SPACE] = c[BREAKS] = 0
    text[c[N_TEXT]] = byte
    c[N_TEXT] += 1
    _count(1, c)


@compiled
def _count(num: Any, c: Any) -> None:
    c[WRITTEN] += num
    if c[LINK] > 0:
        c[LINK_BYTES] += num
    if c[IN_STRONG] > 0:
        c[STRONG_BYTES] += num


@compiled
def _begin(stack: Any, e: Any, b: Any, text: Any, c: Any, t: Any) -> None:
    if c[OPEN] < 0:
        c[OPEN] = c[N_TEXT]
        c[WRITTEN] = c[SPACE] = c[BREAKS] = 0
    if c[WRITTEN] == 0:
        k = min(c[TOP], MAX_DEPTH)
        while k > 0 and t.kinds[e.tag[stack[k]]] & _INLINE:
            k -= 1
        b.element[c[N_BLOCKS]] = stack[k]


@compiled
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


@compiled
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


@compiled
def _hidden_characters(d: Any, i: Any, stack: Any, e: Any, text: Any, c: Any) -> Any:
    """Nothing of it is kept but the page's title."""
    n = len(d)
    top = min(c[TOP], MAX_DEPTH)
    title = c[TITLE_END] < 0 and stack[top] == -1 - _T_TITLE and e.tag[stack[c[HIDING]]] == _T_HEAD and c[OPEN] < 0
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


@compiled
def _skip_attributes(d: Any, i: Any) -> Any:
    n = len(d)
    while i < n and d[i] != _GT:
        if d[i] == _QUOTE and d[i - 1] == _EQUALS:  # a quote elsewhere is part of a broken name
            i += 1
            while i < n and d[i] != _QUOTE:
                i += 1
        i += 1
    return i + 1


@compiled
def _attributes(d: Any, i: Any, me: Any, e: Any, t: Any) -> Any:
    n = len(d)
    while i < n and d[i] != _GT:
        if d[i] == _SPACE:
            i += 1
            continue
        start = i
        while i < n and d[i] != _EQUALS and d[i] != _GT and d[i] != _SPACE:
            i += 1
        stop = i
        if i + 1 < n and d[i] == _EQUALS and d[i + 1] == _QUOTE:
            i += 2
            value = i
            while i < n and d[i] != _QUOTE:
                i += 1
            _attribute(d, start, stop, value, i, me, e, t)
            i += 1
        elif i < n and d[i] == _EQUALS:
            i += 1
    return i + 1


@compiled
def _attribute(d: Any, start: Any, stop: Any, value: Any, end: Any, me: Any, e: Any, t: Any) -> None:
    length = stop - start
    a, z = d[start], d[stop - 1] if stop > start else 0
    if length == 5 and a == 99 and z == 115:  # class
        look = e.look[me]
        for k in range(value, end):
            if d[k] < 48 or d[k] > 57:  # numbers differ between siblings
                look = np.uint32((look ^ np.uint32(d[k])) * np.uint32(16777619))
        e.look[me] = look
        _cues(d, value, end, me, e, t)
    elif (length == 2 and a == 105 and z == 100) or (length == 4 and a == 114 and z == 101):  # id, role
        _cues(d, value, end, me, e, t)
    elif length == 8 and a == 105 and d[start + 4] == 112:  # itemprop
        _cues(d, value, end, me, e, t)
    elif length == 4 and a == 104 and z == 102:  # href
        e.flags[me] |= HREF
        if end > value and d[value] == 35:
            e.flags[me] |= FRAGMENT
    elif length == 6 and a == 104 and z == 110:  # hidden
        e.flags[me] |= HIDDEN
    elif length == 11 and a == 97 and d[start + 5] == 104:  # aria-hidden
        if end - value == 4:
            e.flags[me] |= ARIA_HIDDEN
    elif length == 5 and a == 115 and z == 101:  # style
        _style(d, value, end, me, e)


@compiled
def _style(d: Any, i: Any, end: Any, me: Any, e: Any) -> None:
    """display:none, visibility:hidden and font-size:0, with or without a space after the colon."""
    start = i
    while i < end:
        j = i + 1
        if d[i] == 58 and i - start >= 7:
            while j < end and d[j] == _SPACE:
                j += 1
            if j + 4 <= end and d[i - 7] == 100 and d[i - 1] == 121 and d[j] == 110 and d[j + 3] == 101:
                e.flags[me] |= HIDDEN
            elif j + 6 <= end and d[i - 1] == 121 and d[j] == 104 and d[j + 1] == 105 and d[j + 5] == 110:
                e.flags[me] |= HIDDEN
            elif j < end and d[i - 4] == 115 and d[i - 5] == 45 and d[i - 6] == 116 and d[j] == 48:
                if j + 1 >= end or d[j + 1] != 46:  # 0 or 0px, not 0.9em
                    e.flags[me] |= NO_WIDTH
        i = j


@compiled
def _cues(d: Any, i: Any, end: Any, me: Any, e: Any, t: Any) -> None:
    state = t.step[0, 0]
    low = np.uint64(0)
    high = np.uint64(0)
    lower_before = False
    end = min(end, i + 500)
    while i <= end:
        symbol = 0
        if i < end:
            byte = d[i]
            if 97 <= byte <= 122:
                symbol = byte - 96
            elif 65 <= byte <= 90:
                symbol = byte - 64
                if lower_before:
                    state = t.step[state, 0]
                    low |= t.found[state, 0]
                    high |= t.found[state, 1]
            elif byte >= 128:
                symbol = 27
            lower_before = 97 <= byte <= 122
        state = t.step[state, symbol]
        low |= t.found[state, 0]
        high |= t.found[state, 1]
        i += 1
    e.cue[me, 0] |= low
    e.cue[me, 1] |= high
