"""`estimate`: what a build will give and cost, from a sample of its input that is really built.

Small pieces of every source, spread over it and drawn by the hash in their names, go through the stages on one worker.
Processor time is counted, not the clock, so that a busy machine does not change the answer. Sums grow with the bytes
of the source.
"""

import dataclasses
import functools
import itertools
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from corpus import duplicates, marks
from corpus import recipe as recipes
from corpus.documents import documents_part
from corpus.manifest import check_conservation
from corpus.parts import marked, row_groups
from corpus.plan import Part, Plan, Task, plan
from corpus.recipe import Recipe, RecipeError, digest
from corpus.terminal import console, line, table
from corpus.whatif import CHARACTERS_PER_TOKEN
from corpus.workers import Skip, Work, Workers
from corpus.write import FOLDERS, write_part

_PIECES = 4  # of a part
SIZES = {"10 billion words": 1e10, "1 trillion words": 1e12}


@dataclasses.dataclass
class Cost:
    """Sums over some input. Seconds are of one core."""

    input_bytes: float = 0.0
    read: float = 0.0
    kept: float = 0.0
    words: float = 0.0  # kept
    tokens: float = 0.0  # kept; characters / 4
    documents_seconds: float = 0.0
    dedup_seconds: float = 0.0
    write_seconds: float = 0.0
    planning_seconds: float = 0.0  # of the process that hands out the work and proves the books
    shuffle_bytes: float = 0.0
    stages_bytes: float = 0.0  # disk, between stages
    output_bytes: float = 0.0  # disk, the corpus with its ledger and signals

    @property
    def core_hours(self) -> float:
        return (self.documents_seconds + self.dedup_seconds + self.write_seconds + self.planning_seconds) / 3600

    def times(self, factor: float) -> "Cost":
        return Cost(*(value * factor for value in dataclasses.astuple(self)))

    def plus(self, other: "Cost") -> "Cost":
        return Cost(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))


@dataclasses.dataclass(frozen=True)
class Estimate:
    sample: Cost
    whole: Cost
    num_sampled: int  # parts, of small pieces from all over the input
    num_parts: int
    start_seconds: float  # what is loaded and compiled once, with one part
    peak_bytes: int = 0  # resident memory of the worker


def estimate(path: Path, overrides: Sequence[str] = (), parts_per_source: int = 8) -> Estimate:
    """Build a sample and scale it. Raises RecipeError, FileNotFoundError, WorkerDied."""
    recipe = recipes.load(path, overrides)
    planned = plan(recipe)
    if not planned.parts:
        raise RecipeError(f"{path}: every input file is empty")
    drawn = draw(planned, _in_pieces(recipe), parts_per_source)
    with tempfile.TemporaryDirectory(prefix="winnow-estimate-") as folder:
        costs, start, peak = _build(recipe, drawn, Path(folder))
    sample, whole = Cost(), Cost()
    for source in {part.source.name for part in planned.parts}:
        mine = _sum(cost for part, cost in zip(drawn, costs, strict=True) if part.source.name == source)
        num_bytes = sum(part.num_bytes for part in planned.parts if part.source.name == source)
        sample = sample.plus(mine)
        whole = whole.plus(mine.times(num_bytes / mine.input_bytes))
    return Estimate(sample, whole, len(drawn), len(planned.parts), start, peak)


def _in_pieces(recipe: Recipe) -> Plan:
    """The same input cut finer. Neighbours in a file are alike, so many small pieces tell more than few large parts."""
    write = dataclasses.replace(recipe.write, split_mb=recipe.write.split_mb / _PIECES)
    return plan(dataclasses.replace(recipe, write=write))


def draw(planned: Plan, pieces: Plan, parts_per_source: int) -> list[Part]:
    """Of each source as many bytes as so many parts have: stretches of equal length, and of each the first by name.

    Pieces are put together to as many parts: a part's dozen files have bytes and seconds of their own, whatever is in
    them. Names are hashes: as good as dice, and always the same. Stretches, because files lie in the order in which
    they were gathered: on web.warc.gz dice alone missed a third of the words. Where all is asked for, it is taken as
    planned.
    """
    whole, fine = _by_source(planned), _by_source(pieces)
    drawn: list[Part] = []
    for name in sorted(whole):
        if parts_per_source >= len(whole[name]):
            drawn += whole[name]
            continue
        parts = fine[name]
        number = round(parts_per_source * len(parts) / len(whole[name]))
        cuts = [len(parts) * n // number for n in range(number + 1)]
        chosen = [min(parts[a:b], key=lambda part: part.name) for a, b in itertools.pairwise(cuts)]
        drawn += [_together(chosen[at::parts_per_source]) for at in range(min(parts_per_source, number))]
    return drawn


def _together(pieces: list[Part]) -> Part:
    """One part that reads what they read."""
    name = digest([piece.name for piece in pieces])[:12]
    splits = tuple(split for piece in pieces for split in piece.splits)
    return dataclasses.replace(pieces[0], name=name, splits=splits)


def _by_source(planned: Plan) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = defaultdict(list)
    for part in sorted(planned.parts, key=lambda part: part.splits[0]):
        found[part.source.name].append(part)
    return found


def _sum(costs: Iterator[Cost]) -> Cost:
    total = Cost()
    for cost in costs:
        total = total.plus(cost)
    return total


def _build(recipe: Recipe, parts: list[Part], folder: Path) -> tuple[list[Cost], float, int]:
    """The cost of each part, the seconds that a worker needs to start, and the bytes that it held."""
    settings = marks.stage_settings(recipe)

    def task(part: Part, name: str) -> Task:
        return Task(folder / name, part, recipe, {**marks.part_marks(part, settings, {}), "write": ""})

    workers = Workers(1)
    try:
        # Once for nothing: the first part pays for what is loaded and compiled. It is the smallest.
        smallest = min(parts, key=lambda part: part.num_bytes)
        [warm] = _stages([task(smallest, "warm")], workers)
        costs = _stages([task(part, "run") for part in parts], workers)
        [peak] = workers.run(_peak, [None])
        return costs, warm.core_hours * 3600, peak
    finally:
        workers.close()


def _stages(tasks: list[Task], workers: Workers) -> list[Cost]:
    costs = [Cost(input_bytes=task.part.num_bytes) for task in tasks]
    before = time.process_time()
    for told in workers.run(_documents, list(enumerate(tasks))):
        costs[told["index"]].documents_seconds = told["seconds"]
    _dedup(tasks, costs, workers)
    for told in workers.run(_write, list(enumerate(tasks))):
        cost = costs[told["index"]]
        cost.write_seconds, cost.read, cost.kept = told["seconds"], told["rows"], told["docs"]
    check_conservation(tasks[0].run)
    _share(costs, "planning_seconds", time.process_time() - before)
    for task, cost in zip(tasks, costs, strict=True):
        _weigh(task, cost)
    return costs


def _documents(item: tuple[int, Task], skip: Skip, heartbeat: Path) -> dict[str, Any]:
    index, task = item
    before = time.process_time()
    documents_part(task, skip, heartbeat)
    return {"index": index, "seconds": time.process_time() - before}


def _write(item: tuple[int, Task], skip: Skip, heartbeat: Path) -> dict[str, Any]:
    index, task = item
    before = time.process_time()
    told = write_part(task, skip, heartbeat)
    return {**told, "index": index, "seconds": time.process_time() - before}


def _step(work: Work, item: Any, skip: Skip, heartbeat: Path) -> tuple[Any, float]:
    before = time.process_time()
    return work(item, skip, heartbeat), time.process_time() - before


def _dedup(tasks: list[Task], costs: list[Cost], workers: Workers) -> None:
    """The third stage without Beam: its shuffle is a dictionary here."""
    folder = tasks[0].run / duplicates.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    grouped = duplicates.groups(list(enumerate(tasks)))
    seconds = 0.0

    def each(work: Work, items: Iterable[Any]) -> list[Any]:
        nonlocal seconds
        told = list(workers.run(functools.partial(_step, work), list(items)))
        seconds += sum(spent for _, spent in told)
        return [result for result, _ in told]

    gathered = each(functools.partial(duplicates.gather, folder, 1), grouped)
    places: dict[Any, list[Any]] = defaultdict(list)
    for place, found in (pair for told in gathered for pair in told["places"]):
        places[place].append(found)
    met = each(functools.partial(duplicates.meet, folder), places.items())
    connected = each(functools.partial(duplicates.connect, folder), duplicates.all_that_met(grouped, gathered, met))
    described = each(functools.partial(duplicates.describe, folder), duplicates.where_any(grouped, connected))
    settle = functools.partial(duplicates.settle, folder, tasks[0].recipe.dedup, [])
    settled = each(settle, duplicates.batches(grouped, connected, described))
    each(duplicates.deliver, duplicates.deliveries(grouped, settled))
    _share(costs, "dedup_seconds", seconds)
    _share(costs, "shuffle_bytes", sum(path.stat().st_size for path in folder.glob("entries-*")))


def _peak(nothing: None, skip: Skip, heartbeat: Path) -> int:
    """In the worker, which is no child of this process: it was forked from a server."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _share(costs: list[Cost], name: str, seconds: float) -> None:
    """What is done once for all parts is shared out by their bytes."""
    total = sum(cost.input_bytes for cost in costs)
    for cost in costs:
        setattr(cost, name, getattr(cost, name) + seconds * cost.input_bytes / total)


def _weigh(task: Task, cost: Cost) -> None:
    """Words, tokens and disk of a part that is written."""
    for rows in row_groups(task.file("docs"), ["text"]):
        cost.words += pc.sum(pc.count_substring_regex(rows["text"], r"\S+")).as_py()
        cost.tokens += pc.sum(pc.utf8_length(rows["text"])).as_py() / CHARACTERS_PER_TOKEN
    files = [path for path in task.run.rglob(f"part-{task.part.name}*") if path.is_file()]
    assert marked(task.mark("write")), "the part was not written"
    cost.output_bytes = sum(path.stat().st_size for path in files if path.parent.name in FOLDERS and _top(task, path))
    cost.stages_bytes = sum(path.stat().st_size for path in files) - cost.output_bytes


def _top(task: Task, path: Path) -> bool:
    return path.parent.parent == task.run


def rows(found: Estimate, price: float | None) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the table: the sample, the whole input, and corpora of given sizes."""
    costs = {"sample": found.sample, "whole input": found.whole}
    if found.whole.words:
        costs |= {name: found.whole.times(words / found.whole.words) for name, words in SIZES.items()}
    told: list[list[str]] = [
        ["input", *(_bytes(cost.input_bytes) for cost in costs.values())],
        ["documents read", *(_count(cost.read) for cost in costs.values())],
        ["documents kept", *(_count(cost.kept) for cost in costs.values())],
        ["words kept", *(_count(cost.words) for cost in costs.values())],
        ["tokens kept", *(_count(cost.tokens) for cost in costs.values())],
        ["core-hours", *(f"{cost.core_hours:,.3g}" for cost in costs.values())],
    ]
    for name in ("documents", "dedup", "write", "planning"):
        hours = (getattr(cost, f"{name}_seconds") / 3600 for cost in costs.values())
        told.append([f"  {name}", *(f"{value:,.3g}" for value in hours)])
    told.append(["shuffle", *(_bytes(cost.shuffle_bytes) for cost in costs.values())])
    told.append(["disk, stages", *(_bytes(cost.stages_bytes) for cost in costs.values())])
    told.append(["disk, corpus", *(_bytes(cost.output_bytes) for cost in costs.values())])
    if price is not None:
        told.append(["price", *(f"{cost.core_hours * price:,.4g}" for cost in costs.values())])
    return ["", *costs], told


def _count(value: float) -> str:
    return f"{value:,.0f}" if value < 1e9 else f"{value:,.3g}"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000:
            return f"{value:,.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} PB"


def show(path: Path, overrides: Sequence[str], parts_per_source: int, price: float | None) -> None:
    """Print the estimate."""
    found = estimate(path, overrides, parts_per_source)
    out = console()
    out.print(line(f"{path}: {found.num_sampled} parts of {found.num_parts} were built, on one core of this machine"))
    columns, told = rows(found, price)
    out.print(table(columns, told))
    held = _bytes(found.peak_bytes)
    out.print(line(f"Loading takes {found.start_seconds:.1f} s once; the worker held {held} at most."))
    out.print(line(f"Tokens are characters / {CHARACTERS_PER_TOKEN}: true of English and 32,000 words of vocabulary."))
    out.print(line("A sample meets few of its copies: a larger corpus keeps less, and its dedup compares more."))
    out.print(line(f"\nnext: python -m corpus build {path} --out runs/NAME"))
