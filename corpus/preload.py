"""What every worker needs, loaded by the server that workers are forked from (corpus/workers.py), and by nobody else.

A fork server can only be told what to import: so this one import does something. Of two seconds for libraries,
compiled kernels and numba's registries, each worker pays a hundredth, also one that takes a dead one's place.
"""

import contextlib
import gc

from corpus.workers import die_with_parent


def load() -> None:
    """Bring in the kernels that every recipe uses, compiled where they never were."""
    import pyarrow as pa

    import corpus.documents
    import corpus.duplicates
    import corpus.write  # noqa: F401
    from corpus.dedup import Settings
    from corpus.dedup.keys import keys
    from filters.kernels.text import segments

    text = pa.array(["Rain fell."], pa.large_string())
    segments(text)
    keys(pa.table({"id": ["a"], "url": ["b"], "text": text, "date": ["c"], "source": ["d"]}), Settings())


die_with_parent()
gc.disable()  # what is loaded stays: nothing to collect here, and workers need not look through it either
with contextlib.suppress(Exception):  # a worker fails in its own words, where somebody hears it
    load()
gc.freeze()
gc.enable()
