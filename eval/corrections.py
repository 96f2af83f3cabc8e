"""From findings to corrections: a proposal per finding with its evidence, and a person's name under what is right.

The schema and the reader are corpus/corrections.py: what is proposed here is nothing to a build until it is signed.
"""

import dataclasses
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from corpus.corrections import Correction, CorrectionError, digest_of, read, save
from eval.documents import Document

AUTOMATIC = "automatic (demo)"  # the loop's demonstration signs by itself, and says so in every row


@dataclass(frozen=True)
class Plan:
    """What to propose: everything with a score from `min_score` up, at most `most` documents, the worst first."""

    action: str = "block"
    reason: str = "flagged_by_model"
    min_score: float = 0.5
    most: int = 1000
    weight: float = 0.1  # for the action `weight`


def propose(findings: Sequence[dict[str, Any]], plan: Plan, documents: Sequence[Document] = ()) -> list[Correction]:
    """Unsigned rows from findings: dicts with `id` and `score`; `signal`, `evidence`, `start`, `end` where known.

    The highest score of a document counts. Masks need the span and the document, whose text is sealed into the row.
    Raises CorrectionError for a finding without id or score, and for a mask without a span.
    """
    texts = {document.id: document.text for document in documents}
    best: dict[str, tuple[float, dict[str, Any]]] = {}
    for number, finding in enumerate(findings, 1):
        id_, score = finding.get("id"), finding.get("score")
        if not isinstance(id_, str) or not isinstance(score, int | float) or math.isnan(score):
            raise CorrectionError(f"finding {number} has no id or no score: {id_!r}, {score!r}")
        if score >= plan.min_score and (id_ not in best or score > best[id_][0]):
            best[id_] = (float(score), finding)
    chosen = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[: plan.most]
    return [_row(id_, score, finding, plan, texts) for id_, (score, finding) in chosen]


def _row(id_: str, score: float, finding: dict[str, Any], plan: Plan, texts: dict[str, str]) -> Correction:
    value = {"weight": f"{plan.weight:g}"}.get(plan.action, "")
    if plan.action == "mask":
        start, end = finding.get("start"), finding.get("end")
        if start is None or end is None or id_ not in texts:
            raise CorrectionError(
                f"finding of {id_}: a mask needs `start` and `end`, and the run that has the document"
            )
        value = f"{start}:{end}:{digest_of(texts[id_][start:end])}"
    evidence = str(finding.get("evidence") or "")
    return Correction(id_, plan.action, value, plan.reason, evidence, str(finding.get("signal") or ""), score)


def findings(path: Path) -> list[dict[str, Any]]:
    """Rows of a Parquet or CSV file of findings, as `flag` and `attribute` write them. Raises CorrectionError."""
    if not path.is_file():
        raise CorrectionError(f"{path}: there is no such file of findings")
    try:
        table = pacsv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise CorrectionError(f"{path}: cannot be read: {error}") from None
    if not {"id", "score"} <= set(table.column_names):
        raise CorrectionError(f"{path}: findings need the columns id and score; it has {', '.join(table.column_names)}")
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def sign(
    rows: Sequence[Correction], name: str, ids: Collection[str] = (), now: datetime | None = None
) -> list[Correction]:
    """The rows with a name and the time under those of `ids` (a document's id or its first digits), or under all.

    Rows that have a name keep it. Raises CorrectionError without a name, or for an id that no row has.
    """
    if not name.strip():
        raise CorrectionError("a correction is signed with a name: --by NAME")
    unknown = [key for key in ids if not any(row.id.startswith(key) for row in rows)]
    if unknown:
        raise CorrectionError(f"no proposal is about {unknown[0]}")
    when = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    chosen = tuple(ids)

    def signs(row: Correction) -> bool:
        return not row.signed_by and (not chosen or row.id.startswith(chosen))

    return [dataclasses.replace(row, signed_by=name.strip(), signed_at=when) if signs(row) else row for row in rows]


def sign_file(path: Path, name: str, ids: Collection[str] = (), now: datetime | None = None) -> tuple[int, int]:
    """Sign rows of a file in place. Returns (rows signed now, rows still unsigned)."""
    before = read(path)
    after = sign(before, name, ids, now)
    save(path, after)
    return sum(a != b for a, b in zip(before, after, strict=True)), sum(not row.signed_by for row in after)
