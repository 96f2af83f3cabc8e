"""What Python says of every code point, as one byte of flags each, so that compiled loops agree with ``str`` methods.

Built from numpy's vectorised string predicates, which read Python's own Unicode database: about 15 ms, once per process.
"""

import functools
from typing import Any

import numpy as np

from filters.kernels.compiled import U8, U32

ALPHA = 1
ALNUM = 2
UPPER = 4
DIGIT = 8
SPACE = 16

NUM_CODE_POINTS = 0x110000
_PREDICATES = {ALPHA: "isalpha", ALNUM: "isalnum", UPPER: "isupper", DIGIT: "isdigit", SPACE: "isspace"}
_ASSIGNED = 0x40000  # Unicode has no letter, digit or space above; a test asks Python about all code points


@functools.cache
def class_flags() -> U8:
    """flags[c] has bit ALPHA where chr(c).isalpha(), and so on; no exceptions."""
    characters: Any = np.arange(_ASSIGNED, dtype=np.uint32).view("U1")
    flags = np.zeros(NUM_CODE_POINTS, np.uint8)
    for bit, predicate in _PREDICATES.items():
        flags[:_ASSIGNED] |= getattr(np.strings, predicate)(characters).view(np.uint8) * np.uint8(bit)
    return frozen(flags)


@functools.cache
def lower_case() -> U32:
    """lower[c] is the lower-case code point of c; the few that become two code points lose the second one."""
    lower = np.arange(NUM_CODE_POINTS, dtype=np.uint32)
    for code in np.flatnonzero(class_flags() & UPPER):
        lower[code] = ord(chr(code).lower()[0])
    return frozen(lower)


def frozen(array: Any) -> Any:
    """Read-only, as views of Arrow buffers are: numba compiles a kernel once more for arrays that can be written."""
    array.flags.writeable = False
    return array
