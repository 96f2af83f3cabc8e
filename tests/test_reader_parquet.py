"""The Parquet reader: row groups, odd types and broken files."""

import base64
import datetime
import json
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.build import build
from corpus.readers import Record, Settings, parquet

# One bit of the footer is turned. Asked where its first column lies, as planning once did, Arrow's library throws what
# nobody catches, and the process ends (found by benchmarks/fuzz.py).
ENDS_THE_PROCESS = base64.b85decode(
    "P(e~L6$BL$6&6et0u=xf000Rf1poj5VIXpEcNG8?5)~FK6$BL!6$TXs95w<d1z{j^Z+934VIXpEcM%Z)000Rf0ssI20|5a702KroEHwZa26J"
    "O*Wo=;<0ss{ZBmx)&bY*ySB>+qu0000M1Q{F|93}u96$}|Q00s~l7zA`>cytv476cZG0Tz-0CORev95w<d1z{j^Z+934VIXpEcM%Z)87vh96#"
    "x|i02Kfg5ETLdJQfNW1{o#-0ssI27K#BD1SSX;k^ulHAaG%Fadl;MEn{$SEn#wUZ+9SeWpZ<AZ*CwmH7+nNF&P{j000200000`K~ga"
)


def records(path: Path, target: int = 1 << 40, settings: Settings = Settings()) -> list[Record]:  # noqa: B008
    parts = parquet.splits(str(path), path.stat().st_size, target)
    return [record for split in parts for record in parquet.read(split, settings)]


def test_rows_of_all_groups_are_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"row {i}" for i in range(1000)]}), path, row_group_size=90)
    assert len(parquet.splits(str(path), path.stat().st_size, 700)) == 11
    for target in (50, 700, 2000, 1 << 40):
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


def test_a_footer_that_ends_the_process_is_a_ledger_row(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(ENDS_THE_PROCESS)
    pq.write_table(pa.table({"text": ["A mill stands by the river.", "A bridge."]}), tmp_path / "good.parquet")
    files = json.dumps([str(tmp_path / "*.parquet")])
    (tmp_path / "r.toml").write_text(f'steps = []\n[[sources]]\nname = "t"\nkind = "parquet"\nfiles = {files}\n')
    told = build(tmp_path / "r.toml", tmp_path / "run")
    assert (told["read"], told["docs"], told["reasons"]) == (3, 2, {"broken_record": 1})
    [row] = pq.read_table(tmp_path / "run" / "ledger", filters=[("reason", "=", "broken_record")]).to_pylist()
    assert row["provenance"]["file"].endswith("bad.parquet")
    assert "histogram" in row["detail"]
