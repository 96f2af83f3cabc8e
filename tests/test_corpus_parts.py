"""Part files are whole or not there, and read piece by piece."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus import parts
from corpus.parts import (
    ByRow,
    done,
    mark_done,
    marked,
    read_arrow,
    record_batches,
    replacing,
    row_groups,
    writing,
    writing_arrow,
)

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.large_string())])


def table(start: int, rows: int, width: int = 3) -> pa.Table:
    return pa.table({"n": range(start, start + rows), "text": ["x" * width] * rows}, schema=SCHEMA)


def test_a_failed_block_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with writing(tmp_path / "a" / "part-1.parquet", SCHEMA) as out:
            out.write(table(0, 5))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list((tmp_path / "a").iterdir()) == []


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_row_groups_are_bounded_in_rows_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "part-1.parquet"
    with writing(path, SCHEMA, rows=10, max_bytes=4_000) as out:
        for start in range(0, 25, 5):
            out.write(table(start, 5))
        out.write(table(25, 2, width=5_000))
        out.write(table(27, 1))
    groups = [group.num_rows for group in row_groups(path)]
    assert groups == [10, 10, 7, 1]
    assert pq.read_table(path)["n"].to_pylist() == list(range(28))


def test_an_empty_part_has_its_schema(tmp_path: Path) -> None:
    with writing(tmp_path / "part-1.parquet", SCHEMA):
        pass
    assert pq.read_schema(tmp_path / "part-1.parquet") == SCHEMA
    with writing_arrow(tmp_path / "part-1.arrow", SCHEMA):
        pass
    assert read_arrow(tmp_path / "part-1.arrow").schema == SCHEMA


def test_columns_are_put_in_the_order_of_the_schema(tmp_path: Path) -> None:
    with writing(tmp_path / "part-1.parquet", SCHEMA) as out:
        out.write(table(0, 2).select(["text", "n"]))
    assert pq.read_schema(tmp_path / "part-1.parquet").names == SCHEMA.names


def test_done_needs_the_same_fingerprint_and_every_output(tmp_path: Path) -> None:
    mark, output = tmp_path / "part-1.done.json", tmp_path / "part-1.parquet"
    assert done(mark, "abc", output) is None
    mark_done(mark, "abc", {"rows": 3})
    assert done(mark, "abc", output) is None
    output.touch()
    assert done(mark, "abc", output) == {"fingerprint": "abc", "rows": 3}
    assert done(mark, "abd", output) is None
    mark.write_text('{"fingerprint": "ab')
    assert marked(mark) == {}


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 9), st.tuples(st.integers(0, 40), st.integers(0, 40)))
def test_any_range_of_rows_is_found_however_they_are_grouped(
    rows: list[int], size: int, asked: tuple[int, int]
) -> None:
    start, end = sorted(asked)
    table = pa.table({"row": pa.array(rows, pa.int64()), "n": pa.array(range(len(rows)), pa.int64())})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part-1.parquet"
        with writing(path, table.schema, rows=size) as out:
            for at in range(0, len(rows), 4):
                out.write(table.slice(at, 4))
        with ByRow(path, "row") as about, ByRow(path, columns=["n"]) as each:
            wanted = [n for n, row in enumerate(rows) if start <= row < end]
            for _ in range(2):
                assert about.between(start, end)["n"].to_pylist() == wanted
                assert each.between(start, end)["n"].to_pylist() == list(range(len(rows)))[start:end]
                assert each.between(0, start)["n"].to_pylist() == list(range(len(rows)))[:start]


def test_row_groups_grow_where_there_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_MANY_GROUPS", 3)
    with writing(tmp_path / "part-1.parquet", SCHEMA, rows=2) as out:
        for start in range(40):
            out.write(table(start, 1))
    assert [group.num_rows for group in row_groups(tmp_path / "part-1.parquet")] == [2, 2, 2, 4, 4, 4, 8, 8, 6]


def test_record_batches_come_as_they_were_written(tmp_path: Path) -> None:
    with writing_arrow(tmp_path / "part-1.arrow", SCHEMA) as out:
        for start in (0, 5):
            out.write_table(table(start, 5))
    assert [batch["n"].to_pylist() for batch in record_batches(tmp_path / "part-1.arrow")] == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
    ]
