"""The Parquet reader: row groups, odd types and broken files."""

import datetime
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.readers import Record, Settings, parquet


def records(path: Path, target: int = 1 << 40, settings: Settings = Settings()) -> list[Record]:  # noqa: B008
    parts = parquet.splits(str(path), path.stat().st_size, target)
    return [record for split in parts for record in parquet.read(split, settings)]


def test_rows_of_all_groups_are_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"row {i}" for i in range(1000)]}), path, row_group_size=90)
    assert len(parquet.splits(str(path), path.stat().st_size, 1)) == 12
    for target in (1, 2000, 1 << 40):
        assert [(r.position, r.text) for r in records(path, target)] == [(i, f"row {i}") for i in range(1000)]


def test_columns_of_any_type_go_to_extra(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {
        "text": ["t"],
        "when": [datetime.datetime(2020, 1, 2)],
        "date": [datetime.date(2021, 2, 3)],
        "raw": [b"\xff"],
        "nested": [{"a": [datetime.time(1)]}],
        "none": pa.array([None], pa.null()),
    }
    pq.write_table(pa.table(columns), path)
    [record] = records(path)
    assert record.date == "2021-02-03"
    assert orjson.loads(orjson.dumps(record.extra)) == {"when": "2020-01-02T00:00:00", "nested": {"a": ["01:00:00"]}}


def test_missing_text_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [None, "t"]}), path)
    assert [(r.failure or ("",))[0] for r in records(path)] == ["no_text", ""]


def test_a_broken_file_is_one_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 this is no Parquet PAR1")
    [record] = records(path)
    assert record.failure is not None
    assert record.failure[0] == "broken_record"


def test_a_damaged_row_group_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"row {i}" for i in range(100)]}), path, row_group_size=50, use_dictionary=False)
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(bytes(data))
    found = records(path)
    assert [r.text for r in found if not r.failure] == [f"row {i}" for i in range(50, 100)]
    assert [r.failure[0] for r in found if r.failure] == ["broken_record"]
