"""Many words looked for in one pass over bytes: an Aho-Corasick automaton over letters, word boundaries and the rest.

Letters of other scripts are one symbol, as are accented ones; that is enough to tell words apart that are listed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from filters.kernels.compiled import I32, U64

BOUNDARY, FOREIGN, SYMBOLS = 0, 27, 28


class Automaton(NamedTuple):
    """`step[state, symbol]` is the next state; `found[state]` are the bits of the groups that end there."""

    step: I32
    found: U64  # two words of 64 bits per state


def automaton(groups: Sequence[str]) -> Automaton:
    """One bit per group of at most 128; words of a group are apart by `|`."""
    children: list[dict[int, int]] = [{}]
    found = [0]
    for bit, group in enumerate(groups):
        for word in group.split("|"):
            state = 0
            for symbol in map(_symbol, word.encode()):
                if symbol not in children[state]:
                    children[state][symbol] = len(children)
                    children.append({})
                    found.append(0)
                state = children[state][symbol]
            found[state] |= 1 << bit
    return _complete(children, found)


def _symbol(byte: int) -> int:
    if byte >= 128:
        return FOREIGN
    return byte - 96 if 97 <= byte <= 122 else BOUNDARY


def _complete(children: list[dict[int, int]], found: list[int]) -> Automaton:
    step = np.zeros((len(children), SYMBOLS), np.int32)
    fail = [0] * len(children)
    queue = [0]
    for state in queue:  # breadth first, so that the state failed to is complete
        found[state] |= found[fail[state]]
        for symbol in range(SYMBOLS):
            child = children[state].get(symbol)
            onward = int(step[fail[state], symbol]) if state else 0
            if child is None:
                step[state, symbol] = onward
            else:
                fail[child] = onward
                step[state, symbol] = child
                queue.append(child)
    mask = (1 << 64) - 1
    return Automaton(step, np.array([[bits & mask, bits >> 64] for bits in found], np.uint64))
