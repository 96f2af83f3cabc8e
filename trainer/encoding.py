"""All documents of some corpora as tokens, in the order of their files: the half of packing that reads text.

Pieces of text go in and out; what stays in memory is a row of numbers per document.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from trainer.chat_format import conversations_ids
from trainer.failures import Failure, UsageFailure
from trainer.run_folder import Run
from trainer.tokenizer import Tokenizer

Progress = Callable[[int, int], None]  # documents done, documents in all
Encoded = tuple[list[int], list[int] | None]  # tokens, and for chat 1 where they are learnt

_BATCH_BYTES = 2 << 20  # of text encoded at once: measured, 150 to 300 bytes of memory a token
_MASK = (1 << 128) - 1
_COLUMNS = ("id", "source", "lang", "text")


class Encoder:
    """Writes the tokens of documents, without end tokens, to one file, and for chat what is learnt to another."""

    def __init__(self, tokenizer: Tokenizer, kind: str, dtype: str, tokens: BinaryIO, targets: BinaryIO) -> None:
        self._tokenizer, self._kind, self._dtype = tokenizer, kind, dtype
        self._tokens, self._targets = tokens, targets

    def encode(self, runs: Sequence[Run], tell: Progress) -> pa.Table:
        """Columns id, source, lang, length (tokens), learnt (losses that count), bytes, characters: a row per document.

        Failure where the documents are not the ones that a manifest tells of, by its hash of their ids and texts.
        """
        total = sum(run.num_documents for run in runs)
        found: list[pa.Table] = []
        done = 0
        for run in runs:
            content_hash = 0
            for table in _pieces(run, self._kind):
                rows, part_hash = self._piece(table, f"{run.name}/" if len(runs) > 1 else "")
                found.append(rows)
                content_hash += part_hash
                done += rows.num_rows
                tell(done, total)
            if f"{content_hash & _MASK:032x}" != run.content_hash:
                raise Failure(
                    f"{run.folder}: its documents are not those that manifest.json tells of (content hash); "
                    "the run changed after it was built: build it again"
                )
        return pa.concat_tables(found)

    def _piece(self, table: pa.Table, prefix: str) -> tuple[pa.Table, int]:
        """Encode and write one piece; returns its rows, and the sum of its hashes: the build's `docs_hash`."""
        ids, texts = table["id"].to_pylist(), table["text"].to_pylist()
        encoded = list(self._conversations(table)) if self._kind == "chat" else self._texts(texts)
        self._write(encoded)
        columns = {
            "id": pa.array(ids, pa.string()),
            "source": pa.array([prefix + source for source in table["source"].to_pylist()], pa.string()),
            "lang": table["lang"],
            "length": pa.array([len(tokens) for tokens, _ in encoded], pa.int64()),
            "learnt": pa.array([len(t) + 1 if learnt is None else sum(learnt) for t, learnt in encoded], pa.int64()),
            "bytes": pc.binary_length(table["text"]).cast(pa.int64()),
            "characters": pc.utf8_length(table["text"]).cast(pa.int64()),
        }
        hashes = (xxhash.xxh3_128_intdigest(f"{i}\0{text}".encode()) for i, text in zip(ids, texts, strict=True))
        return pa.table(columns), sum(hashes)

    def _write(self, encoded: Sequence[Encoded]) -> None:
        flat = np.array([token for tokens, _ in encoded for token in tokens], self._dtype)
        if (flat == self._tokenizer.end).any():
            raise UsageFailure("tokenizer: it makes its end token out of text, so document borders would be lost")
        flat.tofile(self._tokens)
        np.array([bit for _, learnt in encoded for bit in learnt or ()], np.uint8).tofile(self._targets)

    def _texts(self, texts: Sequence[str]) -> list[Encoded]:
        return [(tokens, None) for tokens in self._tokenizer.encode_batch(texts)]

    def _conversations(self, table: pa.Table) -> Iterator[Encoded]:
        names, turns = table["id"].to_pylist(), table["turns"].to_pylist()
        for conversation, name, source in zip(turns, names, table["source"].to_pylist(), strict=True):
            if not conversation:
                raise UsageFailure(
                    f'source {source!r}: document {name} is no conversation; data.kind = "chat" wants only those, '
                    'data.kind = "text" takes both'
                )
        try:
            yield from conversations_ids(self._tokenizer, turns)
        except UsageFailure as error:
            raise UsageFailure(f"a conversation among documents {names[0]} to {names[-1]}: {error}") from None


def _pieces(run: Run, kind: str) -> Iterator[pa.Table]:
    """Its documents in pieces of little text; at least one document each."""
    for table in run.tables([*_COLUMNS, *(["turns"] if kind == "chat" else [])]):
        table = table.set_column(table.column_names.index("text"), "text", table["text"].fill_null(""))
        piece = np.cumsum(pc.binary_length(table["text"]).to_numpy()) // _BATCH_BYTES
        edges = [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(piece)]
        for start, stop in itertools.pairwise(edges):
            if stop > start:
                yield table.slice(start, stop - start)
