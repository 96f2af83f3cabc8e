"""Draws that depend on their keys alone: the same for the same document, seed and purpose, in any order, anywhere.

Streams of `random` and numpy may change among versions; what is stored must not.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
U64 = npt.NDArray[np.uint64]


def digest(*keys: object) -> str:
    """64 hex digits of some keys."""
    return hashlib.sha256("\0".join(map(str, keys)).encode("utf-8", "surrogatepass")).hexdigest()


class Chance:
    """A stream of draws for some keys."""

    def __init__(self, *keys: object) -> None:
        self._key = digest(*keys)
        self._drawn = 0

    def below(self, limit: int) -> int:
        """A whole number from 0 to limit - 1. The modulo's bias is under 2**-60 for any list in memory."""
        self._drawn += 1
        return int(digest(self._key, self._drawn)[:32], 16) % limit

    def real(self) -> float:
        """A number in [0, 1)."""
        return self.below(1 << 53) / (1 << 53)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All items in another order (Fisher-Yates)."""
        out = list(items)
        for last in range(len(out) - 1, 0, -1):
            at = self.below(last + 1)
            out[last], out[at] = out[at], out[last]
        return out

    def sample(self, items: Sequence[T], number: int) -> list[T]:
        """So many different items, or all of them where there are fewer."""
        return self.shuffled(items)[:number]


def splitmix(x: U64) -> U64:
    """Mixed 64-bit numbers (Steele et al. 2014, SplitMix64's finaliser)."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def indices(seed: int, first: int, shape: tuple[int, int], limit: int) -> npt.NDArray[np.int64]:
    """int64[shape]: numbers below `limit` (at most 2**32); row r is the same whichever rows are asked for.

    `first` is the number of the first row.
    """
    rows, columns = shape
    at = np.uint64(first * columns) + np.arange(rows * columns, dtype=np.uint64)
    start = splitmix(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64))[0]
    with np.errstate(over="ignore"):
        high = splitmix(splitmix(at + start)) >> np.uint64(32)
    return ((high * np.uint64(limit)) >> np.uint64(32)).astype(np.int64).reshape(shape)
