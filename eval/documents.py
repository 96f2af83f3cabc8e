"""Documents as evaluation reads them: of a finished run or of a JSONL file, in order of id, and which are held out."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from corpus.failures import Failure
from corpus.parts import replacing
from eval.chance import digest
from trainer.splits import ids_as_words, in_validation

COLUMNS = ("id", "source", "url", "text", "title", "lang", "turns", "meta")
# A build gives documents ids of its own; what was planted is known again in a run by this key of its JSON line.
KEY = "winnow_id"


class NoDocuments(Failure):
    """A place that holds no documents, or holds them in a form that cannot be read."""

    status = 2


@dataclass(frozen=True)
class Document:
    """One document; a conversation has its turns as (role, content) pairs."""

    id: str  # 32 hex digits
    text: str
    source: str = ""
    lang: str = ""
    title: str = ""
    url: str = ""
    turns: tuple[tuple[str, str], ...] = ()
    key: str = ""  # the id under which it was planted


def load(path: Path) -> list[Document]:
    """Documents of a run folder (RUN/docs) or of a JSONL file with `text`, in order of id. Raises NoDocuments."""
    if path.is_dir():
        found = _of_run(path)
    elif path.is_file():
        found = _of_lines(path)
    else:
        raise NoDocuments(f"{path}: there is no such run folder or JSONL file")
    return sorted(found, key=lambda document: document.id)


def _of_run(run: Path) -> Iterator[Document]:
    if not (run / "docs").is_dir():
        raise NoDocuments(f"{run}: no docs/ in it; give the folder of a finished run, or a JSONL file")
    for path in sorted((run / "docs").glob("part-*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=list(COLUMNS)):
                yield from (_document(row) for row in batch.to_pylist())


def _of_lines(path: Path) -> Iterator[Document]:
    seen: dict[str, int] = {}
    for number, row in read_lines(path):
        if not isinstance(row.get("text"), str):
            raise NoDocuments(f"{path}: line {number} has no `text`")
        given = str(row.get("id") or "")
        if not re.fullmatch("[0-9a-f]{32}", given):  # as ids of a run are: their digits decide what is held out
            said = digest(given or row["text"])
            seen[said] = seen.get(said, 0) + 1  # equal texts are still different documents
            row |= {"id": digest(said, seen[said])[:32], KEY: row.get(KEY) or given}
        yield _document(row)


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number of the line, object) of a JSONL file. Raises NoDocuments, FileNotFoundError."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                raise NoDocuments(f"{path}: line {number} is no JSON") from None
            if not isinstance(row, dict):
                raise NoDocuments(f"{path}: line {number} is no JSON object")
            yield number, row


def _document(row: dict[str, Any]) -> Document:
    turns = tuple((str(turn["role"]), str(turn["content"] or "")) for turn in row.get("turns") or ())
    text = {name: row.get(name) or "" for name in ("source", "lang", "title", "url")}
    return Document(id=row["id"], text=row["text"] or "", turns=turns, key=_key(row), **text)


def _key(row: dict[str, Any]) -> str:
    extra = (row.get("meta") or {}).get("extra") if isinstance(row.get("meta"), dict) else None
    return str((json.loads(extra) if extra else row).get(KEY) or "")


def write(documents: Sequence[Document], path: Path) -> None:
    """Documents as a JSONL source for a recipe of the corpus."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for one in documents:
            row = {"id": one.id, KEY: one.key or one.id, "source": one.source, "text": one.text}
            more = {"url": one.url, "title": one.title, "lang": one.lang}
            turns = {"messages": [{"role": role, "content": said} for role, said in one.turns]} if one.turns else {}
            file.write(json.dumps(row | {k: v for k, v in more.items() if v} | turns) + "\n")


def split(documents: Sequence[Document], share: float) -> tuple[list[Document], list[Document]]:
    """(learnt, held out) by the trainer's own rule, so that what is called held out was not learnt from."""
    if not documents:
        return [], []
    number = {name: at for at, name in enumerate(sorted({document.source for document in documents}))}
    sources = np.array([number[document.source] for document in documents], np.int64)
    held = in_validation(sources, *ids_as_words([document.id for document in documents]), share).tolist()
    learnt = [d for d, out in zip(documents, held, strict=True) if not out]
    return learnt, [d for d, out in zip(documents, held, strict=True) if out]
