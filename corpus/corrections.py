"""Corrections that a person has signed, and what a build does with them: block, mask, weigh, add a source.

They act on what would otherwise be kept, after deduplication: a blocked document's copies stay its copies, so nothing
bad comes back in another one's name. Evaluation proposes them; this is their schema and their only reader.
"""

import csv
import dataclasses
import functools
import hashlib
import itertools
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus import schema, tombstones
from corpus.edited import carry_out
from corpus.failures import Failure
from corpus.parts import replacing, writing
from corpus.recipe import Corrections as Settings
from corpus.recipe import Recipe, Source

FILE = "corrections.parquet"  # in a run: the signed rows that it was built with
WEIGHTS = "weights.parquet"  # in a run: kept documents that do not count as one; absent documents weigh 1
STAGE = "correction"
ACTIONS = ("block", "weight", "mask", "add_source")
SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # of the document; empty for add_source
        ("action", pa.string()),
        # weight: what its losses are multiplied by, from 0 up; mask: start:end or start:end:digest (`digest_of`), code
        # points of the kept text; add_source: a path; block: empty
        ("value", pa.string()),
        ("reason", pa.string()),  # what is wrong with the document, as in the ledger: flagged_by_model
        ("evidence", pa.string()),
        ("signal", pa.string()),  # what found it
        ("score", pa.float64()),
        ("signed_by", pa.string()),  # empty: a proposal, which no build obeys
        ("signed_at", pa.string()),  # ISO 8601
    ]
)
WEIGHT_SCHEMA = pa.schema(
    [("id", pa.string()), ("weight", pa.float64()), ("reason", pa.string()), ("signed_by", pa.string())]
)
_KINDS = {".jsonl": "jsonl", ".parquet": "parquet", ".txt": "text", ".warc": "warc", ".epub": "epub", ".html": "html"}
_MOST_NAMED = 5


class CorrectionError(Failure, ValueError):
    """A file of corrections that cannot be obeyed."""

    status = 2


@dataclasses.dataclass(frozen=True)
class Correction:
    """One row."""

    id: str
    action: str
    value: str = ""
    reason: str = ""
    evidence: str = ""
    signal: str = ""
    score: float | None = None
    signed_by: str = ""
    signed_at: str = ""

    @property
    def span(self) -> tuple[int, int]:
        start, end, *_ = self.value.split(":")
        return int(start), int(end)

    def said(self) -> str:
        """For the ledger: who signed it, what found it, on what evidence."""
        found = f"{self.signal} {self.score:.4g}" if self.signal and self.score is not None else self.signal
        parts = [f"signed by {self.signed_by} at {self.signed_at}", found, self.evidence]
        return "; ".join(part for part in parts if part)


def digest_of(span: str) -> str:
    """8 hex digits of what a mask removes: it must still stand there when the mask is obeyed."""
    return hashlib.sha256(span.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def read(path: Path) -> list[Correction]:
    """Every row of a .parquet or .csv file, signed or not. Raises CorrectionError that names bad rows, from 1."""
    rows, bad = [], []
    for number, raw in enumerate(_raw(path), 1):
        try:
            rows.append(_checked(raw))
        except ValueError as error:
            bad.append(f"row {number}: {error}")
    bad += _clashes(rows) if not bad else []
    if bad:
        more = f"; and {len(bad) - _MOST_NAMED} more" if len(bad) > _MOST_NAMED else ""
        raise CorrectionError(f"{path}: {'; '.join(bad[:_MOST_NAMED])}{more}")
    return rows


def signed(path: Path) -> tuple[list[Correction], int]:
    """(signed rows, number of unsigned ones). Raises CorrectionError where rows are bad, or none of them is signed."""
    rows = read(path)
    obeyed = [row for row in rows if row.signed_by]
    if rows and not obeyed:
        raise CorrectionError(
            f"{path}: none of its {len(rows)} rows is signed; a person reads them and fills in signed_by and signed_at"
        )
    return obeyed, len(rows) - len(obeyed)


def _raw(path: Path) -> Iterable[dict[str, Any]]:
    if not path.is_file():
        raise CorrectionError(f"{path}: there is no such file")
    try:
        if path.suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                rows: list[dict[str, Any]] = list(reader)
                names = list(reader.fieldnames or ())
        else:
            table = pq.read_table(path)
            rows, names = table.to_pylist(), table.column_names
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error) as error:
        raise CorrectionError(f"{path}: cannot be read: {error}") from None
    missing = [name for name in SCHEMA.names if name not in names]
    if missing:
        raise CorrectionError(f"{path}: has no column {', '.join(missing)}; there must be {', '.join(SCHEMA.names)}")
    return rows


def _checked(raw: dict[str, Any]) -> Correction:
    """A row as a Correction. Raises ValueError that says what is wrong."""
    text = {name: str(raw[name] if raw[name] is not None else "").strip() for name in SCHEMA.names if name != "score"}
    score = float(raw["score"]) if raw["score"] not in (None, "") else None
    row = Correction(score=score, **text)
    if row.action not in ACTIONS:
        raise ValueError(f"action {row.action!r} is not one of {', '.join(ACTIONS)}")
    if row.action != "add_source" and not re.fullmatch(r"[0-9a-f]{32}", row.id):
        raise ValueError(f"id {row.id!r} is not 32 hex digits")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", row.reason):
        raise ValueError(f"reason {row.reason!r} is not in the form flagged_by_model")
    _check_value(row)
    if bool(row.signed_by) != bool(row.signed_at):
        raise ValueError("signed_by and signed_at belong together")
    if row.signed_at:
        datetime.fromisoformat(row.signed_at)
    return row


def _check_value(row: Correction) -> None:
    if row.action == "weight" and not (math.isfinite(float(row.value)) and float(row.value) >= 0):
        raise ValueError(f"weight {row.value!r} is not a number from 0 up")
    if row.action == "mask" and not re.fullmatch(r"\d+:\d+(:[0-9a-f]{8})?", row.value):
        raise ValueError(f"mask {row.value!r} is not start:end")
    if row.action == "mask" and row.span[0] >= row.span[1]:
        raise ValueError(f"mask {row.value!r} is empty")
    if row.action == "block" and row.value:
        raise ValueError(f"block takes no value, found {row.value!r}")
    if row.action == "add_source" and _kind(row.value) is None:
        raise ValueError(f"add_source {row.value!r} ends in none of {', '.join(_KINDS)}")


def _clashes(rows: Sequence[Correction]) -> Iterator[str]:
    """Rows that contradict another one."""
    seen: dict[tuple[str, str], int] = {}
    masks: dict[str, list[tuple[int, int, int]]] = {}
    for number, row in enumerate(rows, 1):
        if row.action == "mask":
            masks.setdefault(row.id, []).append((*row.span, number))
        elif (first := seen.setdefault((row.action, row.id or row.value), number)) != number:
            yield f"row {number}: {row.action} of the same document as row {first}"
    for id_, spans in masks.items():
        ordered = sorted(spans)
        for one, other in itertools.pairwise(ordered):
            if other[0] < one[1]:
                yield f"row {other[2]}: mask overlaps that of row {one[2]} in {id_}"


def _kind(path: str) -> str | None:
    return next(
        (kind for suffix, kind in _KINDS.items() if path.removesuffix(".gz").removesuffix(".zst").endswith(suffix)),
        None,
    )


def save(path: Path, rows: Sequence[Correction]) -> None:
    """Write rows as .csv, for a person to edit, or as Parquet."""
    plain = [dataclasses.asdict(row) for row in rows]
    if path.suffix == ".csv":
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, SCHEMA.names)
            writer.writeheader()
            writer.writerows(plain)
    else:
        with writing(path, SCHEMA) as out:
            out.write(pa.Table.from_pylist(plain, schema=SCHEMA))


def obeying(recipe: Recipe, file: Path | None) -> Recipe:
    """The recipe with the signed rows of a file: their hash is in its fingerprint, their sources are read too."""
    path = file or (Path(recipe.corrections.file) if recipe.corrections.file else None)
    if path is None:
        return recipe
    rows, _ = signed(path)
    told = sorted(repr(dataclasses.astuple(row)) for row in rows)
    settings = Settings(str(path), hashlib.sha256("\n".join(told).encode("utf-8", "surrogatepass")).hexdigest())
    taken = {source.name for source in recipe.sources}
    added = []
    for row in rows:
        if row.action == "add_source":
            name = "added_" + re.sub(r"\W", "_", Path(row.value).name.partition(".")[0])
            if name in taken:
                raise CorrectionError(f"{path}: add_source {row.value}: the recipe has a source {name!r} already")
            taken.add(name)
            added.append(Source(name, _kind(row.value) or "", (row.value,)))
    return dataclasses.replace(recipe, corrections=settings, sources=(*recipe.sources, *added))


def lay_down(recipe: Recipe, run: Path) -> int:
    """Copy the signed rows into the run, for its workers and its readers. Returns how many unsigned rows there are."""
    if not recipe.corrections.file:
        return 0
    rows, unsigned = signed(Path(recipe.corrections.file))
    save(run / FILE, _without_quotes(rows, tombstones.obeyed(run, recipe.tombstones).named("id")))
    return unsigned


def forget(run: Path, ids: Collection[str]) -> None:
    """Take what the run's corrections quote of some documents out of them; what was ordered stays, for the books."""
    if (run / FILE).exists():
        before = read(run / FILE)
        after = _without_quotes(before, ids)
        if after != before:
            save(run / FILE, after)


def _without_quotes(rows: Sequence[Correction], ids: Collection[str]) -> list[Correction]:
    return [dataclasses.replace(row, evidence="") if row.id in ids else row for row in rows]


class Orders:
    """The signed rows of a run, by document."""

    def __init__(self, rows: Sequence[Correction] = ()) -> None:
        self.blocks = {row.id: row for row in rows if row.action == "block"}
        self.masks: dict[str, list[Correction]] = {}
        for row in rows:
            if row.action == "mask":
                self.masks.setdefault(row.id, []).append(row)
        self._ids = pa.array(sorted(self.blocks.keys() | self.masks.keys()), pa.string())

    def blocked(self, ids: pa.ChunkedArray) -> dict[int, Correction]:
        """Row -> the correction that blocks it."""
        if not self.blocks:
            return {}
        return {row: self.blocks[name] for row, name in self._named(ids) if name in self.blocks}

    def _named(self, ids: pa.ChunkedArray) -> list[tuple[int, str]]:
        """(row, id) of documents that have orders. Not by indices_nonzero: pyarrow 25 crashes there without chunks."""
        rows = np.flatnonzero(pc.is_in(ids, value_set=self._ids).to_numpy()).tolist()
        return [(row, ids[row].as_py()) for row in rows]

    def mask(self, docs: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Kept documents with the masked spans cut out, and the edits that say so. Raises CorrectionError."""
        told, edits = [], []
        for row, name in self._named(docs["id"]) if self.masks else []:
            text = docs["text"][row].as_py()
            for mask in sorted(self.masks.get(name, []), key=lambda mask: mask.span):
                removed = _removed(mask, text, docs["turns"][row].as_py())
                edit = {"step": STAGE, "rule": mask.reason, "start": mask.span[0], "end": mask.span[1]}
                edits.append({"row": row, **edit, "replacement": ""})
                told.append({"id": name, **edit, "removed": removed, "replacement": ""})
        if edits:
            table = pa.Table.from_pylist(edits, schema=_EDITS)
            docs = carry_out(docs, table).select(docs.column_names)
        return docs, pa.Table.from_pylist(told, schema=schema.EDITS)


_EDITS = pa.schema(
    [("row", pa.int32()), ("step", pa.string()), ("rule", pa.string()), ("start", pa.int64()), ("end", pa.int64()),
     ("replacement", pa.large_string())]
)  # fmt: skip


def _removed(mask: Correction, text: str, turns: Any) -> str:
    start, end = mask.span
    removed = text[start:end]
    digest = mask.value.split(":")[2:]
    if turns:
        raise CorrectionError(f"mask of {mask.id}: it is a conversation, and a mask reaches its text only; block it")
    if end > len(text) or (digest and digest_of(removed) != digest[0]):
        raise CorrectionError(
            f"mask {mask.value} of {mask.id}: its text is not what it was when the mask was proposed; propose it again"
        )
    return removed


@functools.lru_cache(maxsize=1)
def _orders(path: Path, sha256: str) -> Orders:
    return Orders(read(path))


def orders(recipe: Recipe, run: Path) -> Orders:
    """What a build of this recipe must obey."""
    return _orders(run / FILE, recipe.corrections.sha256) if recipe.corrections.file else Orders()


def of_run(run: Path) -> list[Correction]:
    """The signed rows that a finished run was built with."""
    return read(run / FILE) if (run / FILE).exists() else []


def finish(recipe: Recipe, run: Path, docs: Sequence[Path], ledger: Sequence[Path]) -> dict[str, Any]:
    """Write the weights of kept documents; returns what was obeyed, per action, for the manifest."""
    if not recipe.corrections.file:
        (run / WEIGHTS).unlink(missing_ok=True)
        return {}
    rows = of_run(run)
    kept, out = _among(rows, docs, "true"), _among(rows, ledger, f"stage = '{STAGE}'")
    read_ids = kept | _among(rows, ledger, "true")
    weights = [row for row in rows if row.action == "weight" and row.id in kept]
    with writing(run / WEIGHTS, WEIGHT_SCHEMA) as file:
        plain = [{**dataclasses.asdict(row), "weight": float(row.value)} for row in weights]
        file.write(
            pa.Table.from_pylist([{n: row[n] for n in WEIGHT_SCHEMA.names} for row in plain], schema=WEIGHT_SCHEMA)
        )
    acted = {
        "block": sum(row.action == "block" and row.id in out for row in rows),
        "mask": sum(row.action == "mask" and row.id in kept for row in rows),
        "weight": len(weights),
        "add_source": sum(row.action == "add_source" for row in rows),
    }
    # Rejected for another reason already: nothing was left to do. Not read: the recipe's input does not have it.
    idle = {row.id for row in rows if row.id and row.id in read_ids - kept - out}
    absent = {row.id for row in rows if row.id} - read_ids
    told = {"file": recipe.corrections.file, "sha256": recipe.corrections.sha256, "signed": len(rows)}
    return {"corrections": {**told, "obeyed": acted, "rejected_already": len(idle), "not_read": len(absent)}}


def _among(rows: Sequence[Correction], files: Sequence[Path], condition: str) -> set[str]:
    """The ids of corrections that some part files hold."""
    if not files:
        return set()
    wanted = pa.table({"id": pa.array([row.id for row in rows], pa.string())})
    with duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}) as db:
        db.register("wanted", wanted)
        query = f"select distinct id from read_parquet(?) semi join wanted using (id) where {condition}"
        return {row[0] for row in db.execute(query, [[str(file) for file in files]]).fetchall()}
