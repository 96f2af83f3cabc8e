"""Third stage around the pure functions of corpus/dedup: what each step reads from a run folder and leaves there."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus import measure
from corpus.against import EarlierPart, named
from corpus.decide import fired
from corpus.dedup import buckets, resolve, shingles
from corpus.edited import texts
from corpus.parts import check_intact, mark_done, read_arrow, writing, writing_arrow
from corpus.plan import Task
from corpus.recipe import Recipe
from corpus.workers import Skip
from corpus.write import verdicts_file

Numbered = tuple[int, Task]
Member = tuple[int, Task | EarlierPart]  # a part of this build, or of an earlier run
MARK = "stages/dedup/dedup.done.json"
_SHINGLES = ".shingles.arrow"
Colliding = Sequence[tuple[int, bytes]]


def gather_part(numbered: Numbered, skip: Skip, heartbeat: Path) -> dict[str, Any]:
    """What a part sends into the shuffle: hashes of the documents that every rule passes."""
    index, task = numbered
    check_intact(task.mark("measure"), *measure.outputs(task))
    alive = survivors(pq.read_table(task.file("stages/measure"), use_threads=False), task.recipe)
    entries = buckets.entries(read_keys(task), index, alive, task.recipe.dedup)
    return {"part": task.part.name, "rows": len(alive), "entries": entries}


def survivors(signals: pa.Table, recipe: Recipe) -> np.ndarray:
    """bool[rows]: has text, and no rule fires. Duplicates are sought among these only."""
    alive: np.ndarray = pc.is_valid(signals["chars"]).to_numpy() & ~fired(signals, recipe).any(axis=1)
    return alive


def read_keys(task: Task) -> pa.Table:
    return read_arrow(task.file("stages/measure", ".keys.arrow"))


def _keys(part: Task | EarlierPart) -> pa.Table:
    return read_keys(part) if isinstance(part, Task) else part.keys


def propose(members: Sequence[Member], colliding: Colliding) -> Iterator[tuple[int, Task | EarlierPart, np.ndarray]]:
    """(part's index, task, rows) of documents whose shingles must be compared."""
    collided = buckets.by_space(colliding)
    refs = resolve.candidates(collided)
    if not refs.size:
        return
    needed = shingles.needed(collided, all_ranks(members, refs))
    for index, part in members:
        rows = buckets.rows_of(needed, index)
        if rows.size:
            yield index, part, rows


def all_ranks(members: Sequence[Member], refs: buckets.U64) -> pa.Table:
    return pa.concat_tables(resolve.ranks(_keys(part), index, refs) for index, part in members)


def shingles_part(item: tuple[int, Task | EarlierPart, np.ndarray], skip: Skip, heartbeat: Path) -> str:
    """Write the shingle sets of some rows of a part; returns the file's name in the run, or an earlier part's path."""
    index, part, rows = item
    if isinstance(part, Task):
        text, words, path = _texts(part, rows), part.recipe.dedup.shingle_words, part.file("stages/dedup", _SHINGLES)
    else:
        text, words, path = part.texts(rows), part.settings.shingle_words, part.file.with_suffix(_SHINGLES)
    table = shingles.measure(text, buckets.docrefs(index, rows), words)
    with writing_arrow(path, table.schema) as out:
        out.write_table(table)
    return str(path.relative_to(part.run) if isinstance(part, Task) else path.absolute())


def _texts(task: Task, rows: np.ndarray) -> pa.ChunkedArray:
    """Few row groups of a file are read here, so its hash is asked only where it cannot be. Raises Damaged."""
    try:
        return texts(task, rows)
    except (OSError, pa.ArrowException):
        check_intact(task.mark("extract"), task.file("stages/extract"))
        raise


def settle(members: Sequence[Member], colliding: Colliding, shingled: Sequence[str], fingerprint: str) -> None:
    """Decide among the candidates, and say that the stage is done, and what it cost."""
    [run] = {part.run for _, part in members if isinstance(part, Task)}
    outcome = _write_verdicts(members, colliding, [run / file for file in shingled])
    counts = {"rejected": outcome.verdicts.num_rows, "compared": outcome.compared, "capped": outcome.capped}
    mark = run / MARK
    mark_done(mark, fingerprint, counts, *sorted(mark.parent.glob("part-*.parquet")))


def _write_verdicts(members: Sequence[Member], colliding: Colliding, files: Sequence[Path]) -> resolve.Outcome:
    """Leaves one file for each part in which something is rejected."""
    collided = buckets.by_space(colliding)
    refs = resolve.candidates(collided)
    if not refs.size:
        return resolve.Outcome(resolve.VERDICTS.empty_table(), 0, 0)
    sets = [shingles.SCHEMA.empty_table(), *(read_arrow(file) for file in sorted(files))]
    tasks = [(index, part) for index, part in members if isinstance(part, Task)]
    earlier = [(index, part) for index, part in members if isinstance(part, EarlierPart)]
    settings = tasks[0][1].recipe.dedup
    outcome = resolve.resolve(collided, all_ranks(members, refs), pa.concat_tables(sets), settings)
    verdicts = outcome.verdicts.append_column("kept_in", named(earlier, outcome.keepers))
    for file in files:
        file.unlink()
    for index, task in tasks:
        _write_part(verdicts, index, task)
    return outcome


def _write_part(verdicts: pa.Table, index: int, task: Task) -> None:
    refs = verdicts["docref"].to_numpy()
    mine = verdicts.filter(pa.array(refs >> np.uint64(32) == index))
    if mine.num_rows:
        table = mine.append_column("row", pa.array(buckets.rows_of(refs, index), pa.int64())).drop_columns(["docref"])
        with writing(verdicts_file(task), table.schema) as out:
            out.write(table)
