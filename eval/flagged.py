"""Documents that are probably bad, ranked, with what speaks against each: signals, a detector, one table."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus.failures import Failure
from corpus.parts import writing
from eval import detector as detectors
from eval import documents, signals
from eval.detector import Detector
from eval.signals import Measured


class CannotFlag(Failure):
    """Something that flag was asked for and cannot do."""

    status = 2


VERSION = "1"  # of the table's columns
_REASONS = pa.list_(
    pa.struct(
        [
            ("signal", pa.string()),
            ("says", pa.string()),
            ("value", pa.float64()),
            ("usual", pa.float64()),  # of like documents: of its source, about its length
            ("z", pa.float64()),  # robust standard deviations between the two
            ("weight", pa.float64()),  # log-odds that the signal adds
        ]
    )
)
SCHEMA = pa.schema(
    [
        ("rank", pa.int64()),  # from 1, the most probable first
        ("id", pa.string()),
        ("source", pa.string()),
        ("score", pa.float64()),  # probability of being bad, where 5 % of the corpus are; 0 of an empty text
        ("flagged", pa.bool_()),
        ("signal", pa.string()),  # what weighs most
        ("evidence", pa.string()),  # what speaks against it, for a person
        ("reasons", _REASONS),  # the same as numbers; of the most probable documents only
        ("begins", pa.string()),
        *((signal.name, pa.float64()) for signal in signals.SIGNALS),
    ],
    metadata={"winnow.flagged": VERSION},
)
_EXPLAINED = 1_000  # documents: evidence costs a pass over the trees for every signal


def flag(
    model: Path | None,
    corpus: Path,
    reference: Path | None,
    out: Path,
    threshold: float = 0.5,
    rung: str = "",
    restore: str = "best",
    device: str = "cpu",
) -> tuple[pa.Table, Detector]:
    """Measure, score and write; returns the table and the detector that made it.

    Raises CannotFlag for what cannot be done as asked, Failure for a folder that cannot be read.
    """
    if reference is not None and model is None:
        raise CannotFlag("--reference compares two models: name MODEL too")
    found_documents = documents.load(corpus)
    shipped = detectors.shipped()
    if rung and rung not in shipped:
        raise CannotFlag(f"--rung {rung}: no detector of it is shipped; there are {', '.join(shipped)}")
    needed = _rung_needed(rung, model, reference, shipped)
    measured = measure(found_documents, model, reference, needed, restore, device)
    used = detectors.choose(measured, shipped, needed)
    table = ranked(found_documents, measured, used, threshold)
    out.parent.mkdir(parents=True, exist_ok=True)
    with writing(out, SCHEMA) as file:
        file.write(table)
    return table, used


def _rung_needed(rung: str, model: Path | None, reference: Path | None, shipped: dict[str, Detector]) -> str:
    """Up to which rung signals are measured: dear ones only when something will be read off them."""
    if model is None:
        return "text"
    if rung:
        return rung
    return "full" if reference is not None and "full" in shipped else detectors.DEFAULT_RUNG


def measure(
    found: Sequence[documents.Document],
    model: Path | None,
    reference: Path | None,
    rung: str,
    restore: str,
    device: str,
) -> Measured:
    """Signals up to a rung."""
    from eval.forwards import open_reader

    readers = [open_reader(path, restore, device) if path and rung != "text" else None for path in (model, reference)]
    lineage = model / "lineage" if model else None
    return signals.measure(
        found, readers[0], lineage, readers[1], tell=lambda said: print(f"{said} ...", file=sys.stderr, flush=True),
        forwards=rung == "full",
    )  # fmt: skip


def ranked(found: Sequence[documents.Document], measured: Measured, used: Detector, threshold: float) -> pa.Table:
    """The table of SCHEMA, the most probable first; equal ones by id."""
    probability = used.probability(measured)
    empty = np.array([not document.text.strip() for document in found], bool)
    probability = np.where(empty, 0.0, probability)
    order = sorted(range(len(found)), key=lambda row: (-probability[row], found[row].id))
    evidence = used.evidence(measured, order[:_EXPLAINED])
    values = measured.table()
    rows: list[dict[str, Any]] = []
    for rank, row in enumerate(order, 1):
        reasons = evidence[rank - 1] if rank <= len(evidence) and not empty[row] else []
        rows.append(
            {
                "rank": rank,
                "id": found[row].id,
                "source": found[row].source,
                "score": float(probability[row]),
                "flagged": bool(not empty[row] and probability[row] >= threshold),
                "signal": reasons[0]["signal"] if reasons else None,
                "evidence": "; ".join(told(reason) for reason in reasons),
                "reasons": reasons,
                "begins": " ".join(found[row].text[:200].split()),
            }
        )
    first = pa.Table.from_pylist(rows, schema=pa.schema(list(SCHEMA)[:9]))
    columns = values.select([s.name for s in signals.SIGNALS]).take(pa.array(order, pa.int64()))
    return pa.table([*first.columns, *columns.columns], schema=SCHEMA)


def told(reason: dict[str, Any]) -> str:
    return f"{reason['says']} {reason['value']:.4g}, usually {reason['usual']:.4g}"


def summary(table: pa.Table, used: Detector) -> str:
    """For a person: how many, by which signals, the first ten, and what was not known."""
    flagged = int(np.sum(table["flagged"].to_pylist()))
    lines = [f"{flagged:,} of {table.num_rows:,} documents flagged, by the detector of rung {used.rung!r}"]
    unknown = [s for s in used.signals if table.num_rows and table[s].null_count == table.num_rows]
    if unknown:
        lines.append(f"not known of any document, and counted as usual: {', '.join(unknown)}")
    for row in table.slice(0, min(10, flagged)).to_pylist():
        lines.append(f"{row['score']:.3f}  {row['id']}  {row['source']}  {row['begins'][:60]}")
        lines += [f"       {told(reason)}" for reason in row["reasons"][:3]]
    return "\n".join(lines)
