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
    B_COLUMNS,
    BOLD,
    E_COLUMNS,
    ELEMENT,
    END,
    F_COLUMNS,
    FIRST,
    FLAGS,
    HIDDEN,
    HIDING,
    HREF,
    IMAGES,
    IMAGES_AFTER,
    IMAGES_BEFORE,
    IN_PRE,
    IN_STRONG,
    INPUTS,
    KIN,
    LAST,
    LINK,
    LINKED,
    LINKS,
    LOOK,
    MAX_BLOCKS,
    MAX_DEPTH,
    N_BLOCKS,
    N_ELEMENTS,
    N_TEXT,
    NUM_COUNTERS,
    NUM_LINKS,
    OPEN,
    PARENT,
    PREFORMATTED,
    START,
    TAG,
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
from filters.kernels.compiled import I32, U64, compiled, inlined

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
    room = min(size, MAX_BLOCKS) + 2
    # Plain arrays, a row per element or block: named tuples cost a reference count per field and call, 0.5 µs a tag.
    e, f = np.zeros((size, E_COLUMNS), np.int32), np.zeros((size, F_COLUMNS), np.uint64)
    b, g = np.zeros((room, B_COLUMNS), np.int32), np.zeros((room, 2), np.uint64)
    text = np.empty(len(data) + 3 * size + 16, np.uint8)
    counters = np.zeros(NUM_COUNTERS, np.int64)
    _walk(data, e, f, b, g, text, counters, *tables())
    n, m = int(counters[N_ELEMENTS]), int(counters[N_BLOCKS])
    title = text[counters[TITLE_START] : max(counters[TITLE_START], counters[TITLE_END])]
    return Walked(_elements(e[:n], f[:n]), _blocks(b[:m], g[:m]), text[: counters[N_TEXT]], title, counters)


def _elements(e: I32, f: U64) -> Elements:
    columns = np.ascontiguousarray(e.T)
    return Elements(
        tag=columns[TAG].astype(np.uint8),
        parent=columns[PARENT],
        look=columns[LOOK],
        cue=np.ascontiguousarray(f[:, :2]),
        cues=np.ascontiguousarray(f[:, 2:4]),
        kin=np.ascontiguousarray(f[:, KIN]),
        flags=columns[FLAGS].astype(np.uint8),
        first=columns[FIRST],
        last=columns[LAST],
        images=columns[IMAGES_BEFORE],
        images_end=columns[IMAGES_AFTER],
    )


def _blocks(b: I32, g: U64) -> Blocks:
    columns = np.ascontiguousarray(b.T)
    return Blocks(
        start=columns[START],
        end=columns[END],
        element=columns[ELEMENT],
        link=columns[LINKED],
        links=columns[NUM_LINKS],
        strong=columns[BOLD],
        cue=g,
        pre=columns[PREFORMATTED].astype(np.uint8),
    )


@compiled
def _walk(
    d: Any,
    e: Any,
    f: Any,
    b: Any,
    g: Any,
    text: Any,
    c: Any,
    slots: Any,
    kinds: Any,
    kin: Any,
    step: Any,
    found: Any,
) -> None:
    n = len(d)
    stack = np.empty(MAX_DEPTH + 1, np.int32)
    stack[0] = 0
    c[N_ELEMENTS], c[OPEN], c[HIDING], c[TITLE_END] = 1, -1, -1, -1
    i = 0
    while i < n:
        if d[i] != _LT:
            i = characters(d, i, stack, e, b, text, c, kinds)
        elif i + 1 < n and d[i + 1] == _BANG:
            i = declaration(d, i)
        elif i + 1 < n and d[i + 1] == _SLASH:
            i, tag = tag_name(d, i + 2, slots)
            while i < n and d[i] != _GT:
                i += 1
            i += 1
            _close(tag, stack, e, b, g, text, c, kinds)
        else:
            i, tag = tag_name(d, i + 1, slots)
            i = _open(d, i, tag, stack, e, f, b, g, text, c, kinds, kin, step, found)
            if kinds[tag] & _RAW:
                i = skip_raw(d, i, tag, slots)
    flush(b, g, text, c)
    for k in range(min(c[TOP], MAX_DEPTH) + 1):
        if stack[k] >= 0:
            e[stack[k], LAST] = c[N_BLOCKS]
            e[stack[k], IMAGES_AFTER] = c[IMAGES]


@inlined
def _open(
    d: Any,
    i: Any,
    tag: Any,
    stack: Any,
    e: Any,
    f: Any,
    b: Any,
    g: Any,
    text: Any,
    c: Any,
    kinds: Any,
    kin: Any,
    step: Any,
    found: Any,
) -> Any:
    kind = kinds[tag]
    inline = kind & _INLINE != 0
    if c[HIDING] < 0:
        if tag == _T_BR:
            line_break(b, g, text, c)
        elif not inline:
            flush(b, g, text, c)
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
    e[me, TAG], e[me, PARENT], e[me, FIRST], e[me, IMAGES_BEFORE] = tag, parent, c[N_BLOCKS], c[IMAGES]
    f[me, KIN] = f[parent, KIN] | kin[tag]
    e[me, FLAGS] = e[parent, FLAGS] & (HIDDEN | ARIA_HIDDEN)  # a font size of 0 is often undone further in
    e[me, LOOK] = tag
    i = read_attributes(d, i, me, e, f, step, found)
    page = tag in (_T_BODY, _T_HTML)
    for k in range(2):
        f[me, 2 + k] = f[parent, 2 + k] if page else f[parent, 2 + k] | f[me, k]
        if inline:
            g[c[N_BLOCKS], k] |= f[me, k]
    if kind & _HIDDEN:
        c[HIDING] = c[TOP]
    elif tag == _T_A and e[me, FLAGS] & HREF:
        c[LINK] += 1
        c[LINKS] += 1
    elif tag == _T_PRE:
        c[IN_PRE] += 1
    elif kind & (_IS_STRONG | _IS_EM | _IS_CODE):
        c[IN_STRONG] += kind & _IS_STRONG != 0
        mark(kind, True, text, c)
    return i


@inlined
def _close(tag: Any, stack: Any, e: Any, b: Any, g: Any, text: Any, c: Any, kinds: Any) -> None:
    if c[TOP] > MAX_DEPTH:
        c[TOP] -= 1
        return
    me = stack[c[TOP]]
    mine = np.int64(e[me, TAG]) if me >= 0 else np.int64(-1 - me)
    if c[TOP] <= 0 or mine != tag:  # no serialiser writes this, unless the parser was tricked
        return
    kind = kinds[tag]
    if me >= 0:
        if tag == _T_A and e[me, FLAGS] & HREF:
            c[LINK] -= 1
        elif kind & (_IS_STRONG | _IS_EM | _IS_CODE):
            c[IN_STRONG] -= kind & _IS_STRONG != 0
            mark(kind, False, text, c)
        elif not kind & _INLINE and c[HIDING] < 0:
            flush(b, g, text, c)
        if tag == _T_PRE:
            c[IN_PRE] -= 1
        e[me, LAST] = c[N_BLOCKS]
        e[me, IMAGES_AFTER] = c[IMAGES]
    if c[HIDING] == c[TOP]:
        c[HIDING] = -1
    c[TOP] -= 1
