"""One part from bytes to measured documents: a worker that has extracted a part measures it while it is warm."""

import contextlib
from pathlib import Path
from typing import Any

from corpus.decide import check_bound
from corpus.extract import EXTRACTED, extract_part
from corpus.guard import Heartbeat
from corpus.measure import measure, measure_part
from corpus.parts import done, marked
from corpus.plan import Task
from corpus.workers import Skip


def documents_part(task: Task, skip: Skip, heartbeat: Path) -> dict[str, Any]:
    """Extract a part unless that is done, then measure it. Returns its counts."""
    check_bound(task.recipe, measure(EXTRACTED.empty_table(), task.recipe).signals.schema)
    if not extracted(task):
        with contextlib.closing(Heartbeat(heartbeat)) as beat:
            extract_part(task, skip, beat)
    measure_part(task)
    return {**marked(task.mark("extract")), "part": task.part.name}


def extracted(task: Task) -> bool:
    outputs = (task.file("stages/extract"), task.file("stages/extract", ".edits.parquet"))
    return done(task.mark("extract"), task.marks["extract"], *outputs) is not None


def measured(task: Task) -> bool:
    outputs = (task.file("stages/measure", suffix) for suffix in (".parquet", ".keys.arrow", ".edits.parquet"))
    return extracted(task) and done(task.mark("measure"), task.marks["measure"], *outputs) is not None
