"""Part files are whole or not there."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.parts import done, mark_done, marked, read_arrow, replacing, row_groups, writing, writing_arrow

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
