"""Which rows a step reads is arithmetic in (seed, step, rank, ranks): resume needs one integer, on any number of ranks.

Nothing is shuffled in memory: a Feistel network computes any element of a random permutation of any size.
"""

import fnmatch
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.failures import UsageFailure

Integers = NDArray[np.int64]
Words = NDArray[np.uint64]

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio: splitmix64's step
_MASK = (1 << 64) - 1
_ROUNDS = 8  # four make a Feistel network pseudo-random (Luby & Rackoff 1988); twice that, as the hash is no cipher


def splitmix(x: Words) -> Words:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection of 64-bit words that spreads every bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def keyed(*words: int | Integers) -> Words:
    """One 64-bit word for some integers, or for each element where they are arrays."""
    key = np.zeros(1, np.uint64)
    for word in words:
        number = np.array([word & _MASK], np.uint64) if isinstance(word, int) else word.astype(np.uint64)
        key = splitmix((key ^ splitmix(number + np.uint64(_GOLDEN))) + np.uint64(_GOLDEN))
    return key


def permuted(index: Integers, n: Integers, key: Words) -> Integers:
    """Where a random permutation of [0, n) puts each index; `n` and `key` are one for all, or one for each.

    A Feistel network over pairs below (a, b) with a * b just above n, and cycle walking for the few that fall outside
    (Black & Rogaway 2002, "Ciphers with arbitrary finite domains").
    """
    n, key = np.broadcast_to(n, index.shape), np.broadcast_to(key, index.shape)
    out = np.empty_like(index)
    left = np.arange(len(index))
    a = np.maximum(np.ceil(np.sqrt(n)).astype(np.int64), 1).astype(np.uint64)
    b = (n.astype(np.uint64) + a - np.uint64(1)) // a
    value = index.astype(np.uint64)
    while len(left):
        value = _feistel(value, a, b, key)
        inside = value < n[left].astype(np.uint64)
        out[left[inside]] = value[inside]
        left = left[~inside]
        value, a, b, key = (x[~inside] for x in (value, a, b, key))
    return out


def _feistel(value: Words, a: Words, b: Words, key: Words) -> Words:
    high, low = value // b, value % b
    for turn in range(_ROUNDS // 2):
        high = (high + splitmix((low ^ key) + np.uint64(2 * turn * _GOLDEN & _MASK)) % a) % a
        low = (low + splitmix((high ^ key) + np.uint64((2 * turn + 1) * _GOLDEN & _MASK)) % b) % b
    return high * b + low


class Order:
    """The endless sequence of rows, cut into steps, and each step into ranks.

    Without weights every row of every source is read once per epoch, in an order drawn from the seed. With weights
    (shares of the rows, in any unit; 0 leaves a source out) source j's k-th row falls at time (k + theta_j) / w_j and
    the sequence is the merge by time: after any number of rows no source is further from its share than there are
    sources. Each source then walks through its own rows, each once per pass.
    """

    def __init__(self, rows: Sequence[int], weights: Sequence[float] | None, batch_rows: int, seed: int) -> None:
        _check(rows, weights, batch_rows)
        self.batch_rows = batch_rows
        self._seed = seed
        self._rows = np.array(rows, np.int64)
        self._ends = np.cumsum(self._rows)
        self._weights = None if weights is None else np.array(weights, np.float64) / math.fsum(weights)
        # theta in (0, 1): sources of equal weight should not fall at the same times
        words = keyed(seed, np.arange(len(rows), dtype=np.int64), 1)
        self._theta = ((words >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52

    def rows_at(self, step: int, rank: int, ranks: int) -> tuple[Integers, Integers]:
        """(source, row) that `rank` of `ranks` reads at `step`: one contiguous piece of the step's rows.

        The pieces of all ranks, one after the other, are the step's rows whatever the number of ranks.
        """
        first, last = (self.batch_rows * r // ranks for r in (rank, rank + 1))
        return self.rows_between(step * self.batch_rows + first, step * self.batch_rows + last)

    def rows_between(self, first: int, last: int) -> tuple[Integers, Integers]:
        """(source, row) of the places first, first + 1, ..., last - 1 of the sequence."""
        if self._weights is None:
            return self._in_turn(first, last)
        source, number = self._merged(first, last, self._weights)
        epoch, place = np.divmod(number, self._rows[source])
        return source, permuted(place, self._rows[source], keyed(self._seed, 2, source, epoch))

    def _in_turn(self, first: int, last: int) -> tuple[Integers, Integers]:
        total = self._ends[-1]
        epoch, place = np.divmod(np.arange(first, last, dtype=np.int64), total)
        where = permuted(place, total, keyed(self._seed, 3, epoch))
        source = np.searchsorted(self._ends, where, side="right")
        return source, where - (self._ends - self._rows)[source]

    def _merged(self, first: int, last: int, weights: NDArray[np.float64]) -> tuple[Integers, Integers]:
        """(source, number of the row within the source's walk), in order of time, then of source."""
        used = np.flatnonzero(weights)
        # Fewer than `first` rows fall before this time and at least `last` before that one: with S sources,
        # t - S < rows before t < t + S. One more for rounding.
        start, stop = (np.float64(first - len(used) - 1), np.float64(last + len(used) + 1))
        begin, end = self._fallen_before(start, used, weights), self._fallen_before(stop, used, weights)
        source = np.repeat(used, end - begin)
        number = np.arange(len(source)) + np.repeat(begin - (np.cumsum(end - begin) - (end - begin)), end - begin)
        by_time = np.argsort(self._time(source, number, weights), kind="stable")  # ties: the source's number
        chosen = by_time[first - begin.sum() : last - begin.sum()]
        return source[chosen], number[chosen]

    def _time(self, source: Integers, number: Integers, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        time: NDArray[np.float64] = (number + self._theta[source]) / weights[source]
        return time

    def _fallen_before(self, time: np.float64, used: Integers, weights: NDArray[np.float64]) -> Integers:
        """How many rows of each source have an earlier time. Exact with respect to the rounded times of `_time`."""
        number = np.maximum(np.floor(time * weights[used] - self._theta[used]).astype(np.int64), 0)
        while (late := (number > 0) & (self._time(used, number - 1, weights) >= time)).any():
            number = number - late
        while (early := self._time(used, number, weights) < time).any():
            number = number + early
        return number


def _check(rows: Sequence[int], weights: Sequence[float] | None, batch_rows: int) -> None:
    if batch_rows < 1:
        raise UsageFailure("train.batch_tokens holds no row: it must be at least data.sequence_length")
    if not sum(rows):
        raise UsageFailure("there is no row to train on: the corpus has no training document")
    if weights is None:
        return
    if len(weights) != len(rows) or not sum(weights) > 0 or min(weights) < 0 or not all(map(math.isfinite, weights)):
        raise UsageFailure(f"data.mixture: {len(rows)} sources need a weight each, none negative, not all 0")
    for number, (size, weight) in enumerate(zip(rows, weights, strict=True)):
        if weight and not size:
            raise UsageFailure(f"data.mixture: source {number} has a weight but no row to train on")


def shares(sources: Sequence[str], rows: Sequence[int], mixture: Mapping[str, float]) -> list[float] | None:
    """Weights for `Order` from the recipe's data.mixture; None where it is empty.

    A source takes the first pattern that matches its name; the sources of a pattern divide its share by their rows.
    What no pattern matches is not read. UsageFailure names a pattern that matches nothing.
    """
    if not mixture:
        return None
    chosen = [next((p for p in mixture if fnmatch.fnmatchcase(name, p)), None) for name in sources]
    sizes = {p: sum(size for size, c in zip(rows, chosen, strict=True) if c == p) for p in mixture}
    for pattern, size in sizes.items():
        if not size:
            raise UsageFailure(
                f"data.mixture: {pattern!r} names no source with text to train on; sources: {', '.join(sources)}"
            )
    return [mixture[c] * size / sizes[c] if c else 0.0 for size, c in zip(rows, chosen, strict=True)]
