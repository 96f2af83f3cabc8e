"""One row of numbers per block: its own text, its containers at several levels, its neighbours, its page.

Containers tell most (44 % of a model's gain): an element's blocks are a range, so any sum over a container is the
difference of two entries of a table of running sums.
"""

from typing import Any

import numpy as np

from corpus.extraction.learned import arrays as w
from corpus.extraction.learned import cues, names
from corpus.extraction.learned import measures as m
from corpus.extraction.learned.arrays import Walked
from corpus.extraction.learned.measures import F32, Measures
from filters.kernels.compiled import compiled

LEVELS = 6  # containers above a block that differ in the blocks they hold
NUM_KIN = 36  # of names.KIN; paragraphs and plain containers say nothing
LONG = 80  # characters of a block that is likely a sentence or more
_NEAR = ((-1, -1), (1, 1), (-2, -2), (2, 2), (-4, -1), (1, 4), (-15, -1), (1, 15))

_OWN = (
    "length", "words", "mean_word", "longest", "link", "links", "strong", "stops", "commas", "digits", "capitals",
    "marks", "lines", "short_words", "foreign", "begins_upper", "ends_stop", "ends_colon", "ends_ellipsis", "money",
    "bars", "copyright", "at", "quotes", "slashes", "in_title", "title_in", "tag", "depth", "pre", "hidden",
    "aria_hidden", "no_width", "copies", "first_copy", "heading",
)  # fmt: skip
_LEVEL = (
    "blocks", "length", "share", "mean", "long", "link", "stops", "alike", "of_parent", "images", "place", "headings",
    "children", "cards",
)  # fmt: skip
_NEIGHBOURS = ("length", "link", "long", "stops")
_PLACE = (
    "by_block", "by_length", "from_h1", "from_title", "from_first_long", "from_last_long", "heading_blocks",
    "heading_length", "heading_level", "core50", "core50_share", "core50_link", "core80", "core80_share", "core80_link",
)  # fmt: skip
_PAGE = (
    "blocks", "length", "link", "long", "mean", "long_blocks", "headings", "h1", "images", "inputs", "largest",
    "list_items", "cells", "money", "stops", "foreign", "dates", "comments", "articles", "main_share",
    "article_share", "elements", "cards",
)  # fmt: skip

COLUMNS = (
    *(f"own_{n}" for n in _OWN),
    *(f"level{level}_{n}" for level in range(LEVELS) for n in _LEVEL),
    *(f"near{a}_{b}_{n}" for a, b in _NEAR for n in _NEIGHBOURS),
    *(f"place_{n}" for n in _PLACE),
    *(f"page_{n}" for n in _PAGE),
    *(f"kin_{n}" for n in names.KIN[:NUM_KIN]),
    *(f"class_{group.split('|')[0]}" for group in cues.CLASSES),
    *(f"text_{group.split('|')[0]}" for group in cues.TEXTS),
    *(f"under_{group.split('|')[0]}" for group in cues.TEXTS),
)
_NUM_CLASSES, _NUM_TEXTS = len(cues.CLASSES), len(cues.TEXTS)
_WINDOWS = np.array(_NEAR, np.int64)
_HEADING = np.array([0] + [names.HEADINGS.index(n) + 1 if n in names.HEADINGS else 0 for n in names.NAMES], np.uint8)
_BIT = {name: np.uint64(1 << names.KIN.index(name)) for name in ("li", "td", "th", "article", "main")}
_LI, _CELL, _ARTICLE, _MAIN = _BIT["li"], _BIT["td"] | _BIT["th"], _BIT["article"], _BIT["main"]
_T_ARTICLE = names.TAG["article"]
_DATES = np.uint64(1 << next(i for i, g in enumerate(cues.TEXTS) if g.startswith("january")))
_COMMENTS = np.uint64(1 << next(i for i, g in enumerate(cues.CLASSES) if g.startswith("comment")))
# columns of the running sums
_S_LENGTH, _S_LINK, _S_LONG, _S_STOPS, _S_HEADINGS, _S_CARDS, _NUM_SUMS = range(7)


def features(walked: Walked, measured: Measures) -> F32:
    """Rows of `COLUMNS`. Time is linear in the blocks and the elements."""
    num = len(walked.blocks.start)
    rows = np.zeros((num, len(COLUMNS)), np.float32)
    if num:
        _fill(walked.elements, walked.blocks, measured, walked.counters, rows, _WINDOWS, _HEADING)
    return rows


@compiled
def _fill(e: Any, b: Any, t: Any, counters: Any, rows: Any, windows: Any, heading: Any) -> None:
    alike, children = _siblings(e)
    sums = _sums(e, b, t, alike, heading)
    copies, first = _copies(t.hash)
    page = _page(e, b, t, counters, sums, heading)
    place = _place(e, b, t, sums, heading)
    depth = _depths(e)
    num = len(b.start)
    for k in range(num):
        row = rows[k]
        j = _own(row, 0, k, e, b, t, depth, heading)
        row[j], row[j + 1] = copies[k], first[k]
        row[j + 2] = heading[e.tag[b.element[k]]]
        j = _levels(row, j + 3, k, e, b, sums, alike, children)
        j = _near(row, j, k, num, sums, windows)
        for i in range(place.shape[1]):
            row[j + i] = place[k, i]
        j += place.shape[1]
        for i in range(len(page)):
            row[j + i] = page[i]
        j += len(page)
        j = _flags(row, j, k, e, b, t)
        under = np.int64(place[k, 6])  # blocks since the last heading; 0 where there is none
        if under > 0:
            for i in range(_NUM_TEXTS):
                row[j + i] = (t.cue[k - under] >> np.uint64(i)) & np.uint64(1)


@compiled
def _depths(e: Any) -> Any:
    depth = np.zeros(len(e.tag), np.int32)
    for i in range(1, len(e.tag)):
        depth[i] = depth[e.parent[i]] + 1
    return depth


@compiled
def _siblings(e: Any) -> Any:
    """For each element, its siblings of the same look (itself included), and the number of its children."""
    n = len(e.tag)
    size = 4
    while size < 2 * n:
        size *= 2
    mask = np.uint64(size - 1)
    keys, counts = np.zeros(size, np.uint64), np.zeros(size, np.int32)
    slots = np.zeros(n, np.int64)
    children = np.zeros(n, np.int32)
    for i in range(1, n):
        children[e.parent[i]] += 1
        key = (np.uint64(e.parent[i]) << np.uint64(32)) | np.uint64(e.look[i])
        slot = ((key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & mask
        while counts[slot] != 0 and keys[slot] != key:
            slot = (slot + np.uint64(1)) & mask
        keys[slot] = key
        counts[slot] += 1
        slots[i] = slot
    alike = np.ones(n, np.int32)
    for i in range(1, n):
        alike[i] = counts[slots[i]]
    return alike, children


@compiled
def _is_long(row: Any) -> Any:
    return row[m.LENGTH] >= LONG and row[m.LINK] < 0.4 * row[m.LENGTH] and row[m.STOPS] + row[m.COMMAS] > 0


@compiled
def _sums(e: Any, b: Any, t: Any, alike: Any, heading: Any) -> Any:
    """sums[k] is over the blocks before k. Cards: blocks in a list of four or more containers that look alike."""
    num = len(b.start)
    sums = np.zeros((num + 1, _NUM_SUMS))
    for k in range(num):
        row = t.value[k]
        a = b.element[k]
        card = False
        for _ in range(4):
            card = card or (alike[a] >= 4 and e.last[a] - e.first[a] >= 2)
            a = e.parent[a]
        sums[k + 1] = sums[k]
        sums[k + 1, _S_LENGTH] += row[m.LENGTH]
        sums[k + 1, _S_LINK] += row[m.LINK]
        sums[k + 1, _S_LONG] += row[m.LENGTH] if _is_long(row) else 0
        sums[k + 1, _S_STOPS] += row[m.STOPS]
        sums[k + 1, _S_HEADINGS] += heading[e.tag[b.element[k]]] > 0
        sums[k + 1, _S_CARDS] += row[m.LENGTH] if card else 0
    return sums


@compiled
def _copies(hashes: Any) -> Any:
    """How often the text of each block stands on the page, and whether this is the first time."""
    num = len(hashes)
    order = np.argsort(hashes, kind="mergesort")
    copies, first = np.ones(num, np.int32), np.zeros(num, np.bool_)
    i = 0
    while i < num:
        j = i
        while j < num and hashes[order[j]] == hashes[order[i]]:
            j += 1
        for k in range(i, j):
            copies[order[k]] = j - i
        first[order[i]] = True
        i = j
    return copies, first


@compiled
def _own(row: Any, j: Any, k: Any, e: Any, b: Any, t: Any, depth: Any, heading: Any) -> Any:
    v = t.value[k]
    length, words = max(v[m.LENGTH], 1), max(v[m.WORDS], 1)
    row[j], row[j + 1], row[j + 2], row[j + 3] = v[m.LENGTH], v[m.WORDS], length / words, v[m.LONGEST]
    row[j + 4], row[j + 5], row[j + 6] = v[m.LINK] / length, v[m.LINKS], v[m.STRONG] / length
    row[j + 7], row[j + 8], row[j + 9] = v[m.STOPS], v[m.COMMAS] / words, v[m.DIGITS] / length
    row[j + 10], row[j + 11], row[j + 12] = v[m.CAPITALS] / words, v[m.MARKS] / words, v[m.LINES]
    row[j + 13], row[j + 14] = v[m.SHORT_WORDS] / words, v[m.FOREIGN] / length
    for i in range(12):
        row[j + 15 + i] = v[m.BEGINS_UPPER + i]
    j += 27
    a = b.element[k]
    flags = e.flags[a]
    row[j], row[j + 1], row[j + 2] = e.tag[a], depth[a], b.pre[k]
    row[j + 3], row[j + 4] = flags & w.HIDDEN != 0, flags & w.ARIA_HIDDEN != 0
    row[j + 5] = flags & w.NO_WIDTH != 0
    return j + 6


@compiled
def _levels(row: Any, j: Any, k: Any, e: Any, b: Any, sums: Any, alike: Any, children: Any) -> Any:
    total = max(sums[-1, _S_LENGTH], 1.0)
    a = b.element[k]
    for _ in range(LEVELS):
        first, last = e.first[a], e.last[a]
        like, most = alike[a], children[a]
        up = e.parent[a]
        while a > 0 and e.first[up] == first and e.last[up] == last:  # wrappers
            a = up
            up = e.parent[a]
            like, most = max(like, alike[a]), max(most, children[a])
        blocks = last - first
        length = max(sums[last, _S_LENGTH] - sums[first, _S_LENGTH], 1.0)
        above = max(sums[e.last[up], _S_LENGTH] - sums[e.first[up], _S_LENGTH], 1.0)
        row[j], row[j + 1], row[j + 2], row[j + 3] = blocks, length, length / total, length / max(blocks, 1)
        row[j + 4] = (sums[last, _S_LONG] - sums[first, _S_LONG]) / length
        row[j + 5] = (sums[last, _S_LINK] - sums[first, _S_LINK]) / length
        row[j + 6] = 100 * (sums[last, _S_STOPS] - sums[first, _S_STOPS]) / length
        row[j + 7], row[j + 8] = like, length / above
        row[j + 9] = (e.images_end[a] - e.images[a]) / max(blocks, 1)
        row[j + 10] = (k - first) / max(blocks, 1)
        row[j + 11] = (sums[last, _S_HEADINGS] - sums[first, _S_HEADINGS]) / max(blocks, 1)
        row[j + 12] = most
        row[j + 13] = (sums[last, _S_CARDS] - sums[first, _S_CARDS]) / length
        j += 14
        a = up
    return j


@compiled
def _near(row: Any, j: Any, k: Any, num: Any, sums: Any, windows: Any) -> Any:
    for i in range(len(windows)):
        first, last = max(0, k + windows[i, 0]), min(num, k + windows[i, 1] + 1)
        if first < last:
            length = sums[last, _S_LENGTH] - sums[first, _S_LENGTH]
            row[j] = length / (last - first)
            row[j + 1] = (sums[last, _S_LINK] - sums[first, _S_LINK]) / max(length, 1.0)
            row[j + 2] = (sums[last, _S_LONG] - sums[first, _S_LONG]) / max(length, 1.0)
            row[j + 3] = 100 * (sums[last, _S_STOPS] - sums[first, _S_STOPS]) / max(length, 1.0)
        else:
            row[j] = row[j + 1] = row[j + 2] = row[j + 3] = -1
        j += 4
    return j


@compiled
def _core(e: Any, sums: Any, share: Any) -> Any:
    """The smallest element that still holds this share of the page's long text."""
    total = sums[-1, _S_LONG]
    best, length = 0, 1e18
    for a in range(len(e.tag)):
        first, last = e.first[a], e.last[a]
        if sums[last, _S_LONG] - sums[first, _S_LONG] >= share * total:
            mine = sums[last, _S_LENGTH] - sums[first, _S_LENGTH]
            if mine <= length:
                best, length = a, mine
    return best


@compiled
def _place(e: Any, b: Any, t: Any, sums: Any, heading: Any) -> Any:
    num = len(b.start)
    place = np.zeros((num, 15), np.float32)
    total = max(sums[-1, _S_LENGTH], 1.0)
    h1 = title = first_long = last_long = last_heading = -1
    for k in range(num):
        tag = heading[e.tag[b.element[k]]]
        if h1 < 0 and tag == 1:
            h1 = k
        if title < 0 and t.value[k, m.IN_TITLE] > 0.6 and t.value[k, m.TITLE_IN] > 0.4:
            title = k
        if _is_long(t.value[k]):
            last_long = k
            first_long = k if first_long < 0 else first_long
    level = 0
    for k in range(num):
        place[k, 0], place[k, 1] = k / num, sums[k, _S_LENGTH] / total
        place[k, 2] = k - h1 if h1 >= 0 else -1000
        place[k, 3] = k - title if title >= 0 else -1000
        place[k, 4] = k - first_long if first_long >= 0 else -1000
        place[k, 5] = k - last_long if first_long >= 0 else -1000
        if last_heading >= 0:
            place[k, 6], place[k, 7] = k - last_heading, sums[k, _S_LENGTH] - sums[last_heading, _S_LENGTH]
        place[k, 8] = level
        if heading[e.tag[b.element[k]]] > 0:
            last_heading = k
            level = heading[e.tag[b.element[k]]]
    for i in range(2):
        core = _core(e, sums, 0.5 if i == 0 else 0.8)
        first, last = e.first[core], e.last[core]
        length = max(sums[last, _S_LENGTH] - sums[first, _S_LENGTH], 1.0)
        for k in range(num):
            place[k, 9 + 3 * i] = -1 if k < first else 1 if k >= last else 0
            place[k, 10 + 3 * i] = length / total
            place[k, 11 + 3 * i] = (sums[last, _S_LINK] - sums[first, _S_LINK]) / length
    return place


@compiled
def _page(e: Any, b: Any, t: Any, counters: Any, sums: Any, heading: Any) -> Any:
    num = len(b.start)
    p = np.zeros(23, np.float32)
    length = max(sums[-1, _S_LENGTH], 1.0)
    p[0], p[1], p[2], p[3], p[4] = num, length, sums[-1, _S_LINK] / length, sums[-1, _S_LONG] / length, length / num
    for k in range(num):
        a = b.element[k]
        v = t.value[k]
        p[5] += _is_long(v)
        p[6] += heading[e.tag[a]] > 0
        p[7] += heading[e.tag[a]] == 1
        p[10] = max(p[10], v[m.LENGTH])
        p[11] += (e.kin[a] & _LI != 0) / num
        p[12] += (e.kin[a] & _CELL != 0) / num
        p[13] += (v[m.MONEY] > 0) / num
        p[15] += v[m.FOREIGN] / length
        p[16] += (t.cue[k] & _DATES != 0) / num
        p[17] += (e.cues[a, 0] & _COMMENTS != 0) * v[m.LENGTH] / length
        p[19] += (e.kin[a] & _MAIN != 0) * v[m.LENGTH] / length
        p[20] += (e.kin[a] & _ARTICLE != 0) * v[m.LENGTH] / length
    for a in range(len(e.tag)):
        p[18] += e.tag[a] == _T_ARTICLE
    p[8], p[9], p[14] = counters[w.IMAGES], counters[w.INPUTS], 100 * sums[-1, _S_STOPS] / length
    p[21], p[22] = len(e.tag), sums[-1, _S_CARDS] / length
    return p


@compiled
def _flags(row: Any, j: Any, k: Any, e: Any, b: Any, t: Any) -> Any:
    one = np.uint64(1)
    a = b.element[k]
    for i in range(NUM_KIN):
        row[j + i] = (e.kin[a] >> np.uint64(i)) & one
    j += NUM_KIN
    for half in range(2):
        far = e.cues[a, half]
        own = e.cue[a, half] | b.cue[k, half]
        near = own
        up = a
        for _ in range(3):
            up = e.parent[up]
            near |= e.cue[up, half]
        for i in range(min(64, _NUM_CLASSES - 64 * half)):
            bit = np.uint64(i)
            row[j + 64 * half + i] = ((far | own) >> bit & one) + (near >> bit & one) + (own >> bit & one)
    j += _NUM_CLASSES
    for i in range(_NUM_TEXTS):
        row[j + i] = (t.cue[k] >> np.uint64(i)) & one
    return j + _NUM_TEXTS
