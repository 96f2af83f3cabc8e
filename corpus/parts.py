"""Part files: written whole or not at all, and marked done with what they were made from.

A stage writes `part-ID.parquet` and then `part-ID.done.json`; a restart redoes only parts without a matching mark.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
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


class PartWriter:
    """Gathers tables into row groups of at most so many rows, and no more bytes than memory should hold."""

    def __init__(self, path: Path, schema: pa.Schema, rows: int, max_bytes: int, level: int) -> None:
        options = {"compression": "zstd", "compression_level": level, "use_dictionary": repeating(schema)}
        self._writer = pq.ParquetWriter(path, schema, **options)
        self._schema = schema
        self._rows = rows
        self._max_bytes = max_bytes
        self._held: list[pa.Table] = []
        self._num_rows = self._num_bytes = 0

    def write(self, table: pa.Table) -> None:
        self._held.append(table.select(self._schema.names).cast(self._schema))
        self._num_rows += table.num_rows
        self._num_bytes += table.nbytes
        if self._num_rows >= self._rows or self._num_bytes >= self._max_bytes:
            self._flush()

    def _flush(self) -> None:
        if self._num_rows:
            self._writer.write_table(pa.concat_tables(self._held), row_group_size=self._rows)
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


def row_groups(path: Path) -> Iterator[pa.Table]:
    """A part file piece by piece, as it was written."""
    with pq.ParquetFile(path, memory_map=True) as file:
        for index in range(file.num_row_groups):
            yield file.read_row_group(index, use_threads=False)
