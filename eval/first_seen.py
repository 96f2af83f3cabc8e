"""What the trainer's lineage says of each document: its loss when it was first seen, before it was learnt, and later.

In its first reading a document is out of sample, so a high loss is about the document and not about the model's memory.
"""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

Floats = npt.NDArray[np.float64]
NAMES = ("seen_bpb", "seen_mean", "seen_spread", "seen_low", "seen_high", "seen_max", "later_drop", "el2n", "seen_step")
# A piece is read again at the same tokens in every epoch, since rows are cut once.
_SQL = """
with pieces as (
    select *, row_number() over (partition by id, first order by step, row) as turn,
           row_number() over (partition by id, first order by step desc, row desc) as back
    from read_parquet($files)
), once as (
    select id, sum(tokens) as tokens, sum(loss) as loss, sum(loss_square) as square, max(max) as max, sum(low) as low,
           sum(high) as high, sum(step * tokens)::double / greatest(sum(tokens), 1) as step, {el2n} as el2n
    from pieces where turn = 1 group by id
), again as (
    select id, sum(tokens) as tokens, sum(loss) as loss from pieces where back = 1 and turn > 1 group by id
)
select once.*, again.loss as again_loss, again.tokens as again_tokens from once left join again using (id)
"""


def measure(lineage: Path, ids: Sequence[str], tokens: Sequence[int], num_bytes: Sequence[int]) -> dict[str, Floats]:
    """NAMES for each document; NaN where it was not read, or not wholly (then per byte), or only once (later_drop).

    `tokens`: losses that a whole reading has, the document's tokens and its end. No lineage: all NaN.
    """
    out = {name: np.full(len(ids), np.nan) for name in NAMES}
    files = sorted(str(path) for path in lineage.glob("part-*.parquet"))
    if not files or not len(ids):
        return out
    el2n = "sum(el2n)" if "el2n" in pq.read_schema(files[0]).names else "null"
    with duckdb.connect() as database:
        # One thread: sums of floats must not depend on who came first.
        database.execute("set threads = 1")
        answer = database.execute(_SQL.format(el2n=el2n), {"files": files})
        names = [column[0] for column in answer.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    place = {name: number for number, name in enumerate(ids)}
    for row in rows:
        at = place.get(row["id"])
        if at is not None and row["tokens"]:
            for name, value in _figures(row, tokens[at], num_bytes[at]).items():
                out[name][at] = value
    return out


def _figures(row: dict[str, float], whole: int, num_bytes: int) -> dict[str, float]:
    count = row["tokens"]
    mean = row["loss"] / count
    figures = {
        "seen_mean": mean,
        "seen_spread": max(0.0, row["square"] / count - mean * mean) ** 0.5,
        "seen_low": row["low"] / count,
        "seen_high": row["high"] / count,
        "seen_max": row["max"],
        "seen_step": row["step"],
    }
    if count >= whole and num_bytes:
        figures["seen_bpb"] = float(row["loss"] / np.log(2) / num_bytes)
    if row["again_tokens"] == count:
        figures["later_drop"] = (row["loss"] - row["again_loss"]) / count
    if row["el2n"] is not None:
        figures["el2n"] = row["el2n"] / count
    return figures
