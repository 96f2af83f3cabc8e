"""What is trained on and what is held out, and the order of documents within: all by their ids."""

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from trainer.failures import Failure
from trainer.shards import SPLITS


def ids_as_words(ids: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Upper and lower 64 bits of each id. Failure names one that is not 32 hexadecimal digits."""
    odd = next((name for name in ids if len(name) != 32 or not set(name) <= set("0123456789abcdef")), None)
    if odd is not None:
        raise Failure(f"document id {odd!r} is not 32 hexadecimal digits; build the run again")
    words = np.frombuffer(bytes.fromhex("".join(ids)), ">u8").astype(np.uint64).reshape(len(ids), 2)
    return words[:, 0], words[:, 1]


def in_validation(
    source: NDArray[np.integer[Any]], high: NDArray[np.uint64], low: NDArray[np.uint64], share: float
) -> NDArray[np.bool_]:
    """Which documents are held out: those whose id's lower 64 bits fall below `share` of their range.

    So a document keeps its place whatever else is in the corpus. Unless the share is 0 or 1, a source of two or more
    documents always has one in validation, and every source one to train on.
    """
    limit = int(Fraction(share) * (1 << 64))
    held = np.full(len(source), True) if limit >> 64 else low < np.uint64(limit)
    if not 0 < share < 1:
        return held
    by_hash = np.lexsort((high, low, source))
    edges = np.flatnonzero(np.diff(source[by_hash], prepend=-1, append=-1))
    for start, stop in itertools.pairwise(edges):
        held[by_hash[start]] |= stop - start > 1
        held[by_hash[stop - 1]] = False
    return held


def arranged(found: pa.Table, sources: Sequence[str], share: float) -> pa.Table:
    """Documents by split, source number and id, with where each begins in its stream (`first`, counted in positions).

    `found` is what `Encoder.encode` returns; `place` is where the document's tokens begin in its file.
    """
    source = pc.index_in(found["source"], pa.array(sources)).to_numpy()
    # chunk by chunk: an id is 16 bytes as words, and about 80 as a Python string
    halves = [ids_as_words(chunk.to_pylist()) for chunk in found["id"].chunks]
    high, low = (np.concatenate(half) for half in zip(*halves, strict=True))
    held = in_validation(source, high, low, share)
    order = np.lexsort((low, high, source, held))
    length = found["length"].to_numpy()
    tokens = length[order] + 1
    firsts = np.cumsum(tokens) - tokens
    opens_stream = np.diff((source + len(sources) * held)[order], prepend=-1) != 0
    taken = found.take(order)
    columns = {
        "document": pa.array(np.arange(len(order), dtype=np.int32)),
        "id": taken["id"],
        "source": taken["source"].dictionary_encode(),
        "lang": taken["lang"].dictionary_encode(),
        "split": pa.array(np.array(SPLITS)[held[order].astype(int)]).dictionary_encode(),
        "first": pa.array(firsts - firsts[opens_stream][np.cumsum(opens_stream) - 1]),
        "tokens": pa.array(tokens),  # positions, and for text losses: its own and its end
        "learnt": taken["learnt"],
        "bytes": taken["bytes"],
        "characters": taken["characters"],
        "place": pa.array((np.cumsum(length) - length)[order]),
    }
    return pa.table(columns)
