"""An open-addressing table that counts 64-bit keys and is never cleared.

An entry belongs to the present question only if it carries the present epoch. The part in use fits the number of
items asked about, so that a short document stays in cache after a long one.
"""

from typing import Any, NamedTuple

import numpy as np

from filters.kernels.compiled import U64, compiled

COUNT = np.uint64(0x7FFFFFFF)  # the bits of an entry that count
MARK = np.uint64(1 << 31)  # a bit that callers may set
_EPOCH = np.uint64(32)  # an entry is epoch << 32 | mark | count
_ONE = np.uint64(1)


class Table(NamedTuple):
    """Keys and their entries; `epoch` is one number."""

    key: U64
    entry: U64
    epoch: U64


def table(items: int) -> Table:
    """A table with room for questions of up to `items` keys."""
    size = 1 << max(4, (2 * items).bit_length())
    return Table(np.zeros(size, np.uint64), np.zeros(size, np.uint64), np.zeros(1, np.uint64))


@compiled
def opened(t: Table, items: Any) -> Any:
    """Begin a new question of up to `items` keys; the mask that `add` takes."""
    t.epoch[0] += _ONE
    size = 16
    while size < 2 * items:
        size *= 2
    return np.uint64(size - 1)


@compiled
def add(t: Table, mask: Any, key: Any) -> Any:
    """Count one more of `key`; its place in the table."""
    at = key & mask
    while t.entry[at] >> _EPOCH == t.epoch[0]:
        if t.key[at] == key:
            t.entry[at] += _ONE
            return np.int64(at)
        at = (at + _ONE) & mask
    t.key[at] = key
    t.entry[at] = (t.epoch[0] << _EPOCH) | _ONE
    return np.int64(at)
