"""Bits per byte of documents, by source, language, length and any column of a run, with intervals over documents.

Bits per byte = sum of nats over a text's tokens and its end / (ln 2 x UTF-8 bytes of the text): the same question for
every tokenizer. A group's figure is that of all its text together; a document is one unit of the bootstrap.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from corpus.failures import Failure
from eval.document_losses import Scorer
from eval.documents import Document, split
from eval.intervals import ratio

DOCUMENTS = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("lang", pa.string()),
        ("length", pa.string()),  # a bucket of characters
        ("split", pa.string()),  # held_out or in_train, by the trainer's rule for the model's validation share
        ("characters", pa.int64()),
        ("bytes", pa.int64()),
        ("tokens", pa.int64()),  # losses: the text's tokens and its end
        ("nats", pa.float64()),
        ("bits_per_byte", pa.float64()),  # null for a text without bytes
        ("by", pa.map_(pa.string(), pa.string())),  # further columns that were asked for
    ],
    metadata={"winnow.perplexity": "1"},
)
GROUPS = pa.schema(
    [
        ("by", pa.string()),
        ("value", pa.string()),
        ("documents", pa.int64()),
        ("tokens", pa.int64()),
        ("bytes", pa.int64()),
        ("bits_per_byte", pa.float64()),
        ("low", pa.float64()),  # ends of the 95 % interval
        ("high", pa.float64()),
    ]
)
ALWAYS = ("source", "lang", "length", "split")
_BUCKETS = ((500, "below 500"), (2_000, "500 to 1,999"), (8_000, "2,000 to 7,999"))
_LONGEST = "8,000 and more"
_PART = 256  # documents scored between two lines of progress


class NoColumn(Failure):
    """A column to group by that the corpus does not have."""

    status = 2


@dataclass(frozen=True)
class Asked:
    """Which documents, in which groups."""

    by: tuple[str, ...] = ()
    all: bool = False  # also what was trained on
    stride: int = 0  # tokens; 0: half a row
    limit: int = 0  # documents at most, the first by id; 0: all
    tell: Callable[[str], None] = field(default=lambda _: None)


def measure(scorer: Scorer, documents: Sequence[Document], corpus: Path, asked: Asked = Asked()) -> pa.Table:
    """A row of DOCUMENTS for each held-out document (or for all), in order of id. Raises NoColumn, BadStride."""
    _, held = split(documents, scorer.validation)
    held_ids = {document.id for document in held}
    chosen = list(documents) if asked.all else held
    chosen = chosen[: asked.limit or None]
    extra = {name: column(corpus, name) for name in asked.by if name not in ALWAYS}
    rows = []
    for first in range(0, len(chosen), _PART):
        part = chosen[first : first + _PART]
        asked.tell(f"{first:,} of {len(chosen):,} documents scored")
        for document, nats in zip(part, scorer.texts([d.text for d in part], asked.stride), strict=True):
            told = {name: values.get(document.id, "") for name, values in extra.items()}
            rows.append(_row(document, nats, document.id in held_ids, told))
    return pa.Table.from_pylist(rows, schema=DOCUMENTS)


def _row(document: Document, nats: Any, held: bool, by: dict[str, str]) -> dict[str, Any]:
    size = len(document.text.encode("utf-8", "replace"))
    total = math.fsum(nats)
    return {
        "id": document.id,
        "source": document.source,
        "lang": document.lang,
        "length": bucket(len(document.text)),
        "split": "held_out" if held else "in_train",
        "characters": len(document.text),
        "bytes": size,
        "tokens": len(nats),
        "nats": total,
        "bits_per_byte": total / math.log(2) / size if size else None,
        "by": by,
    }


def bucket(characters: int) -> str:
    """The bucket of a length."""
    return next((name for below, name in _BUCKETS if characters < below), _LONGEST)


def column(corpus: Path, name: str) -> dict[str, str]:
    """id -> value of a column of the run's docs or signals (`meta.host`: a field of a struct).

    Numbers of more than eight values fall into quarters. Raises NoColumn.
    """
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))
    for table in ("docs", "signals"):
        files = sorted(str(path) for path in corpus.glob(f"{table}/part-*.parquet")) if corpus.is_dir() else []
        if not files:
            continue
        try:
            with duckdb.connect() as db:
                rows = db.execute(f"select id, {quoted} from read_parquet($files)", {"files": files}).fetchall()
        except duckdb.BinderException:
            continue
        return _labels(dict(rows))
    raise NoColumn(f"--by {name}: {corpus} has no such column, neither in docs/ nor in signals/")


def _labels(values: dict[str, Any]) -> dict[str, str]:
    numbers = sorted(v for v in values.values() if isinstance(v, int | float) and not isinstance(v, bool))
    numbers = [v for v in numbers if not math.isnan(v)]
    if len(set(numbers)) <= 8:
        return {key: "" if value is None else str(value) for key, value in values.items()}
    edges = [float(edge) for edge in np.quantile(numbers, (0.25, 0.5, 0.75))]
    names = [f"1: up to {edges[0]:.4g}", f"2: up to {edges[1]:.4g}", f"3: up to {edges[2]:.4g}", "4: above"]
    return {
        key: names[int(np.searchsorted(edges, value))] if isinstance(value, int | float) else ""
        for key, value in values.items()
    }


def groups(rows: pa.Table, by: Iterable[str] = ()) -> pa.Table:
    """A row of GROUPS for all documents, then for each value of each column."""
    found = rows.to_pylist()
    out = [_group("all", "", found)]
    for name in [*ALWAYS, *(name for name in by if name not in ALWAYS)]:
        values: dict[str, list[dict[str, Any]]] = {}
        for row in found:
            values.setdefault(row[name] if name in ALWAYS else dict(row["by"]).get(name, ""), []).append(row)
        out += [_group(name, value, values[value]) for value in sorted(values)]
    return pa.Table.from_pylist(out, schema=GROUPS)


def _group(by: str, value: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    size = [row["bytes"] for row in rows]
    found = ratio([row["nats"] / math.log(2) for row in rows], size)
    known = None if math.isnan(found.value) else found
    return {
        "by": by,
        "value": value,
        "documents": len(rows),
        "tokens": sum(row["tokens"] for row in rows),
        "bytes": sum(size),
        "bits_per_byte": known and known.value,
        "low": known and (None if math.isnan(known.low) else known.low),
        "high": known and (None if math.isnan(known.high) else known.high),
    }
