"""Proposals are the worst findings, unsigned; a signature is a person's, and a build's reader takes the result."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.corrections import CorrectionError, read, save, signed
from eval.corrections import Plan, findings, propose, sign, sign_file
from eval.documents import Document

IDS = [f"{n:032x}" for n in range(5)]
FOUND = [{"id": IDS[n % 4], "score": n / 10, "signal": "junk", "evidence": f"rank {n}"} for n in range(10)]
NOW = datetime(2024, 5, 6, 7, 8, 9)


def test_the_worst_come_first_and_each_document_once(tmp_path: Path) -> None:
    rows = propose(FOUND, Plan(min_score=0.6, most=3))
    assert [(row.id, row.score) for row in rows] == [(IDS[1], 0.9), (IDS[0], 0.8), (IDS[3], 0.7)]
    assert {(row.action, row.reason, row.signed_by) for row in rows} == {("block", "flagged_by_model", "")}
    save(tmp_path / "c.csv", rows)
    assert read(tmp_path / "c.csv") == rows
    with pytest.raises(CorrectionError, match="none of its 3 rows"):
        signed(tmp_path / "c.csv")


def test_a_person_signs_some_and_keeps_older_names(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    save(path, propose(FOUND, Plan()))
    assert sign_file(path, "Ann", [IDS[1]], NOW) == (1, 3)
    assert [row.id for row in signed(path)[0]] == [IDS[1]]
    assert sign_file(path, "Bob", (), NOW) == (3, 0)
    rows = {row.id: row for row in signed(path)[0]}
    assert rows[IDS[1]].signed_by == "Ann"
    assert (rows[IDS[2]].signed_by, rows[IDS[2]].signed_at) == ("Bob", "2024-05-06T07:08:09")
    with pytest.raises(CorrectionError, match="with a name"):
        sign([], " ")
    with pytest.raises(CorrectionError, match="no proposal is about ffff"):
        sign(list(rows.values()), "Ann", ["ffff"])


def test_masks_are_sealed_to_the_text_and_weights_have_a_number() -> None:
    found = [{"id": IDS[0], "score": 1.0, "start": 4, "end": 7}]
    row = propose(found, Plan("mask"), [Document(IDS[0], "The old mill.")])[0]
    assert row.value.startswith("4:7:")
    assert propose(found, Plan("weight", weight=0.25))[0].value == "0.25"
    with pytest.raises(CorrectionError, match="a mask needs"):
        propose(found, Plan("mask"))
    with pytest.raises(CorrectionError, match="finding 1 has no id or no score"):
        propose([{"id": IDS[0], "score": None}], Plan())


def test_findings_are_read_from_parquet_and_csv(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(FOUND), tmp_path / "f.parquet")
    assert findings(tmp_path / "f.parquet") == FOUND
    (tmp_path / "f.csv").write_text(f"id,score\n{'a' * 32},0.5\n")
    assert findings(tmp_path / "f.csv") == [{"id": "a" * 32, "score": 0.5}]
    (tmp_path / "g.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CorrectionError, match="columns id and score"):
        findings(tmp_path / "g.csv")
    with pytest.raises(CorrectionError, match="no such file"):
        findings(tmp_path / "h.csv")
