"""The first and the last reading of a document, out of the trainer's lineage."""

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval import first_seen
from trainer.lineage import SCHEMA


def write(folder: Path, rows: list[dict[str, Any]], part: int = 1) -> None:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / f"part-{part:08}-{part:08}-rank0.parquet")


def piece(step: int, id_: str, first: int, tokens: int, loss: float, **others: Any) -> dict[str, Any]:
    told = {"row": 0, "document": 0, "source": "s", "loss_square": loss**2 / tokens, "max": loss, "low": 0, "high": 0}
    return {**told, "step": step, "id": id_, "first": first, "tokens": tokens, "loss": loss, **others}


def test_the_first_reading_counts_and_pieces_add_up(tmp_path: Path) -> None:
    write(tmp_path / "lineage", [piece(1, "a", 0, 4, 8.0), piece(3, "a", 4, 4, 12.0, high=2), piece(2, "b", 0, 5, 5.0)])
    write(tmp_path / "lineage", [piece(9, "a", 4, 4, 4.0), piece(8, "a", 0, 4, 4.0), piece(7, "c", 2, 1, 1.0)], 2)
    found = first_seen.measure(tmp_path / "lineage", ["b", "a", "c", "never"], [5, 8, 3, 3], [10, 20, 5, 5])
    assert found["seen_mean"][:2].tolist() == [1.0, 2.5]
    assert found["seen_bpb"][1] == pytest.approx(20 / math.log(2) / 20)
    assert found["seen_high"][1] == 0.25
    assert found["seen_max"][1] == 12.0
    assert found["seen_step"][1] == 2.0
    assert found["later_drop"][1] == pytest.approx((20 - 8) / 8)
    assert math.isnan(found["later_drop"][0])  # read once
    assert math.isnan(found["seen_bpb"][2])  # read in part: bytes of a part are not known
    assert found["seen_mean"][2] == 1.0
    assert all(math.isnan(found[name][3]) for name in first_seen.NAMES)
    assert math.isnan(found["el2n"][1])
