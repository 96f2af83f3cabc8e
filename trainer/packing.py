"""Documents to token shards, once: the cache is keyed by what it is made from, and written whole or not at all.

Tokens are written as they come and then copied in order of id: neither text nor tokens are held in memory, and while
packing the disk holds them twice.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainer import recipe
from trainer.encoding import Encoder, Progress
from trainer.failures import Failure, UsageFailure
from trainer.run_folder import SCHEMA, Run, open_runs
from trainer.shards import FORMAT, SPLITS, Shards
from trainer.splits import arranged
from trainer.tokenizer import Tokenizer


def open_shards(
    run_folders: Sequence[Path],
    tokenizer: Tokenizer,
    data: recipe.Data,
    on_progress: Progress = lambda done, total: None,
) -> Shards:
    """The token shards of some corpora, packed first where they are not in the cache.

    Raises UsageFailure (another schema version, no run, another kind) or Failure (empty, or changed since built).
    """
    runs = open_runs(run_folders)
    key = cache_key(runs, tokenizer, data)
    folder = (Path(data.cache) if data.cache else runs[0].folder / "tokens") / key
    if not folder.exists():
        if data.kind == "chat":
            tokenizer.chat  # noqa: B018  raises where there are no tokens for conversations
        _pack_into(folder, runs, tokenizer, data, on_progress)
    return Shards(folder)


def cache_key(runs: Sequence[Run], tokenizer: Tokenizer, data: recipe.Data) -> str:
    """16 hex digits of everything that decides a byte of the shards. The rows' length does not."""
    made_from = {
        "corpora": [[run.name if len(runs) > 1 else "", run.content_hash] for run in runs],
        "tokenizer": tokenizer.sha256,
        "kind": data.kind,
        "validation": data.validation,
        "format": FORMAT,
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]


def _pack_into(folder: Path, runs: Sequence[Run], tokenizer: Tokenizer, data: recipe.Data, tell: Progress) -> None:
    """Pack into a folder beside, which then gets its name; another process that was faster wins."""
    with _beside(folder) as temporary:
        told = {"key": folder.name, **_pack(temporary, runs, tokenizer, data, tell)}
        (temporary / "shards.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")
        temporary.chmod(0o755)  # mkdtemp's is private
        try:
            os.rename(temporary, folder)
        except OSError:
            if not folder.exists():
                raise


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, gone at the end unless renamed; first, what killed processes left is removed.

    Who packs holds a lock on its folder, which a kill releases. Raises UsageFailure where none can be made, and Failure
    where the disk failed.
    """
    with contextlib.ExitStack() as held:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _lock(folder.parent):  # nobody sweeps between the making of a folder and its lock
                _sweep(folder.parent)
                temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
                held.enter_context(_lock(temporary))
        except OSError as error:
            told = f"{folder.parent}: cannot be written ({error}); set data.cache to another folder"
            raise UsageFailure(told) from None
        try:
            yield temporary
        except OSError as error:
            raise Failure(f"{folder.parent}: packing failed ({error})") from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _sweep(cache: Path) -> None:
    """Remove what no living process packs into."""
    for left in cache.glob(".????????????????.*"):
        with contextlib.suppress(OSError), _lock(left, wait=False):
            shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _lock(folder: Path, wait: bool = True) -> Iterator[None]:
    """A lock on a folder itself, which leaves no file. OSError where another process has it and `wait` is off."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def _pack(out: Path, runs: Sequence[Run], tokenizer: Tokenizer, data: recipe.Data, tell: Progress) -> dict[str, Any]:
    dtype = "<u2" if tokenizer.vocab <= 1 << 16 else "<u4"
    with open(out / "unsorted", "wb") as tokens, open(out / "unsorted.targets", "wb") as targets:
        found = Encoder(tokenizer, data.kind, dtype, tokens, targets).encode(runs, tell)
    sources = pc.unique(found["source"]).sort().to_pylist()
    table = arranged(found, sources, data.validation)
    ranges = _write_streams(out, table, sources, np.array([tokenizer.end], dtype), data.kind)
    for name in ("unsorted", "unsorted.targets"):
        (out / name).unlink()
    pq.write_table(table.drop_columns(["place"]), out / "documents.parquet", compression="zstd")
    tokenizer.token_bytes.astype("<i4").tofile(out / "token_bytes.int32")
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "kind": data.kind,
        "validation": data.validation,
        "corpora": {run.name: run.content_hash for run in runs},
        "tokenizer": tokenizer.sha256,
        "vocab": tokenizer.vocab,
        "end": tokenizer.end,
        "dtype": dtype,
        "sources": sources,
        "documents": ranges,  # of SPLIT-N: first row of documents.parquet, number of rows
        "files": {path.name: path.stat().st_size for path in sorted(out.iterdir())},
    }


def _write_streams(
    out: Path, table: pa.Table, sources: Sequence[str], end: NDArray[Any], kind: str
) -> dict[str, tuple[int, int]]:
    """SPLIT-N.tokens, for chat also SPLIT-N.targets; returns the first row and the number of rows of each."""
    place, size = table["place"].to_numpy(), table["tokens"].to_numpy() - 1
    counted = table.group_by(["split", "source"]).aggregate([("document", "count"), ("document", "min")]).to_pylist()
    counts = {(row["split"], row["source"]): (row["document_min"], row["document_count"]) for row in counted}
    ranges = {}
    for split in SPLITS:
        for number, source in enumerate(sources):
            first, count = ranges[f"{split}-{number}"] = counts.get((split, source), (0, 0))
            rows = slice(first, first + count)
            spans = list(zip(place[rows].tolist(), size[rows].tolist(), strict=True))
            _gather(out / "unsorted", out / f"{split}-{number}.tokens", spans, end)
            if kind == "chat":
                _gather(out / "unsorted.targets", out / f"{split}-{number}.targets", spans, np.zeros(1, np.uint8))
    return ranges


def _gather(unsorted: Path, path: Path, spans: Sequence[tuple[int, int]], border: NDArray[Any]) -> None:
    """Copy the spans (place, size) in this order, `border` before each and after the last."""
    # numpy cannot map an empty file
    held = np.memmap(unsorted, border.dtype, mode="r") if unsorted.stat().st_size else border[:0]
    with open(path, "wb", buffering=1 << 20) as file:
        for place, size in spans:
            file.write(border.tobytes())
            file.write(held[place : place + size].tobytes())
        file.write(border.tobytes())
