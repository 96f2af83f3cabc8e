"""Token shards, opened: the streams by memory map, cut into rows of any length, each position with its document.

A cache is written once by `packing` and never changed, so that readers need no lock.
"""

import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainer.failures import Failure

FORMAT = 1  # of a cache; raised with any change to its files or to how text becomes tokens
IGNORED = -100  # torch's default ignore_index
SPLITS = ("train", "validation")
PADDING = -1  # document of a position that holds none


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows, on the host. B rows of T positions."""

    tokens_BT: NDArray[np.int64]  # inputs
    targets_BT: NDArray[np.int64]  # IGNORED where nothing is learnt
    documents_BT: NDArray[np.int32]  # row of documents.parquet for each input position; PADDING at a row's end
    source_B: NDArray[np.int32]  # source number
    row_B: NDArray[np.int64]  # row number within its source


@dataclasses.dataclass(frozen=True)
class _Stream:
    """One source's tokens of one split: [E] + document for each document, and one more E."""

    tokens: NDArray[Any]
    learnt: NDArray[np.uint8] | None  # per token; None: all are
    first: NDArray[np.int64]  # first input position of each of its documents
    base: int  # its first document's row in documents.parquet

    @property
    def num_positions(self) -> int:
        return len(self.tokens) - 1


class Shards:
    """An opened cache. `documents` has one row per document: document, id, source, lang, split, first, tokens, ...

    Text: row k of a source holds the positions k * T ... k * T + T - 1 of its stream; the last one is padded.
    Chat: a row holds as many whole conversations as fit, the rest is padding; a longer conversation begins a row and
    goes on in the next. Rows without anything to learn are not numbered, so no reader ever sees one.
    """

    def __init__(self, folder: Path) -> None:
        """Failure where a file is missing or has another size than was written."""
        self.folder = folder
        self.told = _told(folder)
        self.key: str = self.told["key"]
        self.kind: str = self.told["kind"]
        self.sources: tuple[str, ...] = tuple(self.told["sources"])
        self.vocab: int = self.told["vocab"]
        self.end: int = self.told["end"]
        _check_files(folder, self.told["files"])
        self._streams: dict[tuple[str, int], _Stream] = {}
        self._rows: dict[tuple[str, int, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    @cached_property
    def documents(self) -> pa.Table:
        """Sorted by split, source number, id."""
        return pq.read_table(self.folder / "documents.parquet", memory_map=True)

    @cached_property
    def token_bytes(self) -> NDArray[np.int32]:
        """[vocab] bytes of text per token, 0 for special ones: bits per byte = nats / ln 2 / sum over the targets."""
        return np.fromfile(self.folder / "token_bytes.int32", "<i4").astype(np.int32)

    def num_tokens(self, split: str, source: int) -> int:
        """Input positions, and for text as many losses."""
        return self.stream(split, source).num_positions

    def num_rows(self, split: str, source: int, length: int) -> int:
        """Rows of `length` positions that have something to learn."""
        return len(self.spans(split, source, length)[0])

    def rows_per_source(self, split: str, length: int) -> list[int]:
        """`num_rows` of every source: what `Order` wants."""
        return [self.num_rows(split, source, length) for source in range(len(self.sources))]

    def spans(self, split: str, source: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First input position of each row, and the one after its last."""
        found = self._rows.get((split, source, length))
        if found is None:
            stream = self.stream(split, source)
            found = _rows_of(stream, length) if stream.learnt is None else _rows_of_chat(stream, stream.learnt, length)
            self._rows[split, source, length] = found
        return found

    def read(self, split: str, source: NDArray[np.integer[Any]], row: NDArray[np.integer[Any]], length: int) -> Batch:
        """Some rows, in the order asked for. `source` and `row` are [B]; IndexError where there is no such row."""
        shape = (len(row), length)
        tokens_BT, targets_BT = np.full(shape, self.end, np.int64), np.full(shape, IGNORED, np.int64)
        documents_BT = np.full(shape, PADDING, np.int32)
        for number in np.unique(source):
            chosen = np.flatnonzero(source == number)
            start, stop = (edge[row[chosen]] for edge in self.spans(split, int(number), length))
            parts = self._read(self.stream(split, int(number)), start, stop, length)
            tokens_BT[chosen], targets_BT[chosen], documents_BT[chosen] = parts
        return Batch(tokens_BT, targets_BT, documents_BT, source.astype(np.int32), row.astype(np.int64))

    def _read(
        self, stream: _Stream, start_B: NDArray[np.int64], stop_B: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        position_BT = start_B[:, None] + np.arange(length + 1)
        np.minimum(position_BT, len(stream.tokens) - 1, out=position_BT)
        both_BT = stream.tokens[position_BT].astype(np.int64)
        tokens_BT, targets_BT = both_BT[:, :-1], both_BT[:, 1:].copy()
        # E stands at the first position of every document and nowhere else, so counting it finds the document
        borders_BT = tokens_BT == self.end
        borders_BT[:, 0] = False
        at_start_B = np.searchsorted(stream.first, start_B, side="right") - 1 + stream.base
        documents_BT = at_start_B[:, None] + np.cumsum(borders_BT, axis=1, dtype=np.int32)
        if stream.learnt is not None:
            targets_BT[stream.learnt[position_BT[:, 1:]] == 0] = IGNORED
        beyond_BT = np.arange(length) >= (stop_B - start_B)[:, None]
        if beyond_BT.any():
            tokens_BT[beyond_BT], targets_BT[beyond_BT], documents_BT[beyond_BT] = self.end, IGNORED, PADDING
        return tokens_BT, targets_BT, documents_BT.astype(np.int32)

    def stream(self, split: str, source: int) -> _Stream:
        """A source's tokens of a split, mapped."""
        found = self._streams.get((split, source))
        if found is None:
            name = f"{split}-{source}"
            learnt = _mapped(self.folder / f"{name}.targets", "u1") if self.kind == "chat" else None
            base, count = self.told["documents"][name]
            first = self.documents["first"].slice(base, count).to_numpy()
            found = _Stream(_mapped(self.folder / f"{name}.tokens", self.told["dtype"]), learnt, first, base)
            self._streams[split, source] = found
        return found

    def validation_rows(self, length: int, max_tokens: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(source, row) of what evaluations read: of each source its first rows by id, at most `max_tokens` of them.

        At least one row of every source that has any. Bytes of exactly what they score: token_bytes of the targets.
        """
        counts = [
            min(self.num_rows("validation", number, length), max(max_tokens // length, 1))
            for number in range(len(self.sources))
        ]
        source = np.repeat(np.arange(len(counts)), counts)
        return source, np.concatenate([np.arange(count) for count in counts])


def _rows_of(stream: _Stream, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    start = np.arange(0, stream.num_positions, length, dtype=np.int64)
    return start, np.minimum(start + length, stream.num_positions)


def _rows_of_chat(
    stream: _Stream, learnt: NDArray[np.uint8], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whole conversations, greedily in order of id; then only rows in which something is learnt."""
    ends = np.append(stream.first[1:], stream.num_positions)
    starts: list[int] = []
    stops: list[int] = []
    position = 0
    while position < stream.num_positions:
        whole = int(np.searchsorted(ends, position + length, side="right"))
        # the end of the last conversation that fits; where not even one does, a full row of it
        stop = int(ends[whole - 1]) if whole and ends[whole - 1] > position else position + length
        starts.append(position)
        stops.append(stop)
        position = stop
    start, stop_of = np.array(starts, np.int64), np.array(stops, np.int64)
    if not len(start):
        return start, stop_of
    kept = np.logical_or.reduceat(learnt[1:], start)  # the targets of positions p are the tokens p + 1
    return start[kept], stop_of[kept]


def _told(folder: Path) -> dict[str, Any]:
    path = folder / "shards.json"
    try:
        told = dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise Failure(f"{path}: cannot be read ({error}); remove {folder} and it is made again") from None
    if told.get("format") != FORMAT:
        raise Failure(f"{path}: token shards of format {told.get('format')}, this trainer reads {FORMAT}")
    return told


def _check_files(folder: Path, files: dict[str, int]) -> None:
    for name, size in files.items():
        path = folder / name
        found = path.stat().st_size if path.exists() else None
        if found != size:
            state = "missing" if found is None else f"{found} bytes long instead of {size}"
            raise Failure(f"{path}: {state}; remove {folder} and it is made again")


def _mapped(path: Path, dtype: str) -> NDArray[Any]:
    return np.memmap(path, np.dtype(dtype), mode="r")
