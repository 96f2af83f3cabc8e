"""Deduplication in one process: the pieces that the pipeline spreads over workers, called one after the other."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.dedup import Settings, buckets, resolve, shingles
from filters.kernels import signature


class Part(Protocol):
    """Documents of one part."""

    @property
    def keys(self) -> pa.Table:
        """Of `keys.schema`, one row per document."""

    def texts(self, rows: npt.NDArray[np.int64]) -> signature.Text:
        """Texts of some rows, in the order asked."""


def deduplicate(
    parts: Sequence[Part],
    survives: Sequence[npt.NDArray[np.bool_]],
    settings: Settings,
    partitions: int = 1,
    earlier: Sequence[Part] = (),
) -> resolve.Outcome:
    """Verdicts on the documents that survive the filters, bool[documents] for each part; `earlier` ones are settled.

    The outcome does not depend on how documents are split into parts and partitions, but for docrefs. Raises
    ValueError where a part and its `survives` differ in length.
    """
    sent: dict[int, list[bytes]] = defaultdict(list)
    numbered = [*enumerate(parts), *((buckets.EARLIER + index, part) for index, part in enumerate(earlier))]
    alive_of = [*survives, *(np.ones(part.keys.num_rows, np.bool_) for part in earlier)]
    for (index, part), alive in zip(numbered, alive_of, strict=True):
        for key, payload in buckets.entries(part.keys, index, alive, settings, partitions):
            sent[key].append(payload)
    collided = buckets.by_space(((key, buckets.collisions(sent[key])) for key in sorted(sent)), partitions)
    refs = resolve.candidates(collided)
    if not refs.size:
        return resolve.Outcome(resolve.VERDICTS.empty_table(), 0, 0)
    ranks = pa.concat_tables(resolve.ranks(part.keys, index, refs) for index, part in numbered)
    needed = shingles.needed(collided, ranks)
    sets = [_measure(part, index, needed, settings) for index, part in numbered]
    return resolve.resolve(collided, ranks, pa.concat_tables(sets), settings)


def _measure(part: Part, index: int, needed: buckets.U64, settings: Settings) -> pa.Table:
    rows = buckets.rows_of(needed, index)
    if not rows.size:
        return shingles.SCHEMA.empty_table()
    return shingles.measure(part.texts(rows), buckets.docrefs(index, rows), settings.shingle_words)
