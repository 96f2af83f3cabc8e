"""What Python says of every code point, as one byte of flags each, so that compiled loops agree with ``str`` methods.

Built from numpy's vectorised string predicates, which read Python's own Unicode database: about 20 ms, once per
process.
"""

import functools
import unicodedata
from typing import Any

import numpy as np

from filters.kernels.compiled import U8, U32

ALPHA = 1
ALNUM = 2
UPPER = 4
DIGIT = 8
SPACE = 16
MARK = 32  # combining marks, which belong to the word of the letter before them

NUM_CODE_POINTS = 0x110000
_PREDICATES = {ALPHA: "isalpha", ALNUM: "isalnum", UPPER: "isupper", DIGIT: "isdigit", SPACE: "isspace"}
_SUPPLEMENT = 0x20000
_ASSIGNED = 0x40000  # Unicode has no letter, digit or space above; a test asks Python about all code points


@functools.cache
def class_flags() -> U8:
    """flags[c] has bit ALPHA where chr(c).isalpha(), and so on; no exceptions."""
    characters: Any = np.arange(_ASSIGNED, dtype=np.uint32).view("U1")
    flags = np.zeros(NUM_CODE_POINTS, np.uint8)
    for bit, predicate in _PREDICATES.items():
        flags[:_ASSIGNED] |= getattr(np.strings, predicate)(characters).view(np.uint8) * np.uint8(bit)
    for code in np.flatnonzero(flags[0x300:_SUPPLEMENT] == 0) + 0x300:
        flags[code] = MARK * unicodedata.category(chr(code)).startswith("M")
    flags[0xE0100:0xE01F0] = MARK  # variation selectors, the only marks higher up
    flags.flags.writeable = False
    return flags


@functools.cache
def lower_case() -> U32:
    """lower[c] is the lower-case code point of c; the few that become two code points lose the second one."""
    lower = np.arange(NUM_CODE_POINTS, dtype=np.uint32)
    for code in np.flatnonzero(class_flags() & UPPER):
        lower[code] = ord(chr(code).lower()[0])
    lower.flags.writeable = False
    return lower
