"""Documents to token shards, once: the cache is keyed by what it is made from, and written whole or not at all.

Text is read part by part and never gathered; only ids, counts and offsets of all documents lie in memory.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from trainer import recipe
from trainer.chat_format import conversations_ids
from trainer.failures import Failure, UsageFailure
from trainer.run_folder import SCHEMA, Run, open_runs
from trainer.shards import FORMAT, SPLITS, Shards
from trainer.tokenizer import Tokenizer

Progress = Callable[[int, int], None]  # documents done, documents in all

_BATCH_BYTES = 2 << 20  # of text encoded at once: an Encoding takes about 150 bytes a token, so this about 100 MB
_MASK = (1 << 128) - 1
_COLUMNS = ("id", "source", "lang", "text")


def open_shards(
    run_folders: Sequence[Path],
    tokenizer: Tokenizer,
    data: recipe.Data,
    on_progress: Progress = lambda done, total: None,
) -> Shards:
    """The token shards of some corpora, packed first where they are not in the cache.

    Raises UsageFailure (another schema version, no run, no chat tokens) or Failure (empty, changed, of another kind).
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
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise UsageFailure(f"{folder.parent}: cannot be written ({error}); set data.cache to another folder") from None
    try:
        told = {"key": folder.name, **_pack(temporary, runs, tokenizer, data, tell)}
        (temporary / "shards.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")
        temporary.chmod(0o755)  # mkdtemp's is private
        try:
            os.rename(temporary, folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _pack(out: Path, runs: Sequence[Run], tokenizer: Tokenizer, data: recipe.Data, tell: Progress) -> dict[str, Any]:
    dtype = "<u2" if tokenizer.vocab <= 1 << 16 else "<u4"
    unsorted = out / "unsorted"
    with open(unsorted, "wb") as tokens, open(out / "unsorted.targets", "wb") as targets:
        found = _Encoder(tokenizer, data.kind, dtype, tokens, targets).all(runs, tell)
    sources = sorted(set(found.source_names))
    table = _sorted(found, sources, data.validation)
    ranges = _write_streams(out, table, sources, tokenizer.end, dtype, data.kind)
    unsorted.unlink()
    (out / "unsorted.targets").unlink()
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


@dataclasses.dataclass
class _Found:
    """Per document, in the order of reading."""

    ids: list[str] = dataclasses.field(default_factory=list)
    source_names: list[str] = dataclasses.field(default_factory=list)
    langs: list[str | None] = dataclasses.field(default_factory=list)
    lengths: list[int] = dataclasses.field(default_factory=list)  # tokens without the end token
    learnt: list[int] = dataclasses.field(default_factory=list)
    num_bytes: list[int] = dataclasses.field(default_factory=list)
    characters: list[int] = dataclasses.field(default_factory=list)


class _Encoder:
    """Encodes all documents in the order of their files, and checks that they are the ones that were built."""

    def __init__(self, tokenizer: Tokenizer, kind: str, dtype: str, tokens: BinaryIO, targets: BinaryIO) -> None:
        self._tokenizer, self._kind, self._dtype = tokenizer, kind, dtype
        self._tokens, self._targets = tokens, targets
        self._found = _Found()

    def all(self, runs: Sequence[Run], tell: Progress) -> _Found:
        total = sum(run.num_documents for run in runs)
        for run in runs:
            content_hash = 0
            for table in _batches(run, self._kind):
                content_hash += self._add(run, table, f"{run.name}/" if len(runs) > 1 else "")
                tell(len(self._found.ids), total)
            if f"{content_hash & _MASK:032x}" != run.content_hash:
                raise Failure(
                    f"{run.folder}: its documents are not those that manifest.json tells of (content hash); "
                    "the run changed after it was built: build it again"
                )
        return self._found

    def _add(self, run: Run, table: pa.Table, prefix: str) -> int:
        """Encode and write one batch; returns the sum of its documents' content hashes (corpus's `docs_hash`)."""
        found, ids, texts = self._found, table["id"].to_pylist(), table["text"].to_pylist()
        encoded = self._encode(table, texts)
        raw = [text.encode() for text in texts]
        found.ids += ids
        found.source_names += [prefix + source for source in table["source"].to_pylist()]
        found.langs += table["lang"].to_pylist()
        found.lengths += [len(tokens) for tokens, _ in encoded]
        found.learnt += [len(tokens) + 1 if learnt is None else sum(learnt) for tokens, learnt in encoded]
        found.num_bytes += map(len, raw)
        found.characters += map(len, texts)
        return sum(xxhash.xxh3_128_intdigest(i.encode() + b"\0" + text) for i, text in zip(ids, raw, strict=True))

    def _encode(self, table: pa.Table, texts: list[str]) -> list[tuple[list[int], list[int] | None]]:
        encoded: list[tuple[list[int], list[int] | None]]
        if self._kind == "chat":
            encoded = list(self._conversations(table))
            np.array([bit for _, learnt in encoded for bit in learnt or ()], np.uint8).tofile(self._targets)
        else:
            encoded = [(tokens, None) for tokens in self._tokenizer.encode_batch(texts)]
        flat = np.array([token for tokens, _ in encoded for token in tokens], self._dtype)
        if (flat == self._tokenizer.end).any():
            raise UsageFailure("tokenizer: it makes its end token out of text, so document borders would be lost")
        flat.tofile(self._tokens)
        return encoded

    def _conversations(self, table: pa.Table) -> Iterator[tuple[list[int], list[int]]]:
        turns = table["turns"].to_pylist()
        for conversation, name, source in zip(turns, table["id"].to_pylist(), table["source"].to_pylist(), strict=True):
            if not conversation:
                raise UsageFailure(
                    f'source {source!r}: document {name} is no conversation; data.kind = "chat" wants only those, '
                    'data.kind = "text" takes both'
                )
        try:
            yield from conversations_ids(self._tokenizer, turns)
        except Failure as error:
            raise Failure(f"a conversation among documents {table['id'][0]} ... {table['id'][-1]}: {error}") from None


def _batches(run: Run, kind: str) -> Iterator[pa.Table]:
    """Its documents in pieces of little text; at least one document each."""
    for table in run.tables([*_COLUMNS, *(["turns"] if kind == "chat" else [])]):
        table = table.set_column(table.column_names.index("text"), "text", table["text"].fill_null(""))
        piece = np.cumsum(pc.binary_length(table["text"]).to_numpy()) // _BATCH_BYTES
        edges = [0, *(np.flatnonzero(np.diff(piece)) + 1), len(piece)]
        for start, stop in itertools.pairwise(edges):
            if stop > start:
                yield table.slice(start, stop - start)


def _sorted(found: _Found, sources: list[str], share: float) -> pa.Table:
    """One row per document by split, source number and id. `place` is where its tokens begin in the unsorted file."""
    source = np.searchsorted(np.array(sources), np.array(found.source_names))
    high, low = _hashes(found.ids)
    validation = in_validation(source, high, low, share)
    order = np.lexsort((low, high, source, validation))
    lengths = np.array(found.lengths, np.int64)
    tokens = (lengths + 1)[order]
    stream = (source + len(sources) * validation)[order]
    ends = np.cumsum(tokens)
    firsts = ends - tokens
    is_first = np.diff(stream, prepend=-1) != 0
    columns = {
        "document": pa.array(np.arange(len(order), dtype=np.int32)),
        "id": pa.array(found.ids).take(order),
        "source": pa.array(found.source_names).take(order).dictionary_encode(),
        "lang": pa.array(found.langs, pa.string()).take(order).dictionary_encode(),
        "split": pa.array(np.array(SPLITS)[validation[order].astype(int)]).dictionary_encode(),
        "first": pa.array(firsts - firsts[is_first][np.cumsum(is_first) - 1]),
        "tokens": pa.array(tokens),
        "learnt": pa.array(np.array(found.learnt, np.int64)[order]),
        "bytes": pa.array(np.array(found.num_bytes, np.int64)[order]),
        "characters": pa.array(np.array(found.characters, np.int64)[order]),
        "place": pa.array((np.cumsum(lengths) - lengths)[order]),
    }
    return pa.table(columns)


def _hashes(ids: list[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Upper and lower 64 bits of each id."""
    try:
        words = np.frombuffer(bytes.fromhex("".join(ids)), ">u8").astype(np.uint64).reshape(len(ids), 2)
    except ValueError:
        odd = next(name for name in ids if len(name) != 32 or not set(name) <= set("0123456789abcdef"))
        raise Failure(f"document id {odd!r} is not 32 hexadecimal digits; build the run again") from None
    return words[:, 0], words[:, 1]


def in_validation(
    source: NDArray[np.integer[Any]], high: NDArray[np.uint64], low: NDArray[np.uint64], share: float
) -> NDArray[np.bool_]:
    """Which documents are held out: those whose id's lower 64 bits fall below `share` of their range.

    So a document keeps its place whatever else is in the corpus. A source of two or more documents always has one in
    validation, and any source one to train on, unless the share is 0 or 1.
    """
    limit = int(Fraction(share) * (1 << 64))
    held = np.full(len(source), True) if limit >> 64 else low < np.uint64(limit)
    if not 0 < share < 1:
        return held
    by_hash = np.lexsort((high, low, source))
    edges = np.flatnonzero(np.diff(source[by_hash], prepend=-1, append=-1))
    for start, stop in itertools.pairwise(edges):
        if stop - start > 1:
            held[by_hash[start]] = True
        held[by_hash[stop - 1]] = False
    return held


def _write_streams(
    out: Path, table: pa.Table, sources: list[str], end: int, dtype: str, kind: str
) -> dict[str, tuple[int, int]]:
    """SPLIT-N.tokens, and for chat SPLIT-N.targets; returns the rows of the table that each holds."""
    split, source, place, size = (table[c].to_numpy() for c in ("split", "source", "place", "tokens"))
    ranges = {}
    for name in SPLITS:
        for number, source_name in enumerate(sources):
            rows = np.flatnonzero((split == name) & (source == source_name))
            ranges[f"{name}-{number}"] = (int(rows[0]) if len(rows) else 0, len(rows))
            spans = list(zip(place[rows].tolist(), (size[rows] - 1).tolist(), strict=True))
            _gather(out / "unsorted", out / f"{name}-{number}.tokens", spans, np.array([end], dtype))
            if kind == "chat":
                _gather(out / "unsorted.targets", out / f"{name}-{number}.targets", spans, np.zeros(1, np.uint8))
    return ranges


def _gather(unsorted: Path, path: Path, spans: list[tuple[int, int]], border: NDArray[Any]) -> None:
    """Copy the spans (place, size) in this order, `border` before each and after the last."""
    # numpy cannot map an empty file
    held = np.memmap(unsorted, border.dtype, mode="r") if unsorted.stat().st_size else border[:0]
    with open(path, "wb") as file:
        for start in range(0, len(spans), 4096):
            pieces = [x for place, size in spans[start : start + 4096] for x in (border, held[place : place + size])]
            np.concatenate(pieces).tofile(file)
        border.tofile(file)
