"""Which blocks of a page its gold text is made of: words of both in order, then what was moved.

An alignment of words in which each gap costs as much as a word gives, so that a stray match of one word among
strangers is worth nothing and runs win. Blocks that the order missed (a title put first, columns) are found by
sequences of four words.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from filters.kernels.compiled import compiled

WORD = re.compile(r"\w+")
MAX_CELLS = 400_000_000  # of the table of the alignment; longer pages are aligned by sequences only
_RUN = 4
_NEITHER = np.int32(-(1 << 30))


def words(text: str) -> list[str]:
    """As the benchmark counts them."""
    return WORD.findall(text.lower())


def labels(blocks: Sequence[Sequence[str]], gold: Sequence[str]) -> npt.NDArray[np.float32]:
    """Share of each block's words that stand in the gold text, 0 for a block without words."""
    number: dict[str, int] = {}
    page = np.array([number.setdefault(w, len(number)) for block in blocks for w in block], np.int32)
    text = np.array([number.setdefault(w, len(number)) for w in gold], np.int32)
    owner = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    if len(page) and 0 < len(page) * len(text) <= MAX_CELLS:
        matched, used = _align(page, text)
    else:
        matched, used = np.zeros(len(page), np.bool_), np.zeros(len(text), np.bool_)
    share = _share(matched, owner, len(blocks))
    moved = _moved(page, text, used, _RUN)
    by_runs = _share(moved, owner, len(blocks))
    # a moved block is found whole or not at all: parts of sentences recur by chance
    return np.where((share < 0.5) & (by_runs >= 0.9), by_runs, share).astype(np.float32)


def _share(matched: npt.NDArray[np.bool_], owner: npt.NDArray[np.int64], num: int) -> npt.NDArray[np.float64]:
    total = np.bincount(owner, minlength=num)
    return np.bincount(owner, weights=matched, minlength=num) / np.maximum(total, 1)


@compiled
def _align(page: Any, gold: Any) -> Any:
    """Words of either in the best alignment: 2 for a match, -2 for beginning a run of matches anywhere."""
    n, m = len(page), len(gold)
    step = np.zeros((n + 1, m + 1), np.uint8)  # bits 0-1: how the best came here; bit 2: the run goes on
    best = np.zeros(m + 1, np.int32)
    run = np.full(m + 1, _NEITHER, np.int32)
    for i in range(1, n + 1):
        best_left_up = best[0]
        run_left_up = run[0]
        for j in range(1, m + 1):
            best_up, run_up = best[j], run[j]
            how = 0
            value = best_up
            if best[j - 1] > value:
                value = best[j - 1]
                how = 1
            if page[i - 1] == gold[j - 1]:
                onward, fresh = run_left_up + 2, best_left_up
                run[j] = max(onward, fresh)
                how |= 4 * (onward >= fresh)
                if run[j] > value:
                    value = run[j]
                    how = (how & 4) | 2
            else:
                run[j] = _NEITHER
            best[j] = value
            step[i, j] = how
            best_left_up, run_left_up = best_up, run_up
    return _trace(step, n, m)


@compiled
def _trace(step: Any, n: Any, m: Any) -> Any:
    matched, used = np.zeros(n, np.bool_), np.zeros(m, np.bool_)
    i, j = n, m
    running = False
    while i > 0 and j > 0:
        how = step[i, j]
        if running or how & 3 == 2:
            matched[i - 1] = used[j - 1] = True
            running = how & 4 != 0
            i -= 1
            j -= 1
        elif how & 3 == 1:
            j -= 1
        else:
            i -= 1
    return matched, used


def _moved(page: Any, gold: Any, used: Any, run: int) -> npt.NDArray[np.bool_]:
    """Words of the page within a sequence of `run` words that the gold has where nothing was aligned."""
    found = np.zeros(len(page), np.bool_)
    if len(page) < run or len(gold) < run:
        return found
    free = {tuple(gold[i : i + run].tolist()) for i in range(len(gold) - run + 1) if not used[i : i + run].any()}
    words_of = page.tolist()
    for i in range(len(page) - run + 1):
        if tuple(words_of[i : i + run]) in free:
            found[i : i + run] = True
    return found
