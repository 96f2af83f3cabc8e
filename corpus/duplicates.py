"""Third stage around the pure functions of corpus/dedup: what each step reads from a run folder and leaves there.

gather     groups of parts     their hashes, sorted, in one file
meet       ranges of hashes    those that two documents share
connect    the corpus          who may have to do with whom, cut into batches
describe   groups of parts     what ranks the candidates, and the shingles of those whose text is needed
settle     batches             verdicts
deliver    groups of parts     verdicts of each part

No step holds more than a group, a range or a batch; `connect` has 25 bytes for each document. What passes between
steps lies in stages/dedup and is removed at the end; only paths of files cross Beam. A step may be done again, after
its worker died or beside another that does the same: it changes no file that it reads.
"""

import itertools
import operator
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus import measure
from corpus.against import EarlierPart, make_keys
from corpus.decide import fired
from corpus.dedup import Settings, buckets, resolve, shingles
from corpus.dedup.buckets import U64
from corpus.dedup.components import Components
from corpus.edited import some_texts
from corpus.parts import check_intact, mark_done, marked, read_arrow, record_batches, row_groups, writing, writing_arrow
from corpus.plan import Task
from corpus.recipe import Recipe
from corpus.workers import Skip
from corpus.write import verdicts_file

Member = tuple[int, Task | EarlierPart]  # a part of this build, or of an earlier run, and its number
Group = tuple[int, list[Member]]  # neighbouring parts, and the place of the first among all
Place = tuple[int, int]  # a space, and a range of its hashes
Slice = tuple[Path, int, int, int]  # a file of `gather`, the batch of the space, rows from, to
Met = tuple[int, Path | None]  # a space, and a file of hashes in it that documents share, if any
Described = tuple[Path, Path]  # ranks, and shingles
Settled = tuple[Path, dict[str, int]]  # verdicts, and counts

FOLDER = "stages/dedup"
MARK = f"{FOLDER}/dedup.done.json"
CANDIDATES = "candidates.arrow"
_RANGE = 1_000_000  # hashes that meet at once; few enough for the processor's cache, or sorting grows faster
_RUN = 500_000  # documents whose hashes are sorted at once, at some 270 bytes each; and verdicts, at some 150
_BATCH = 3_000_000  # memberships of documents in buckets that are decided at once, at some 60 bytes each
_GROUPS = 256  # so many files at most for each step to open
_ENTRIES = pa.schema([("hash", pa.uint64()), ("docref", pa.uint64())])
_MET = pa.schema([("batch", pa.int32()), ("bucket", pa.int32()), ("docref", pa.uint64())])
_VERDICTS = pa.schema([*list(resolve.VERDICTS)[1:], ("kept_in", pa.string()), ("row", pa.int64())])
_CANDIDATES = pa.schema([("docref", pa.uint64()), ("batch", pa.int32()), ("needed", pa.bool_())])


def groups(members: Sequence[Member]) -> list[Group]:
    """Neighbours together, so that the number of files does not grow with the square of the corpus."""
    size = min(64, -(-len(members) // _GROUPS))
    return [(at, list(members[at : at + size])) for at in range(0, len(members), size)]


def ranges(tasks: Iterable[Task]) -> int:
    """In how many ranges hashes meet: as many as memory asks for."""
    rows: int = sum(marked(task.mark("extract")).get("rows", 0) for task in tasks)
    return 1 + rows // _RANGE


def gather(folder: Path, num_ranges: int, group: Group, skip: Skip, heartbeat: Path) -> dict[str, Any]:
    """Write the hashes of the documents that every rule passes; where those of each space and range lie."""
    number, members = group
    places: list[tuple[Place, Slice]] = []
    sizes: list[tuple[int, int]] = []
    path = folder / f"entries-{number:06}.arrow"
    borders = np.array([(at << 64) // num_ranges for at in range(1, num_ranges)], np.uint64)
    with writing_arrow(path, _ENTRIES) as out:
        for nth, (space, hashes, refs) in enumerate(_sorted_runs(members, sizes)):
            out.write_batch(pa.record_batch([pa.array(hashes), pa.array(refs)], schema=_ENTRIES))
            cuts = [0, *np.searchsorted(hashes, borders).tolist(), hashes.size]
            places += [
                ((space, at), (path, nth, start, end))
                for at, (start, end) in enumerate(itertools.pairwise(cuts))
                if start < end
            ]
    names = [part.part.name for _, part in members if isinstance(part, Task)]
    return {"parts": names, "rows": sum(rows for _, rows in sizes), "sizes": sizes, "places": places}


Found = dict[int, list[tuple[U64, U64]]]  # space -> hashes and docrefs


def _sorted_runs(members: Sequence[Member], sizes: list[tuple[int, int]]) -> Iterator[tuple[int, U64, U64]]:
    """(space, hashes, docrefs) by hash, of some `_RUN` documents at a time; adds (part, documents) to `sizes`."""
    settings = _settings(members)
    found: Found = defaultdict(list)
    held = 0
    for index, part in members:
        check_keys(part)
        survives, at = _survivors(part), 0
        for keys in _keys(part):
            mine = survives[at : at + keys.num_rows]
            for space, hashes, rows in buckets.spaces(keys, mine, settings):
                found[space].append((hashes, buckets.docrefs(index, rows + at)))
            at, held = at + keys.num_rows, held + keys.num_rows
            if held >= _RUN:
                yield from _by_hash(found)
                held = 0
        sizes.append((index, at))
    yield from _by_hash(found)


def _by_hash(found: Found) -> Iterator[tuple[int, U64, U64]]:
    """What was found, space by space; each is forgotten before the next one."""
    for space in sorted(found):
        hashes, refs = (np.concatenate(columns) for columns in zip(*found.pop(space), strict=True))
        order = np.argsort(hashes)
        yield space, hashes[order], refs[order]


def check_keys(part: Task | EarlierPart) -> None:
    """Compare the keys of a part with their mark; those of an earlier run are made if need be. Raises Damaged."""
    if isinstance(part, EarlierPart):
        make_keys(part)
    else:
        check_intact(part.mark("measure"), *measure.outputs(part))


def _keys(part: Task | EarlierPart) -> Iterator[pa.Table]:
    path = part.ready if isinstance(part, EarlierPart) else keys_file(part)
    return (pa.Table.from_batches([batch]) for batch in record_batches(path))


def keys_file(task: Task) -> Path:
    return task.file("stages/measure", ".keys.arrow")


def _survivors(part: Task | EarlierPart) -> npt.NDArray[np.bool_]:
    if isinstance(part, EarlierPart):
        return np.ones(sum(keys.num_rows for keys in _keys(part)), np.bool_)
    found = [survivors(signals, part.recipe) for signals in row_groups(part.file("stages/measure"))]
    return np.concatenate(found) if found else np.zeros(0, np.bool_)


def survivors(signals: pa.Table, recipe: Recipe) -> npt.NDArray[np.bool_]:
    """bool[rows]: has text, and no rule fires. Duplicates are sought among these only."""
    alive: npt.NDArray[np.bool_] = pc.is_valid(signals["chars"]).to_numpy() & ~fired(signals, recipe).any(axis=1)
    return alive


def read_keys(task: Task) -> pa.Table:
    return read_arrow(keys_file(task))


def _settings(members: Sequence[Member]) -> Settings:
    part = members[0][1]
    return part.recipe.dedup if isinstance(part, Task) else part.settings


def meet(folder: Path, item: tuple[Place, list[Slice]], skip: Skip, heartbeat: Path) -> Met:
    """Write the hashes of a range that two documents share."""
    (space, at), slices = item
    pairs = [_read(*found) for found in sorted(slices)]
    hashes, refs = buckets.shared(*(np.concatenate([pair[i] for pair in pairs]) for i in (0, 1)))
    if not refs.size:
        return space, None
    path = folder / f"met-{space:04}-{at:06}.arrow"
    with writing_arrow(path, _ENTRIES) as out:
        out.write_batch(pa.record_batch([pa.array(hashes), pa.array(refs)], schema=_ENTRIES))
    return space, path


def _read(path: Path, nth: int, start: int, end: int) -> tuple[U64, U64]:
    batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(nth).slice(start, end - start)
    return batch["hash"].to_numpy().copy(), batch["docref"].to_numpy().copy()


Shared = list[tuple[int, Path]]  # a space, and a file
Connectable = tuple[list[tuple[int, int]], Shared]  # (part, documents) of each; files of `meet`


def connect(folder: Path, item: Connectable, skip: Skip, heartbeat: Path) -> tuple[int, Shared]:
    """Cut candidates into batches, and sort what has met by batch. Returns the number of batches, and files."""
    sizes, met = sorted(item[0]), sorted(item[1])
    parts = np.array([index for index, _ in sizes], np.uint64)
    starts = np.concatenate([[0], np.cumsum([rows for _, rows in sizes])]).astype(np.int64)

    def numbers(refs: U64) -> npt.NDArray[np.int64]:
        rows: npt.NDArray[np.int64] = (refs & np.uint64(0xFFFFFFFF)).astype(np.int64)
        return rows + starts[np.searchsorted(parts, refs >> np.uint64(32))]

    found = Components(int(starts[-1]))
    for space, path in met:
        table = read_arrow(path)
        found.join(space, table["hash"].to_numpy(), numbers(table["docref"].to_numpy()))
    batch, needed = found.batches(_BATCH), found.needed()
    by_batch = [(space, _sort_by_batch(path, batch, numbers)) for space, path in met]
    with writing_arrow(folder / CANDIDATES, _CANDIDATES) as out:
        for part, start, end in zip(parts, starts[:-1], starts[1:], strict=True):
            rows = np.flatnonzero(batch[start:end] >= 0)
            refs, mine = buckets.docrefs(int(part), rows), rows + start
            out.write_batch(
                pa.record_batch([pa.array(refs), pa.array(batch[mine]), pa.array(needed[mine])], schema=_CANDIDATES)
            )
    return int(batch.max(initial=-1)) + 1, by_batch


def _sort_by_batch(path: Path, batch: npt.NDArray[np.int32], numbers: Any) -> Path:
    table = read_arrow(path)
    hashes, refs = table["hash"].to_numpy(), table["docref"].to_numpy()
    bucket = np.concatenate([[0], np.cumsum(hashes[1:] != hashes[:-1])]).astype(np.int32)
    mine = batch[numbers(refs)]
    order = np.argsort(mine, kind="stable")
    columns = [pa.array(column[order]) for column in (mine, bucket, refs)]
    path = path.with_name(path.name.replace("met-", "by-batch-"))
    with writing_arrow(path, _MET) as out:
        out.write_batch(pa.record_batch(columns, schema=_MET))
    return path


def describe(folder: Path, group: Group, skip: Skip, heartbeat: Path) -> Described | None:
    """Write what decides about the candidates of some parts; None where they have none."""
    number, members = group
    candidates = _candidates(folder, group)
    if not candidates.num_rows:
        return None
    ranks, sets = folder / f"ranks-{number:06}.arrow", folder / f"shingles-{number:06}.arrow"
    refs, needed = candidates["docref"].to_numpy(), candidates["needed"].to_numpy()

    def with_batch(table: pa.Table) -> pa.Table:
        place = np.searchsorted(refs, table["docref"].to_numpy())
        return table.append_column("batch", candidates["batch"].take(pa.array(place)))

    with writing_arrow(ranks, _ranks_schema(_settings(members))) as out:
        for index, part in members:
            for table in _ranks(part, index, buckets.rows_of(refs, index)):
                out.write_table(with_batch(table))
    with writing_arrow(sets, shingles.SCHEMA.append(pa.field("batch", pa.int32()))) as out:
        for index, part in members:
            for text, rows in _texts(part, buckets.rows_of(refs[needed], index)):
                words = _settings(members).shingle_words
                out.write_table(with_batch(shingles.measure(text, buckets.docrefs(index, rows), words)))
    return ranks, sets


def _ranks(part: Task | EarlierPart, index: int, rows: npt.NDArray[np.int64]) -> Iterator[pa.Table]:
    """`resolve.ranks` of some rows of a part, ascending, piece by piece."""
    at = 0
    for keys in _keys(part) if rows.size else ():
        mine = rows[slice(*np.searchsorted(rows, [at, at + keys.num_rows]))]
        taken = keys.select(list(resolve.RANKS)).take(mine - at)
        yield taken.append_column("docref", pa.array(buckets.docrefs(index, mine), pa.uint64()))
        at += keys.num_rows


def _candidates(folder: Path, group: Group) -> pa.Table:
    """`connect` wrote a record batch for each part."""
    first, members = group
    with pa.ipc.open_file(pa.memory_map(str(folder / CANDIDATES))) as file:
        return pa.Table.from_batches([file.get_batch(first + at) for at in range(len(members))]).combine_chunks()


def _ranks_schema(settings: Settings) -> pa.Schema:
    from corpus.dedup.keys import schema

    fields = [schema(settings).field(name) for name in resolve.RANKS]
    return pa.schema([*fields, ("docref", pa.uint64()), ("batch", pa.int32())])


def _texts(
    part: Task | EarlierPart, rows: npt.NDArray[np.int64]
) -> Iterator[tuple[pa.ChunkedArray, npt.NDArray[np.int64]]]:
    """Raises Damaged."""
    if isinstance(part, EarlierPart):
        yield from part.some_texts(rows)
        return
    try:
        yield from some_texts(part, rows)
    except (OSError, pa.ArrowException):
        # Few row groups of a file are read here, so its hash is asked only where it cannot be.
        check_intact(part.mark("extract"), part.file("stages/extract"))
        raise


Batch = tuple[int, list[Described], Shared]


def settle(folder: Path, settings: Settings, runs: Sequence[str], item: Batch, skip: Skip, heartbeat: Path) -> Settled:
    """Decide about a batch. `runs` name the earlier run of each earlier part."""
    batch, described, met = item
    path = folder / f"settled-{batch:06}.arrow"
    ranks = pa.concat_tables([table for ranked, _ in described for table in _of_batch(ranked, batch)])
    with shingles.SetFile(folder) as sets:
        for _, shingled in described:
            for table in _of_batch(shingled, batch):
                sets.add(table)
        memberships = ((space, *_memberships(file, batch)) for space, file in sorted(met))
        outcome = resolve.decide(memberships, ranks, sets, settings)
    table = outcome.verdicts.append_column("kept_in", _named(runs, outcome.keepers))
    with writing_arrow(path, table.schema) as out:
        out.write_table(table)
    return path, {"rejected": table.num_rows, "compared": outcome.compared, "capped": outcome.capped}


def _of_batch(path: Path, batch: int) -> Iterator[pa.Table]:
    for found in record_batches(path):
        table = pa.Table.from_batches([found])
        yield table.filter(pc.equal(table["batch"], batch)).drop_columns(["batch"])


def _memberships(path: Path, batch: int) -> tuple[U64, U64]:
    table = read_arrow(path)
    start, end = np.searchsorted(table["batch"].to_numpy(), [batch, batch + 1])
    mine = table.slice(start, end - start)
    return mine["bucket"].to_numpy().astype(np.uint64), mine["docref"].to_numpy().copy()


def _named(runs: Sequence[str], refs: U64) -> pa.Array:
    """For each docref of a keeper the earlier run that has it; null where it is in the run being built."""
    places = (refs >> np.uint64(32)).astype(np.int64) - buckets.EARLIER
    return pa.array([runs[place] if place >= 0 else None for place in places.tolist()], pa.string())


def deliver(item: tuple[list[Path], Group], skip: Skip, heartbeat: Path) -> None:
    """Leave one file for each part in which something is rejected."""
    files, (_, members) = item
    tasks = dict(members)
    pieces = (piece for table in _by_docref(sorted(files), members) for piece in _by_part(table))
    for index, mine in itertools.groupby(pieces, key=operator.itemgetter(0)):
        task = tasks[index]
        if isinstance(task, Task):
            with writing(verdicts_file(task), _VERDICTS) as out:
                for _, table in mine:
                    out.write(table)


def _by_docref(files: Sequence[Path], members: Sequence[Member]) -> Iterator[pa.Table]:
    """Verdicts on the documents of some parts in order of docref, some `_RUN` at a time."""
    first, past = members[0][0] << 32, members[-1][0] + 1 << 32
    refs = np.sort(np.concatenate([_between(file, first, past)["docref"].to_numpy() for file in files]))
    borders = [first, *refs[_RUN::_RUN].tolist(), past]
    del refs
    for start, end in itertools.pairwise(borders):
        tables = [table for table in (_between(file, start, end) for file in files) if table.num_rows]
        if tables:
            yield pa.concat_tables(tables).sort_by("docref")


def _between(path: Path, first: int, past: int) -> pa.Table:
    """Verdicts of a file, which has them in order of docref."""
    table = read_arrow(path)
    start, end = np.searchsorted(table["docref"].to_numpy(), np.array([first, past], np.uint64))
    return table.slice(start, end - start)


def _by_part(table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """(part, its verdicts): the row in place of the docref."""
    refs = table["docref"].to_numpy()
    part = refs >> np.uint64(32)
    cuts = [0, *(np.flatnonzero(part[1:] != part[:-1]) + 1).tolist(), refs.size]
    for start, end in itertools.pairwise(cuts):
        index = int(part[start])
        rows = pa.array(buckets.rows_of(refs[start:end], index), pa.int64())
        yield index, table.slice(start, end - start).append_column("row", rows).drop_columns(["docref"])


def all_that_met(everything: list[Group], gathered: list[dict[str, Any]], met: list[Met]) -> list[Connectable]:
    """The one item of `connect`."""
    return [([pair for told in gathered for pair in told["sizes"]], [(space, path) for space, path in met if path])]


def where_any(everything: list[Group], connected: list[tuple[int, Shared]]) -> list[Group]:
    """The items of `describe`."""
    return everything if any(num_batches for num_batches, _ in connected) else []


def batches(
    everything: list[Group], connected: list[tuple[int, Shared]], described: list[Described | None]
) -> list[Batch]:
    """The items of `settle`."""
    files = sorted(filter(None, described))
    return [(batch, files, shared) for num_batches, shared in connected for batch in range(num_batches)]


def deliveries(everything: list[Group], settled: list[Settled]) -> list[tuple[list[Path], Group]]:
    """The items of `deliver`."""
    files = [path for path, told in settled if told["rejected"]]
    return [(files, group) for group in everything] if files else []


def finish_dedup(
    mark: Path, fingerprint: str, everything: list[Group], settled: list[Settled], delivered: list[None]
) -> None:
    """Say that the stage is done, and what it cost."""
    counts = {name: sum(told[name] for _, told in settled) for name in ("rejected", "compared", "capped")}
    mark_done(mark, fingerprint, counts, *sorted(mark.parent.glob("part-*.parquet")))


def clear(run: Path) -> None:
    """Remove what passed between steps."""
    for path in (run / FOLDER).iterdir():
        if not path.name.startswith("part-") and path != run / MARK:
            path.unlink()
