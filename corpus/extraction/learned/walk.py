"""Well-formed HTML, as a parser writes it, to flat arrays of elements and blocks, in one compiled pass.

A DOM's nodes cannot be walked by compiled code, but a parser's serialisation can: all tags are closed, attributes are
quoted, and five escapes remain. A block is a run of text without a block-level tag or an empty line in it. Blocks are
numbered in the order of the document, so those of an element are a range, and sums over elements are differences.
"""

from typing import Any

import numpy as np

from corpus.extraction.learned import names
from corpus.extraction.learned.arrays import (
    ARIA_HIDDEN,
    HIDDEN,
    HIDING,
    HREF,
    IMAGES,
    IN_PRE,
    IN_STRONG,
    INPUTS,
    LINK,
    LINKS,
    MAX_BLOCKS,
    MAX_DEPTH,
    N_BLOCKS,
    N_ELEMENTS,
    N_TEXT,
    NO_WIDTH,
    NUM_COUNTERS,
    OPEN,
    TITLE_END,
    TITLE_START,
    TOP,
    Blocks,
    Elements,
    Walked,
)  # fmt: skip
from corpus.extraction.learned.attributes import read_attributes, skip_attributes
from corpus.extraction.learned.characters import characters, flush, line_break, mark
from corpus.extraction.learned.tags import declaration, skip_raw, tables, tag_name
from filters.kernels.compiled import compiled

_LT, _GT, _SLASH, _BANG = 60, 62, 47, 33
_T_BODY, _T_HTML, _T_A, _T_PRE, _T_BR, _T_IMG, _T_INPUT = (
    names.TAG[n] for n in ("body", "html", "a", "pre", "br", "img", "input")
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
    title = text[counters[TITLE_START] : max(counters[TITLE_START], counters[TITLE_END])]
    of_elements: list[Any] = [column[:n] for column in elements]
    of_blocks: list[Any] = [column[:m] for column in blocks]
    return Walked(
        Elements(*of_elements),
        Blocks(*of_blocks),
        text[: counters[N_TEXT]],
        title,
        counters,
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
            i = characters(d, i, stack, e, b, text, c, t)
        elif i + 1 < n and d[i + 1] == _BANG:
            i = declaration(d, i)
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
    flush(b, text, c)
    for k in range(min(c[TOP], MAX_DEPTH) + 1):
        if stack[k] >= 0:
            e.last[stack[k]] = c[N_BLOCKS]
            e.images_end[stack[k]] = c[IMAGES]


@compiled
def _open(d: Any, i: Any, tag: Any, stack: Any, e: Any, b: Any, text: Any, c: Any, t: Any) -> Any:
    kind = t.kinds[tag]
    inline = kind & _INLINE != 0
    if c[HIDING] < 0:
        if tag == _T_BR:
            line_break(b, text, c)
        elif not inline:
            flush(b, text, c)
        c[IMAGES] += tag == _T_IMG
        c[INPUTS] += tag == _T_INPUT
    if kind & _VOID:
        return skip_attributes(d, i)
    c[TOP] += 1
    if c[TOP] > MAX_DEPTH:
        return skip_attributes(d, i)
    if c[HIDING] >= 0:
        stack[c[TOP]] = -1 - tag  # a hidden element is remembered by its tag alone, so that its end is found
        return skip_attributes(d, i)
    me = c[N_ELEMENTS]
    c[N_ELEMENTS] += 1
    parent = stack[c[TOP] - 1]
    stack[c[TOP]] = me
    e.tag[me], e.parent[me], e.first[me], e.images[me] = tag, parent, c[N_BLOCKS], c[IMAGES]
    e.kin[me] = e.kin[parent] | t.kin[tag]
    e.flags[me] = e.flags[parent] & (HIDDEN | ARIA_HIDDEN | NO_WIDTH)
    e.look[me] = tag
    i = read_attributes(d, i, me, e, t)
    page = tag in (_T_BODY, _T_HTML)
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
        mark(kind, True, text, c)
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
            mark(kind, False, text, c)
        elif not kind & _INLINE and c[HIDING] < 0:
            flush(b, text, c)
        if tag == _T_PRE:
            c[IN_PRE] -= 1
        e.last[me] = c[N_BLOCKS]
        e.images_end[me] = c[IMAGES]
    if c[HIDING] == c[TOP]:
        c[HIDING] = -1
    c[TOP] -= 1
