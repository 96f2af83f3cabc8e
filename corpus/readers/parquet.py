"""Parquet files: one record per row; a split holds the row groups that begin in its range of bytes."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus import files
from corpus.readers import Record, Settings, Split
from corpus.readers._fields import record_of

ROWS = 256  # in memory at a time, fewer where rows are large: as many as have `_BATCH_BYTES` on average
_BATCH_BYTES = 8 << 20
# Pages of a row group are read as they are needed, not all at once.
_STREAMED: dict[str, Any] = {"pre_buffer": False, "buffer_size": 1 << 20}
ERRORS = (pa.ArrowException, OSError, ValueError)


def splits(path: str, size: int, target_bytes: int) -> list[Split]:
    """Ranges of `target_bytes`. The footer is left to the workers: a damaged one can end the process that reads it."""
    return [Split(path, start, min(start + target_bytes, size)) for start in range(0, max(size, 1), target_bytes)]


def read(split: Split, settings: Settings) -> Iterator[Record]:
    """Rows of the row groups that begin in the range; `position` is the number of the row in the file."""
    with files.open_binary(split.path) as file:
        try:
            parquet = pq.ParquetFile(file, **_STREAMED)
        except ERRORS as error:
            if split.start == 0:
                yield Record(0, failure=("broken_record", f"no Parquet file: {error}"))
            return
        yield from _row_groups(parquet, split, settings)


def _row_groups(parquet: pq.ParquetFile, split: Split, settings: Settings) -> Iterator[Record]:
    row = 0
    for group in range(parquet.metadata.num_row_groups):
        begins = _start(parquet.metadata, group) if group else 0
        if split.start <= begins < split.end:
            yield from _rows(parquet, group, row, settings)
        row += parquet.metadata.row_group(group).num_rows


def _rows(parquet: pq.ParquetFile, group: int, row: int, settings: Settings) -> Iterator[Record]:
    try:
        for batch in parquet.iter_batches(_rows_at_once(parquet.metadata.row_group(group)), row_groups=[group]):
            for value in _values(batch):
                record = _bounded(record_of(value, row, settings), settings)
                record.num_bytes = batch.nbytes // batch.num_rows
                yield record
                row += 1
    except ERRORS as error:
        yield Record(row, failure=("broken_record", f"row group {group} ends here: {error}"))


def _rows_at_once(group: pq.RowGroupMetaData) -> int:
    num_rows: int = min(ROWS, _BATCH_BYTES * group.num_rows // max(1, group.total_byte_size))
    return max(1, num_rows)


def _values(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as Python objects; bytes are dropped, for they are no text and no JSON."""
    columns = [name for name, field in zip(batch.schema.names, batch.schema, strict=True) if not _is_binary(field.type)]
    rows: list[dict[str, Any]] = batch.select(columns).to_pylist()
    return rows


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _bounded(record: Record, settings: Settings) -> Record:
    if record.text is not None and len(record.text) > settings.max_record_bytes:
        return Record(
            record.position, record.url, record.origin, failure=("too_large", f"{len(record.text)} characters")
        )
    return record


def _start(meta: pq.FileMetaData, group: int) -> int:
    column = meta.row_group(group).column(0)
    return int(column.dictionary_page_offset or column.data_page_offset)
