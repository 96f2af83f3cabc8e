"""Reading tags: names by a hash table, ends of raw text, declarations."""

import functools
from typing import Any, NamedTuple

import numpy as np

from corpus.extraction.learned import cues, names
from corpus.extraction.learned.automaton import Automaton, automaton
from filters.kernels.compiled import I32, I64, U64, inlined

_LT, _GT, _SLASH, _SPACE = 60, 62, 47, 32
_T_PLAINTEXT = names.TAG["plaintext"]


class Tables(NamedTuple):
    """Of tag names, what each tag is, and the automaton of class names."""

    slots: I64  # [slot, 2]: hash of a name, number of its tag
    kinds: I64
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
def tables() -> Tables:
    """Built once per process."""
    slots = np.zeros((_SLOTS, 2), np.int64)
    for name, number in names.TAG.items():
        slot = _hash(name.encode()) % _SLOTS
        while slots[slot, 0]:
            slot = (slot + 1) % _SLOTS
        slots[slot] = _hash(name.encode()), number
    words: Automaton = automaton(cues.CLASSES)
    kinds = np.array(names.kinds(), np.int64)
    return Tables(slots, kinds, np.array(names.kin_bits(), np.uint64), words.step, words.found)


@inlined
def declaration(d: Any, i: Any) -> Any:
    n = len(d)
    if i + 3 < n and d[i + 2] == 45 and d[i + 3] == 45:  # <!--
        i += 4
        while i < n and not (d[i] == _GT and d[i - 1] == 45 and d[i - 2] == 45):
            i += 1
    else:
        while i < n and d[i] != _GT:
            i += 1
    return i + 1


@inlined
def tag_name(d: Any, i: Any, slots: Any) -> Any:
    """(position after a tag's name, number of the tag)"""
    n = len(d)
    value = np.uint32(2166136261)
    while i < n and d[i] != _GT and d[i] != _SPACE and d[i] != _SLASH:
        byte = d[i] | np.uint8(32) if 65 <= d[i] <= 90 else d[i]
        value = np.uint32((value ^ np.uint32(byte)) * np.uint32(16777619))
        i += 1
    slot = value & np.uint32(_SLOTS - 1)
    while slots[slot, 0] != 0:
        if slots[slot, 0] == value:
            return i, slots[slot, 1]
        slot = (slot + np.uint32(1)) & np.uint32(_SLOTS - 1)
    return i, np.int64(0)


@inlined
def skip_raw(d: Any, i: Any, tag: Any, slots: Any) -> Any:
    """The position of the end tag of a script or the like."""
    n = len(d)
    if tag == _T_PLAINTEXT:
        return n
    while i < n:
        if d[i] == _LT and i + 1 < n and d[i + 1] == _SLASH:
            _, other = tag_name(d, i + 2, slots)
            if other == tag:
                return i
        i += 1
    return n
