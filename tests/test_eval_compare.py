"""Differences are paired: the same items, second less first, and what only one was asked is told."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from eval import results
from eval.cli import app
from eval.compare import compare, over_seeds, verdict
from eval.intervals import Interval
from eval.perplexity import DOCUMENTS
from eval.suite_scores import ITEMS


def documents(gain: float, names: range = range(30), size: int = 100) -> pa.Table:
    """Documents of unlike difficulty, all easier by `gain` bits per byte."""
    rows = [
        {
            "id": f"{n:032x}", "source": ("a", "b")[n % 2], "lang": "en", "length": "x", "split": "held_out",
            "characters": size, "bytes": size, "tokens": 9, "by": {},
            "nats": (2 + n - gain - 0.001 * (n % 3)) * size * math.log(2), "bits_per_byte": 1.0,
        }
        for n in names
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=DOCUMENTS)


def items(right: list[bool], digest: str = "h") -> pa.Table:
    rows = [
        {
            "suite": "s", "hash": digest, "id": str(n), "kind": "k", "document": "", "slices": {"odd": str(n % 2)},
            "right": value, "answer": 0, "chosen": int(not value), "scores": [0.0, 1.0],
            "margin": 1.0 if value else -1.0, "rank": 1 if value else 2, "beaten": float(value), "chance": 0.5,
            "nats": 3.0, "bytes": 4, "bits_per_byte": 1.0,
        }
        for n, value in enumerate(right)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=ITEMS)


def folder(path: Path, **tables: pa.Table) -> Path:
    for name, table in tables.items():
        results.put(path, f"{name.replace('_', '-')}.parquet", table)
    results.tell(path, "perplexity", {"row_tokens": 8, "stride": 4})
    return path


def test_a_small_gain_shows_although_documents_differ_greatly(tmp_path: Path) -> None:
    found = compare(folder(tmp_path / "a", documents=documents(0)), folder(tmp_path / "b", documents=documents(0.01)))
    whole = found.table.to_pylist()[0]
    assert whole["difference"] == pytest.approx(-0.01)
    assert whole["high"] < 0
    assert whole["verdict"] == "better"
    assert {row["value"] for row in found.table.to_pylist() if row["by"] == "source"} == {"a", "b"}
    back = compare(tmp_path / "b", tmp_path / "a").table.to_pylist()[0]
    assert back["difference"] == pytest.approx(-whole["difference"])
    assert back["verdict"] == "worse"
    assert found.notes == []


def test_what_only_one_was_asked_is_told(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", documents=documents(0), suite_s=items([True] * 8), suite_t=items([True]))
    b = folder(tmp_path / "b", documents=documents(0, range(5, 40)), suite_s=items([False] * 6))
    found = compare(a, b)
    assert "documents differ: 25 compared; 5 only of the first, 10 only of the second, 0 changed" in found.notes
    assert "suite s differ: 6 compared; 2 only of the first, 0 only of the second, 0 changed" in found.notes
    assert "suite t: only the first was asked" in found.notes
    accuracy = next(r for r in found.table.to_pylist() if r["measure"] == "accuracy" and r["by"] == "all")
    assert (accuracy["first"], accuracy["second"], accuracy["difference"]) == (1, 0, -1)


def test_a_changed_document_is_not_compared(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", documents=documents(0))
    b = folder(tmp_path / "b", documents=documents(0, size=101))
    assert compare(a, b).notes == [
        "documents differ: 0 compared; 0 only of the first, 0 only of the second, 30 changed",
        "nothing that both were asked",
    ]


def test_verdicts() -> None:
    assert verdict(Interval(-1, -2, -0.5, 9), "lower") == "better"
    assert verdict(Interval(-1, -2, -0.5, 9), "higher") == "worse"
    assert verdict(Interval(-1, -2, 0.5, 9), "lower") == "none shown"
    assert verdict(Interval(-1, -1, -1, 1), "lower") == "none shown"
    assert verdict(Interval(1, 0.5, 2, 9), "human") == "differs"


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = over_seeds([(documents(0), documents(0.01))] * 3, draws=200)
    unlike = over_seeds([(documents(0), documents(gain)) for gain in (0.03, 0.01, -0.01)], draws=200)
    assert alike.bootstrap.high < 0
    assert alike.student.high == pytest.approx(alike.student.low)
    assert unlike.bootstrap.low < 0 < unlike.bootstrap.high
    assert unlike.student.low < unlike.bootstrap.low
    assert unlike.bootstrap.value == pytest.approx(-0.01, abs=1e-9)
    alone = over_seeds([(documents(0), documents(0.01))], draws=50)
    assert np.isnan(alone.student.low)
    with pytest.raises(ValueError, match="other documents"):
        over_seeds([(documents(0), documents(0, range(3)))])


def test_the_command_writes_a_page_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = folder(tmp_path / "a", documents=documents(0), suite_s=items([True, False] * 6))
    b = folder(tmp_path / "b", documents=documents(0.5), suite_s=items([True] * 12))
    app(["compare", str(a), str(b), "--out", str(tmp_path / "out")], standalone_mode=False)
    assert "bits_per_byte" in capsys.readouterr().out
    said = (tmp_path / "out" / "comparison.html").read_text("utf-8")
    assert "is better than" in said
    assert (results.table(tmp_path / "out", "comparison.parquet") or documents(0)).num_rows > 4
