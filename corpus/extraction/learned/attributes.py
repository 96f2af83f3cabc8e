"""Reading attributes: class names and ids for their words, links, and what hides an element."""

from typing import Any

import numpy as np

from corpus.extraction.learned.arrays import (
    ARIA_HIDDEN,
    FLAGS,
    FRAGMENT,
    HIDDEN,
    HREF,
    LOOK,
    NO_WIDTH,
)  # fmt: skip
from filters.kernels.compiled import inlined

_SPACE, _GT, _QUOTE, _EQUALS = 32, 62, 34, 61


@inlined
def skip_attributes(d: Any, i: Any) -> Any:
    n = len(d)
    while i < n and d[i] != _GT:
        if d[i] == _QUOTE and d[i - 1] == _EQUALS:  # a quote elsewhere is part of a broken name
            i += 1
            while i < n and d[i] != _QUOTE:
                i += 1
        i += 1
    return i + 1


@inlined
def read_attributes(d: Any, i: Any, me: Any, e: Any, f: Any, step: Any, found: Any) -> Any:
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
            _attribute(d, start, stop, value, i, me, e, f, step, found)
            i += 1
        elif i < n and d[i] == _EQUALS:
            i += 1
    return i + 1


@inlined
def _attribute(
    d: Any, start: Any, stop: Any, value: Any, end: Any, me: Any, e: Any, f: Any, step: Any, found: Any
) -> None:
    length = stop - start
    a, z = d[start], d[stop - 1] if stop > start else 0
    if length == 5 and a == 99 and z == 115:  # class
        look = np.uint32(e[me, LOOK])
        for k in range(value, end):
            if d[k] < 48 or d[k] > 57:  # numbers differ between siblings
                look = np.uint32((look ^ np.uint32(d[k])) * np.uint32(16777619))
        e[me, LOOK] = look
        _cues(d, value, end, me, f, step, found)
    elif (
        (length == 2 and a == 105 and z == 100)
        or (length == 4 and a == 114 and z == 101)
        or (length == 8 and a == 105 and d[start + 4] == 112)
    ):  # id, role
        _cues(d, value, end, me, f, step, found)
    elif length == 4 and a == 104 and z == 102:  # href
        e[me, FLAGS] |= HREF
        if end > value and d[value] == 35:
            e[me, FLAGS] |= FRAGMENT
    elif length == 6 and a == 104 and z == 110:  # hidden
        e[me, FLAGS] |= HIDDEN
    elif length == 11 and a == 97 and d[start + 5] == 104:  # aria-hidden
        if end - value == 4:
            e[me, FLAGS] |= ARIA_HIDDEN
    elif length == 5 and a == 115 and z == 101:  # style
        _style(d, value, end, me, e)


@inlined
def _style(d: Any, i: Any, end: Any, me: Any, e: Any) -> None:
    """display:none, visibility:hidden and font-size:0, with or without a space after the colon."""
    start = i
    while i < end:
        j = i + 1
        if d[i] == 58 and i - start >= 7:
            while j < end and d[j] == _SPACE:
                j += 1
            if (j + 4 <= end and d[i - 7] == 100 and d[i - 1] == 121 and d[j] == 110 and d[j + 3] == 101) or (
                j + 6 <= end and d[i - 1] == 121 and d[j] == 104 and d[j + 1] == 105 and d[j + 5] == 110
            ):
                e[me, FLAGS] |= HIDDEN
            elif j < end and d[i - 4] == 115 and d[i - 5] == 45 and d[i - 6] == 116 and d[j] == 48:
                e[me, FLAGS] |= NO_WIDTH if j + 1 >= end or d[j + 1] != 46 else 0  # 0 or 0px, not 0.9em
        i = j


@inlined
def _cues(d: Any, i: Any, end: Any, me: Any, f: Any, step: Any, found: Any) -> None:
    state = step[0, 0]
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
                    state = step[state, 0]
                    low |= found[state, 0]
                    high |= found[state, 1]
            elif byte >= 128:
                symbol = 27
            lower_before = 97 <= byte <= 122
        state = step[state, symbol]
        low |= found[state, 0]
        high |= found[state, 1]
        i += 1
    f[me, 0] |= low
    f[me, 1] |= high
