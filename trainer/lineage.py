"""Which documents stand behind every step: one row per document and row of the batch, with its losses, in Parquet.

Losses go to the host without stopping the device and are added up while it works on the next step.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from trainer.failures import Failure
from trainer.files import replacing
from trainer.shards import IGNORED

if TYPE_CHECKING:
    from trainer.shards import Batch, Shards

LOW, HIGH = 0.1, 8.0  # nats: what is known by heart, and what surprises

SCHEMA = pa.schema(
    [
        ("step", pa.int64()),  # the first step is 1
        ("row", pa.int64()),  # place in the step's batch
        ("document", pa.int32()),  # row of documents.parquet
        ("id", pa.dictionary(pa.int32(), pa.string())),
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("first", pa.int32()),  # where in the document this piece starts, in tokens
        ("tokens", pa.int32()),  # losses added up
        ("loss", pa.float32()),  # their sum, nats
        ("loss_square", pa.float32()),
        ("max", pa.float32()),
        ("low", pa.int32()),  # losses below 0.1
        ("high", pa.int32()),  # losses above 8
    ]
)
Columns = dict[str, NDArray[Any]]


def pieces(
    documents_BT: NDArray[np.int32],
    targets_BT: NDArray[np.int64],
    losses_BT: NDArray[np.float32],
    el2n_BT: NDArray[np.float32] | None = None,
) -> Columns:
    """One element per document and row: `row`, `column` where it starts, and what its losses come to.

    Padding (document -1) is left out. A piece without a target is kept, with 0 tokens: its document was read.
    """
    length = documents_BT.shape[1]
    flat = documents_BT.ravel()
    new = np.empty(len(flat), bool)
    new[1:] = flat[1:] != flat[:-1]
    new[::length] = True
    start = np.flatnonzero(new)
    learnt = (targets_BT != IGNORED).ravel()
    loss = losses_BT.ravel().astype(np.float64)
    sums = {
        "tokens": np.add.reduceat(learnt, start, dtype=np.int32),
        "loss": np.add.reduceat(loss, start).astype(np.float32),
        "loss_square": np.add.reduceat(loss * loss, start).astype(np.float32),
        "max": np.maximum.reduceat(loss, start).astype(np.float32),
        "low": np.add.reduceat(learnt & (loss < LOW), start, dtype=np.int32),
        "high": np.add.reduceat(learnt & (loss > HIGH), start, dtype=np.int32),
    }
    if el2n_BT is not None:
        sums["el2n"] = np.add.reduceat(el2n_BT.ravel().astype(np.float64), start).astype(np.float32)
    row, column = np.divmod(start, length)
    told = {"row": row, "column": column, "document": flat[start], **sums}
    return {name: values[told["document"] >= 0] for name, values in told.items()}


@dataclass
class _Pending:
    """A micro-batch whose losses are on their way to the host."""

    step: int
    first_row: int  # of this micro-batch within the step's batch
    batch: "Batch"
    losses: list[torch.Tensor]  # losses and, in a full lineage, EL2N; on the host once `ready`
    ready: Any  # a CUDA event, or None


class Lineage:
    """Of one rank. `add` never waits; `collect` adds up what has arrived; `flush` writes a part."""

    def __init__(self, folder: Path, rank: int, shards: "Shards", length: int, full: bool) -> None:
        self._folder, self._rank, self._full = folder / "lineage", rank, full
        self._shards, self._length = shards, length
        self._ids = shards.documents["id"].combine_chunks()
        self._sources = pa.array(shards.sources, pa.string())
        self._source = pc.index_in(shards.documents["source"].cast(pa.string()), self._sources).to_numpy()
        self._firsts = shards.documents["first"].to_numpy()  # of each document within its source's stream
        self._pending: list[_Pending] = []
        self._steps: dict[int, list[pa.Table]] = {}

    def add(self, step: int, first_row: int, batch: "Batch", losses: Sequence[torch.Tensor]) -> None:
        """Note a micro-batch of `step`. losses: BT of nats, and of EL2N in a full lineage, on the device."""
        host, ready = [tensor.detach() for tensor in losses], None
        if host[0].is_cuda:
            host = [_to_pinned(tensor) for tensor in host]
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record()
        self._pending.append(_Pending(step, first_row, batch, host, ready))

    def collect(self, before: int | None = None) -> None:
        """Add up what `add` was given of steps before that. Called when the device has other work: nobody waits."""
        later = [one for one in self._pending if before is not None and one.step >= before]
        for one in self._pending[: len(self._pending) - len(later)]:
            if one.ready is not None:
                one.ready.synchronize()
            found = pieces(one.batch.documents_BT, one.batch.targets_BT, *(tensor.numpy() for tensor in one.losses))
            row = found["row"]
            # stream position of the piece, less that of its document
            found["first"] = self._starts(one.batch)[row] + found.pop("column") - self._firsts[found["document"]]
            found["row"] = row + one.first_row
            self._steps.setdefault(one.step, []).append(self._table(one.step, found))
        self._pending = later

    def _starts(self, batch: "Batch") -> NDArray[np.int64]:
        """Where each row of a batch begins in its source's stream."""
        starts = np.empty(len(batch.row_B), np.int64)
        for number in np.unique(batch.source_B):
            chosen = batch.source_B == number
            starts[chosen] = self._shards.spans("train", int(number), self._length)[0][batch.row_B[chosen]]
        return starts

    def documents(self, step: int, limit: int = 20) -> list[dict[str, Any]]:
        """The documents of a step that was not written yet, worst loss per token first."""
        self.collect()
        tables = self._steps.get(step, [])
        return worst(pa.concat_tables(tables), limit) if tables else []

    def take_back(self, after: int, keep: set[int], ranks: int) -> None:
        """Forget the steps after `after`, which will be done again, but for those of `keep`, which will not.

        What was written of them is read again, so that a later part holds it; each rank sees to its own parts.
        """
        self.collect()
        for path, _, last in list(_parts(self._folder.parent)):
            if last > after and _rank(path) % ranks == self._rank:
                table = pq.read_table(path)
                for step in pc.unique(table["step"]).to_pylist():
                    held = table.filter(pc.equal(table["step"], step))
                    self._steps.setdefault(step, []).insert(0, held)
                path.unlink()
        self._steps = {step: found for step, found in self._steps.items() if step <= after or step in keep}

    def flush(self) -> None:
        """Write what was added up as one part. Steps in order, rows in order: nothing depends on time."""
        self.collect()
        if not self._steps:
            return
        steps = sorted(self._steps)
        tables = [table for step in steps for table in self._steps[step]]
        path = self._folder / f"part-{steps[0]:08}-{steps[-1]:08}-rank{self._rank}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            pq.write_table(pa.concat_tables(tables).unify_dictionaries(), temporary, compression="zstd")
        self._steps.clear()

    def _table(self, step: int, columns: Columns) -> pa.Table:
        document = columns["document"]
        number, place = np.unique(document, return_inverse=True)
        id_names = self._ids.take(pa.array(number)).cast(pa.string())
        values: dict[str, Any] = dict(columns)
        values["step"] = np.full(len(document), step, np.int64)
        values["id"] = pa.DictionaryArray.from_arrays(pa.array(place.astype(np.int32)), id_names)
        values["source"] = pa.DictionaryArray.from_arrays(pa.array(self._source[document]), self._sources)
        schema = SCHEMA.append(pa.field("el2n", pa.float32())) if self._full else SCHEMA
        arrays = [
            values[f.name] if pa.types.is_dictionary(f.type) else pa.array(values[f.name], f.type) for f in schema
        ]
        return pa.Table.from_arrays(arrays, schema=schema)


def _to_pinned(tensor: torch.Tensor) -> torch.Tensor:
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)


def cut(folder: Path, step: int) -> None:
    """Remove what was written of the steps after `step`: the run goes on from there."""
    for path, _, last in _parts(folder):
        if last > step:
            path.unlink()


def at_step(folder: Path, step: int) -> pa.Table:
    """All pieces of a step, of all ranks, in the order of the batch. Raises Failure where nothing is known of it."""
    parts = [path for path, first, last in _parts(folder) if first <= step <= last]
    tables = [pq.read_table(path, filters=[("step", "==", step)]) for path in parts]
    found = pa.concat_tables(tables).sort_by("row") if tables else SCHEMA.empty_table()
    if not found.num_rows:
        known = [(first, last) for _, first, last in _parts(folder)]
        told = f"steps {min(a for a, _ in known)} to {max(b for _, b in known)} are" if known else "no step is"
        raise Failure(f"{folder / 'lineage'}: nothing about step {step}; {told} written down (train.lineage)")
    return found


def of_document(folder: Path, id: str) -> pa.Table:  # noqa: A002
    """Every piece that was read of the documents whose id begins so. Raises Failure where there is none."""
    tables = [pq.read_table(path) for path, _, _ in _parts(folder)]
    tables = [table.filter(pc.starts_with(table["id"].cast(pa.string()), id)) for table in tables]
    found = pa.concat_tables(tables).sort_by([("step", "ascending"), ("row", "ascending")]) if tables else None
    if found is None or not found.num_rows:
        raise Failure(f"{folder / 'lineage'}: no step has read a document {id}")
    return found


def worst(table: pa.Table, limit: int = 0) -> list[dict[str, Any]]:
    """Documents of some pieces with their mean loss, the worst first; what is no number is worst of all, and None."""
    plain = {name: table[name].cast(pa.string()) for name in ("id", "source")}
    columns = {**plain, **{name: table[name] for name in ("tokens", "loss", "max")}}
    summed = (
        pa.table(columns).group_by(["id", "source"]).aggregate([("tokens", "sum"), ("loss", "sum"), ("max", "max")])
    )
    rows = [
        {
            "id": row["id"],
            "source": row["source"],
            "tokens": row["tokens_sum"],
            "loss": _finite(row["loss_sum"] / max(row["tokens_sum"], 1)),
            "max": _finite(row["max_max"]),
        }
        for row in summed.to_pylist()
    ]
    rows = merged(rows)
    return rows[:limit] if limit else rows


def merged(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What `worst` found on several ranks, in its order."""
    return sorted(rows, key=lambda row: (row["loss"] is not None, -(row["loss"] or 0.0), row["id"]))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _parts(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """(file, first step, last step), in order of steps, then ranks."""
    found = []
    for path in (folder / "lineage").glob("part-*-*-rank*.parquet"):
        _, first, last, _ = path.stem.split("-")
        found.append((int(first), int(last), _rank(path), path))
    for begins, ends, _, path in sorted(found):
        yield path, begins, ends


def _rank(path: Path) -> int:
    return int(path.stem.rpartition("-rank")[2])
