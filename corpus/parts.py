"""Part files: written whole or not at all, and marked done with what they were made from.

A stage writes `part-ID.parquet` and then `part-ID.done.json`; a restart redoes only parts without a matching mark.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from corpus.failures import Failure


class Damaged(Failure):
    """A part's file is not what was written: its mark must go, so that it is made anew."""

    def __init__(self, path: str, mark: str) -> None:
        super().__init__(path, mark)
        self.path, self.mark = path, mark

    def __str__(self) -> str:
        return f"{self.path}: is damaged (its hash is not the one in {self.mark}); delete it and build again"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place when the block ends well."""
    # Not the process's number: workers in containers on several machines may all be process 7.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def repeating(schema: pa.Schema) -> list[str]:
    """Parquet's names of the columns whose values may repeat: looking for others' values cost a third of writing."""
    return [name for field in schema for name in _repeating(field.name, field) if field.name not in ("id", "kept_id")]


def _repeating(name: str, field: pa.Field) -> Iterator[str]:
    if pa.types.is_struct(field.type):
        for inner in field.type:
            yield from _repeating(f"{name}.{inner.name}", inner)
    elif pa.types.is_list(field.type):
        yield from _repeating(f"{name}.list.element", field.type.value_field)
    elif pa.types.is_string(field.type):
        yield name


# A writer holds some 2 kB for each column of each row group: after each so many, groups may have twice the rows.
_MANY_GROUPS = 250


class PartWriter:
    """Gathers tables into row groups of at most so many rows, and no more bytes than memory should hold."""

    def __init__(self, path: Path, schema: pa.Schema, rows: int, max_bytes: int, level: int) -> None:
        options = {"compression": "zstd", "compression_level": level, "use_dictionary": repeating(schema)}
        self._writer = pq.ParquetWriter(path, schema, **options)
        self._schema = schema
        self._rows = rows
        self._max_bytes = max_bytes
        self._held: list[pa.Table] = []
        self._num_rows = self._num_bytes = self._groups = 0

    def write(self, table: pa.Table) -> None:
        self._held.append(table.select(self._schema.names).cast(self._schema))
        self._num_rows += table.num_rows
        self._num_bytes += table.nbytes
        if self._num_rows >= self._most or self._num_bytes >= self._max_bytes:
            self._flush()

    @property
    def _most(self) -> int:
        return self._rows << self._groups // _MANY_GROUPS

    def _flush(self) -> None:
        if self._num_rows:
            self._writer.write_table(pa.concat_tables(self._held), row_group_size=self._most)
            self._groups += 1
        self._held, self._num_rows, self._num_bytes = [], 0, 0

    def close(self) -> None:
        self._flush()
        self._writer.close()


@contextlib.contextmanager
def writing(
    path: Path, schema: pa.Schema, rows: int = 2_000, max_bytes: int = 8 << 20, level: int = 1
) -> Iterator[PartWriter]:
    """Write a Parquet file under its name only once it is whole. zstd-1 between stages, as measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        writer = PartWriter(temporary, schema, rows, max_bytes, level)
        try:
            yield writer
        finally:
            writer.close()


@contextlib.contextmanager
def writing_arrow(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatchFileWriter]:
    """The same as an Arrow IPC file: for hashes, which do not compress, and which are read by memory map."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        yield writer


def read_arrow(path: Path) -> pa.Table:
    """A file of `writing_arrow`, mapped into memory."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def record_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The same piece by piece, as it was written. Read, not mapped: pages of a map stay in memory once touched."""
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as opened:
        for at in range(opened.num_record_batches):
            yield opened.get_batch(at)


def mark_done(mark: Path, fingerprint: str, counts: dict[str, Any], *outputs: Path) -> None:
    """Say that a part is whole, what it was made from, and the hashes of its files."""
    hashes = {"hashes": {path.name: file_hash(path) for path in outputs}} if outputs else {}
    write_json(mark, {"fingerprint": fingerprint, **counts, **hashes})


def check_intact(mark: Path, *outputs: Path) -> None:
    """Compare files with the hashes in their mark: a disk's flipped bit must not become a document. Raises Damaged."""
    hashes = marked(mark).get("hashes", {})
    for path in outputs:
        if path.name in hashes and not (path.exists() and file_hash(path) == hashes[path.name]):
            raise Damaged(str(path), str(mark))


def file_hash(path: Path) -> str:
    """Of the bytes; at several GB/s it costs nothing beside reading them as a table."""
    hasher = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def done(mark: Path, fingerprint: str, *outputs: Path) -> dict[str, Any] | None:
    """The counts of a finished part, or None where it must be made (again)."""
    found = marked(mark)
    return found if found.get("fingerprint") == fingerprint and all(path.exists() for path in outputs) else None


def marked(mark: Path) -> dict[str, Any]:
    """What a mark says; empty where there is none."""
    try:
        found: dict[str, Any] = json.loads(mark.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def row_groups(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """A part file piece by piece, as it was written; of `columns` only these. Read, not mapped, as above."""
    with pq.ParquetFile(path) as file:
        for index in range(file.num_row_groups):
            yield file.read_row_group(index, columns, use_threads=False)


class ByRow:
    """A part file that is asked for ranges of rows of the part, read by the row groups that the range touches.

    The column `about` says which row each of its rows is about; without one it has a row for each, in their order.
    Of `columns` only these are read.
    """

    def __init__(self, path: Path, about: str | None = None, columns: Sequence[str] | None = None) -> None:
        self._file = pq.ParquetFile(path)
        self._about = about
        self._columns = columns
        self.num_rows: int = self._file.metadata.num_rows
        self._spans = list(self._all_spans())
        self._held: dict[int, pa.Table] = {}  # what the last range touched

    def __enter__(self) -> "ByRow":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def _all_spans(self) -> Iterator[tuple[int, int]]:
        """(first, past the last) row that each row group is about."""
        end = 0
        for index in range(self._file.num_row_groups):
            group = self._file.metadata.row_group(index)
            start, end = end, end + group.num_rows
            if self._about is None:
                yield start, end
            else:
                found = group.column(self._file.schema_arrow.names.index(self._about)).statistics
                if found is None or not found.has_min_max:  # every file of `writing` has them
                    raise pa.ArrowInvalid(f"row group {index} does not say which rows it is about")
                yield found.min, found.max + 1

    def between(self, start: int, end: int) -> pa.Table:
        """Its rows about the rows from `start` to before `end`, in their order."""
        touched = [index for index, (first, past) in enumerate(self._spans) if first < end and start < past]
        self._held = {index: self._held[index] if index in self._held else self._read(index) for index in touched}
        found = [self._cut(table, self._spans[index][0], start, end) for index, table in self._held.items()]
        return pa.concat_tables(found) if found else self._file.schema_arrow.empty_table()

    def _read(self, index: int) -> pa.Table:
        return self._file.read_row_group(index, self._columns, use_threads=False)

    def _cut(self, table: pa.Table, first: int, start: int, end: int) -> pa.Table:
        if self._about is None:
            return table.slice(max(start - first, 0), end - max(start, first))
        about = table[self._about]
        return table.filter(pc.and_(pc.greater_equal(about, start), pc.less(about, end)))
