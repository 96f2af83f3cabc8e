"""One part from bytes to measured documents: a worker that has extracted a part measures it while it is warm."""

import contextlib
import functools
from pathlib import Path
from typing import Any

from corpus import extract, measure, takedown
from corpus.decide import check_bound
from corpus.extract import EXTRACTED, extract_part
from corpus.guard import Heartbeat
from corpus.measure import measure_part
from corpus.parts import check_intact, done, marked
from corpus.plan import Task
from corpus.tombstones import Tombstones, load
from corpus.workers import Skip

OBEYED = "stages/tombstones.json"  # what a build found when it began


def documents_part(task: Task, skip: Skip, heartbeat: Path) -> dict[str, Any]:
    """Extract a part unless that is done, take out what must stay out, then measure it. Returns its counts."""
    check_bound(task.recipe, measure.measure(EXTRACTED.empty_table(), task.recipe).signals.schema)
    if extracted(task):
        check_intact(task.mark("extract"), *extract.outputs(task))
    else:
        with contextlib.closing(Heartbeat(heartbeat)) as beat:
            extract_part(task, skip, beat)
    takedown.forget(task, _stones(task))
    if not measured(task):
        measure_part(task)
    return {**marked(task.mark("extract")), "part": task.part.name}


def extracted(task: Task) -> bool:
    found = done(task.mark("extract"), task.marks["extract"], *extract.outputs(task))
    return found is not None and takedown.still_out(found, _stones(task))


def measured(task: Task) -> bool:
    """Whether nothing is left to do, obeying today's tombstones included."""
    obeys = marked(task.mark("extract")).get("tombstones", "") == _stones(task).digest
    fresh = done(task.mark("measure"), measure.fingerprint(task), *measure.outputs(task)) is not None
    return extracted(task) and obeys and fresh


def _stones(task: Task) -> Tombstones:
    wanted = task.marks.get("tombstones", "")
    return _obeyed(task.run / OBEYED, wanted) if wanted else Tombstones()


@functools.lru_cache(maxsize=1)
def _obeyed(path: Path, digest: str) -> Tombstones:
    return load(path)
