"""What the bytes of each block say, without knowing their language: lengths, marks, capitals, digits, listed words."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from corpus.extraction.learned import cues
from corpus.extraction.learned.arrays import Walked
from corpus.extraction.learned.automaton import automaton
from filters.kernels.compiled import U8, U64, compiled, inlined

F32 = npt.NDArray[np.float32]

COLUMNS = (
    "length", "words", "link", "links", "strong", "stops", "commas", "digits", "capitals", "marks", "lines",
    "short_words", "foreign", "longest", "begins_upper", "ends_stop", "ends_colon", "ends_ellipsis", "money", "bars",
    "copyright", "at", "quotes", "slashes", "in_title", "title_in",
)  # fmt: skip
(LENGTH, WORDS, LINK, LINKS, STRONG, STOPS, COMMAS, DIGITS, CAPITALS, MARKS, LINES, SHORT_WORDS, FOREIGN, LONGEST,
 BEGINS_UPPER, ENDS_STOP, ENDS_COLON, ENDS_ELLIPSIS, MONEY, BARS, COPYRIGHT, AT, QUOTES, SLASHES, IN_TITLE,
 TITLE_IN) = range(len(COLUMNS))  # fmt: skip

_WORDS = automaton(cues.TEXTS)
_CUE_BYTES = 240  # only the beginning of a block is searched for listed words
_TITLE_SLOTS = 256
_FOREIGN = 1


def _folded() -> U8:
    """Of each byte: its lower case if it is a letter, digit or underscore, _FOREIGN if not ASCII, else 0."""
    table = np.zeros(256, np.uint8)
    for character in "abcdefghijklmnopqrstuvwxyz0123456789_":
        table[ord(character)] = table[ord(character.upper())] = ord(character)
    table[128:] = _FOREIGN
    return table


_FOLDED = _folded()


class Measures(NamedTuple):
    """`value[block, column]`; `cue` has a bit per line of cues.TEXTS; equal texts have equal `hash`."""

    value: F32
    cue: U64
    hash: U64


def measure(walked: Walked) -> Measures:
    """Time is linear in the text."""
    num = len(walked.blocks.start)
    value = np.zeros((num, len(COLUMNS)), np.float32)
    cue, hashes = np.zeros(num, np.uint64), np.zeros(num, np.uint64)
    title = np.zeros(_TITLE_SLOTS, np.uint64)
    b = walked.blocks
    _measure(walked.text, b.start, b.end, walked.title, title, value, cue, hashes, *_WORDS)
    value[:, LINK], value[:, LINKS], value[:, STRONG] = b.link, b.links, b.strong
    return Measures(value, cue, hashes)


@compiled
def _measure(
    text: Any, starts: Any, ends: Any, title: Any, slots: Any, value: Any, cue: Any, hashes: Any, step: Any, found: Any
) -> None:
    num_title = _title(title, slots)
    for k in range(len(starts)):
        start, end = starts[k], ends[k]
        _block(text, start, end, value[k])
        hashes[k] = _word_pass(text, start, end, value[k], slots, num_title)
        cue[k] = _listed(text, start, min(end, start + _CUE_BYTES), step, found)


@compiled
def _title(title: Any, slots: Any) -> Any:
    """Put the title's words into the table; how many there are."""
    count = 0
    i = 0
    while i < len(title) and count < _TITLE_SLOTS // 2:
        i, word, length = _word(title, i, len(title))
        if length > 0:
            slot = word & np.uint64(_TITLE_SLOTS - 1)
            while slots[slot] != 0 and slots[slot] != word:
                slot = (slot + np.uint64(1)) & np.uint64(_TITLE_SLOTS - 1)
            count += slots[slot] == 0
            slots[slot] = word
    return count


@inlined
def _word(text: Any, i: Any, end: Any) -> Any:
    """(position after it, hash, bytes) of the next word; no bytes at the end of the text."""
    while i < end:
        folded = _FOLDED[text[i]]
        if folded > _FOREIGN or (folded == _FOREIGN and _is_foreign_letter(text, i, end)):
            break
        i += 1
    value = np.uint64(14695981039346656037)
    start = i
    while i < end:
        folded = _FOLDED[text[i]]
        if folded == 0 or (folded == _FOREIGN and not _is_foreign_letter(text, i, end)):
            break
        byte = text[i] if folded == _FOREIGN else folded
        value = (value ^ np.uint64(byte)) * np.uint64(1099511628211)
        i += 1
    return i, (value ^ (value >> np.uint64(29))) | np.uint64(1), i - start


@inlined
def _is_foreign_letter(text: Any, i: Any, end: Any) -> Any:
    """What is not ASCII is part of a word, but for general punctuation, East Asian stops and Latin-1's signs."""
    byte = text[i]
    if byte >= 0xC0:
        return byte != 0xC2 and _is_first(text, i, end)
    back = i - 1  # within a character: as its first byte
    while back > 0 and i - back < 3 and 0x80 <= text[back] < 0xC0:
        back -= 1
    return back >= 0 and text[back] > 0xC2 and _is_first(text, back, end)


@inlined
def _is_first(text: Any, i: Any, end: Any) -> Any:
    """Whether the character that begins here is a letter, as far as its first two bytes tell."""
    byte, after = text[i], text[i + 1] if i + 1 < end else 0
    punctuation = (byte == 0xE2 and 0x80 <= after <= 0x9F) or (byte == 0xE3 and after == 0x80)
    return not punctuation and not (byte == 0xEF and after == 0xBC)


@inlined
def _word_pass(text: Any, start: Any, end: Any, value: Any, slots: Any, num_title: Any) -> Any:
    whole = np.uint64(1469598103934665603)
    count = 0
    shared = 0
    short = 0
    longest = 0
    i = start
    while True:
        i, word, length = _word(text, i, end)
        if length == 0:
            break
        count += 1
        short += length <= 3
        longest = max(longest, length)
        whole = (whole ^ word) * np.uint64(1099511628211)
        whole ^= whole >> np.uint64(31)
        if num_title > 0 and count <= 60:
            slot = word & np.uint64(_TITLE_SLOTS - 1)
            while slots[slot] != 0 and slots[slot] != word:
                slot = (slot + np.uint64(1)) & np.uint64(_TITLE_SLOTS - 1)
            shared += slots[slot] == word
    value[WORDS], value[SHORT_WORDS], value[LONGEST] = count, short, longest
    value[IN_TITLE] = shared / max(1, count)
    value[TITLE_IN] = shared / max(1, num_title)
    return whole


@inlined
def _block(text: Any, start: Any, end: Any, value: Any) -> None:
    length = capitals = digits = commas = stops = marks = lines = foreign = money = bars = quotes = slashes = at = 0
    for i in range(start, end):
        byte = text[i]
        if byte < 128:
            length += byte > 3
            if 97 <= byte <= 122 or byte == 32:
                continue
            if 65 <= byte <= 90:
                capitals += 1
            elif 48 <= byte <= 57:
                digits += 1
            elif byte == 44:
                commas += 1
            elif byte == 46 or byte == 33 or byte == 63:
                stops += i + 1 == end or text[i + 1] <= 34 or text[i + 1] >= 128
            elif byte == 10:
                lines += 1
            else:
                marks += byte > 32
                money += byte == 36
                bars += byte == 124 or byte == 62
                quotes += byte == 34
                slashes += byte == 47
                at += byte == 64
        elif byte >= 0xC0:  # the first byte of a character
            after = text[i + 1] if i + 1 < end else 0
            last = text[i + 2] if i + 2 < end else 0
            foreign += 1
            length += 1
            if byte == 0xE3 and after == 0x80:  # East Asian stop and comma
                stops += last == 0x82
                commas += last == 0x81
            elif byte == 0xEF and after == 0xBC:
                stops += last == 0x81 or last == 0x9F
                commas += last == 0x8C
            elif byte == 0xE2 and after == 0x80:
                quotes += 0x98 <= last <= 0x9F
                marks += 1
            elif byte == 0xE2 and after == 0x82:
                money += 1
            elif byte == 0xC2:
                money += 0xA2 <= after <= 0xA5
                value[COPYRIGHT] += after == 0xA9
                bars += after == 0xBB or after == 0xB7
                marks += 1
            elif 0xE3 <= byte <= 0xED:  # one of these letters says as much as three of an alphabet
                length += 2
            elif byte == 0xE0 and after == 0xA5 and last == 0xA4:
                stops += 1
            elif byte == 0xD8 and after == 0x8C:
                commas += 1
            elif byte == 0xD8 and after == 0x9F:
                stops += 1
    value[LENGTH], value[CAPITALS], value[DIGITS], value[COMMAS], value[STOPS] = length, capitals, digits, commas, stops
    value[MARKS], value[LINES], value[FOREIGN], value[MONEY], value[BARS] = marks, lines, foreign, money, bars
    value[QUOTES], value[SLASHES], value[AT] = quotes, slashes, at
    _ends(text, start, end, value)


@inlined
def _ends(text: Any, start: Any, end: Any, value: Any) -> None:
    while start < end and text[start] < 4:
        start += 1
    while start < end and text[end - 1] < 4:
        end -= 1
    if start == end:
        return
    first, last = text[start], text[end - 1]
    before = text[end - 2] if end - 2 >= start else 0
    third = text[end - 3] if end - 3 >= start else 0
    if (last == 0x9D and before == 0x80) or last == 34 or last == 39 or last == 41:  # a closing quote or bracket
        back = end - 4 if last == 0x9D else end - 2
        last = text[back] if back >= start and (text[back] == 46 or text[back] == 33 or text[back] == 63) else last
    value[BEGINS_UPPER] = 65 <= first <= 90
    value[ENDS_COLON] = last == 58
    value[ENDS_ELLIPSIS] = (last == 0xA6 and before == 0x80) or (last == 46 and before == 46)
    cjk = (last == 0x82 and before == 0x80 and third == 0xE3) or (before == 0xBC and (last == 0x81 or last == 0x9F))
    danda = last == 0xA4 and before == 0xA5
    value[ENDS_STOP] = last == 46 or last == 33 or last == 63 or cjk or danda


@inlined
def _listed(text: Any, start: Any, end: Any, step: Any, found: Any) -> Any:
    state = step[0, 0]
    bits = np.uint64(0)
    for i in range(start, end + 1):
        symbol = 0
        if i < end:
            byte = text[i]
            if 97 <= byte <= 122:
                symbol = byte - 96
            elif 65 <= byte <= 90:
                symbol = byte - 64
            elif byte >= 128:
                symbol = 27
        state = step[state, symbol]
        bits |= found[state, 0]
    return bits
