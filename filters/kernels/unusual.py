"""One look at a text for what normalisation might have to change: most have none of it, and pay for this alone."""

from typing import Any

import numpy as np

from filters.kernels.compiled import U8, compiled

UNCLEAN = 1  # control characters, C1, byte order marks, line separators, spaces of odd widths
SURROGATE = 2  # perhaps half of a pair: Hangul begins with the same byte
GARBLED = 4  # perhaps UTF-8 that was read as windows-1252 or windows-1251
COMPOSED = 8  # a code point from U+0300 up, but for General Punctuation: below, all is in NFC
NO_BREAK = 16
RETURN = 64
BLANKS = 32  # white space before the end of a line, or two empty lines

_PLAIN, _CONTROL, _NEWLINE, _C2, _LEAD, _E2, _ED, _EF, _HIGH = range(9)
_KIND = np.zeros(256, np.uint8)
_KIND[:32] = _CONTROL
_KIND[9] = _PLAIN
_KIND[10] = _NEWLINE
_KIND[127] = _CONTROL
_KIND[0xC2] = _C2
_KIND[[0xC3, 0xD0]] = _LEAD
_KIND[0xCC:0xD0] = _HIGH
_KIND[0xD1:] = _HIGH
_KIND[[0xE2, 0xED, 0xEF]] = _E2, _ED, _EF


@compiled
def look(data: U8) -> int:
    """Which of these may be in valid UTF-8 (surrogates let through)."""
    found = 0
    for i in range(len(data)):
        kind = _KIND[data[i]]
        if kind != _PLAIN:
            found |= _meaning(data, i, kind)
    return found


def trimmed(data: bytes) -> bytes:
    """Without spaces and tabs at line ends, without more than one empty line in a row, without blanks around it."""
    out = np.empty(len(data), np.uint8)
    return out[: _trim(np.frombuffer(data, np.uint8), out)].tobytes()


@compiled
def _trim(data: U8, out: U8) -> int:
    used = 0
    for byte in data:
        if byte == 10:
            while used and (out[used - 1] == 32 or out[used - 1] == 9):
                used -= 1
            if used > 1 and out[used - 1] == 10 and out[used - 2] == 10:
                continue
        elif used == 0 and (byte == 32 or byte == 9):
            continue
        if used or byte != 10:
            out[used] = byte
            used += 1
    while used and (out[used - 1] == 32 or out[used - 1] == 9 or out[used - 1] == 10):
        used -= 1
    return used


@compiled
def _meaning(data: U8, i: Any, kind: Any) -> int:
    if kind == _NEWLINE:
        last = data[i - 1] if i else np.uint8(0)
        return BLANKS if last == 32 or last == 9 or (last == 10 and i > 1 and data[i - 2] == 10) else 0
    if kind == _CONTROL:
        return UNCLEAN | RETURN if data[i] == 13 else UNCLEAN
    second = data[i + 1]
    if kind == _C2:
        return UNCLEAN if second < 0xA0 else (NO_BREAK if second == 0xA0 else 0)
    if kind == _LEAD:
        return GARBLED | COMPOSED if data[i] == 0xD0 else GARBLED
    if kind == _ED:
        return SURROGATE | COMPOSED
    if kind == _EF:
        return UNCLEAN | COMPOSED if second == 0xBB and data[i + 2] == 0xBF else COMPOSED
    if kind == _E2:
        return _punctuation(second, data[i + 2])
    return COMPOSED


@compiled
def _punctuation(second: Any, third: Any) -> int:
    """U+2000..U+2FFF."""
    if second == 0x80:
        return UNCLEAN if third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
    return UNCLEAN | COMPOSED if second == 0x81 and third == 0x9F else COMPOSED
