"""Deduplication alone on synthetic keys, for benchmarks/growth.py: random bands, one document in five a near copy.

A copy shares half of its bands with another document, which lies anywhere, and its text. Every step of
corpus/duplicates.py runs on one core, part after part, as on workers. Seconds are of processor time.
"""

import functools
import os
import shutil
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import watched

from corpus import duplicates, schema
from corpus.dedup import keys
from corpus.measure import STAGE_EDITS
from corpus.parts import mark_done, writing, writing_arrow
from corpus.plan import Part, Task
from corpus.recipe import Recipe, Source

PART = 10_000
SOURCE = Source("keys", "jsonl", ())
RECIPE = Recipe((SOURCE,), ())


def signatures(sizes: list[int], folder: Path) -> None:
    print(
        "| signatures | MB of keys | rejected | " + " | ".join(f"{step} s" for step in STEPS) + " | all s | peak MB |"
    )
    print("|---:|" + "---:|" * (len(STEPS) + 4))
    totals = []
    _steps([_part(folder / "warm", number) for number in range(2)])  # compiles
    for size in sizes:
        run = folder / str(size)
        tasks = [_part(run, number) for number in range(size // PART)]
        bytes_of_keys = sum(duplicates.read_keys(task).nbytes for task in tasks)
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        spent, rejected = _steps(tasks)
        peak = watched.kilobytes(os.getpid(), "status", "VmHWM") / 1e3
        totals.append(sum(spent.values()))
        print(f"| {size:,} | {bytes_of_keys / 1e6:,.0f} | {rejected:,} | "
              + " | ".join(f"{spent[step]:.1f}" for step in STEPS) + f" | {totals[-1]:.1f} | {peak:.0f} |",
              flush=True)  # fmt: skip
        shutil.rmtree(run)
    if len(sizes) > 1:
        from growth import fitted

        print(f"\nexponent of all steps together: {fitted(sizes, totals)}")


STEPS = ("gather", "meet", "connect", "describe", "settle", "deliver")


def _steps(tasks: list[Task]) -> tuple[dict[str, float], int]:
    folder = tasks[0].run / duplicates.FOLDER
    folder.mkdir(parents=True)
    grouped = duplicates.groups(list(enumerate(tasks)))
    spent: dict[str, float] = {}

    def each(name: str, items: Any, *first: Any) -> list[Any]:
        work = functools.partial(getattr(duplicates, name), *first)
        before = time.process_time()
        told = [work(item, {}, Path()) for item in items]
        spent[name] = time.process_time() - before
        return told

    gathered = each("gather", grouped, folder, duplicates.ranges(tasks))
    places: dict[Any, list[Any]] = defaultdict(list)
    for place, found in (pair for told in gathered for pair in told["places"]):
        places[place].append(found)
    met = each("meet", places.items(), folder)
    connected = each("connect", duplicates.all_that_met(grouped, gathered, met), folder)
    described = each("describe", duplicates.where_any(grouped, connected), folder)
    settled = each("settle", duplicates.batches(grouped, connected, described), folder, RECIPE.dedup, [])
    each("deliver", duplicates.deliveries(grouped, settled))
    return spent, sum(told["rejected"] for _, told in settled)


def _part(run: Path, number: int) -> Task:
    """A part as `measure` leaves it: keys, signals, texts."""
    task = Task(run, Part(f"{number:012x}", SOURCE, (), ""), RECIPE, {})
    bands, text = _bands(number)
    flat = pa.array(bands.reshape(-1))
    names = [f"{at:032x}" for at in range(number * PART, number * PART + PART)]
    draw = np.random.default_rng([number, 2])
    columns = [
        pa.array(names), pa.array(draw.integers(1 << 63, size=PART, dtype=np.uint64)), pa.nulls(PART, pa.uint64()),
        pa.array([draw.bytes(16) for _ in range(PART)], pa.binary(16)),
        pa.FixedSizeListArray.from_arrays(flat, RECIPE.dedup.bands), pa.nulls(PART, pa.float64()),
        pa.array(draw.integers(1000, size=PART)), pa.nulls(PART, pa.string()), pa.array(np.zeros(PART, np.int32)),
    ]  # fmt: skip
    with writing_arrow(task.file("stages/measure", ".keys.arrow"), keys.schema(RECIPE.dedup)) as out:
        out.write_table(pa.Table.from_arrays(columns, schema=keys.schema(RECIPE.dedup)))
    pq.write_table(pa.table({"chars": np.full(PART, 700)}), task.file("stages/measure"))
    with writing(task.file("stages/measure", ".edits.parquet"), STAGE_EDITS):
        pass  # no edits
    task.file("stages/extract").parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": pa.array(text, schema.DOCUMENT.field("text").type)}), task.file("stages/extract"))
    mark_done(task.mark("extract"), "", {"rows": PART})
    return task


def _bands(number: int) -> tuple[np.ndarray, list[str]]:
    """uint64[PART, bands] and texts; every fifth document of a part is a copy of one of any part before it."""
    bands = _fresh(number)
    of = [(number, row) for row in range(PART)]
    if number:
        draw = np.random.default_rng([number, 1])
        other = int(draw.integers(number))
        rows = draw.permutation(PART)[: PART // 5]
        bands[::5, ::2] = _fresh(other)[rows, ::2]
        of[::5] = [(other, int(row)) for row in rows]
    return bands, [f"{part} {row} one two three four five six" for part, row in of]


def _fresh(number: int) -> np.ndarray:
    draw = np.random.default_rng(number)
    return draw.integers(1 << 63, size=(PART, RECIPE.dedup.bands), dtype=np.uint64)
