"""Duplicates: pure functions that the pipeline wraps; nothing here knows Beam.

keys        what is compared: hashes, bands and ranks of each document, one row per document
buckets     documents with equal hashes meet: packed entries in, collisions out
shingles    sets of shingles of those that LSH proposes, for their exact similarity
resolve     which of those that met is kept, and the evidence for every rejection
sweep       the compiled loop behind resolve
replay      all of it in one process, for `whatif` and tests

Records (equal ids), pages (equal URLs), exact and near copies are all decided in one sweep through the documents from
the best to the worst: a document is rejected when it matches one that is already kept, so the kept document named as
evidence is always in the corpus. LSH only proposes near copies; the Jaccard similarity of the pair decides.

This file holds the settings.
"""

import dataclasses

from filters import threshold as _threshold

POLICIES = ("score", "length", "date_newest", "date_oldest", "source")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What counts as a duplicate, and which document of a set of duplicates is kept.

    Documents with equal ids are always reduced to one. The default bands are FineWeb's, 14 x 8 over shingles of five
    words: a pair of Jaccard 0.8 is proposed with probability 0.92, one of 0.9 with 0.9996 (1 - (1 - J^rows)^bands).
    Fields marked with `filters.threshold` change verdicts but never the keys, so they can be replayed.
    """

    url: bool = _threshold(True)  # equal addresses, after normalisation
    exact: bool = _threshold(True)  # equal text, but for case and white space
    near: bool = True  # Jaccard of the sets of shingles at least min_jaccard
    shingle_words: int = 5
    bands: int = 14
    rows: int = 8
    min_jaccard: float = _threshold(0.7)
    threshold: float | None = _threshold(None)  # datasketch derives bands and rows from it, within num_permutations
    num_permutations: int = _threshold(112)  # read with `threshold` only
    keep: tuple[str, ...] = _threshold(("score", "length", "date_newest", "source"))  # the first that differs decides
    source_priority: tuple[str, ...] = ()  # best first; sources not named come last
    against: tuple[str, ...] = _threshold(())  # earlier runs: what they kept stays, copies of it here go

    def __post_init__(self) -> None:
        for key in ("shingle_words", "bands", "rows", "num_permutations"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: {getattr(self, key)} is not a whole number from 1 up")
        if not 0 < self.min_jaccard <= 1:
            raise ValueError(f"min_jaccard: {self.min_jaccard} is not above 0 and at most 1")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ValueError(f"threshold: {self.threshold} is not above 0 and at most 1")
        for word in self.keep:
            if word not in POLICIES:
                raise ValueError(f"keep: {word!r} is not one of {', '.join(POLICIES)}")
        for key in ("keep", "source_priority", "against"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key}: {', '.join(getattr(self, key))} names something twice")
        if {"date_newest", "date_oldest"} <= set(self.keep):
            raise ValueError("keep: one of 'date_newest' and 'date_oldest' is accepted, not both")
        if self.threshold is not None:
            bands, rows = _optimal(self.threshold, self.num_permutations)
            object.__setattr__(self, "bands", bands)
            object.__setattr__(self, "rows", rows)


def _optimal(threshold: float, num_permutations: int) -> tuple[int, int]:
    from datasketch.lsh import _optimal_param  # loads scipy: only where it is asked for

    bands, rows = _optimal_param(threshold, num_permutations, 0.5, 0.5)
    return int(bands), int(rows)
