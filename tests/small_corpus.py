"""Run folders for the trainer's tests: whole and valid, as a build leaves them, and written in milliseconds."""

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from conftest import prose

from corpus import schema
from corpus.write import Tally

SOURCES = ("books", "web")
_ASKED = ("What did the baker do?", "Why was the road closed?", "Who opened the old mill?", "Where is the harbour?")


def document(text: str, source: str = "web", **columns: Any) -> dict[str, Any]:
    """A row of the table of documents; its id is a hash of source, text and turns."""
    name = hashlib.md5(json.dumps([source, text, columns.get("turns")]).encode()).hexdigest()
    return {"id": name, "source": source, "text": text, "lang": "en", **columns}


def conversation(turns: Sequence[tuple[str, str]], source: str = "talks", **columns: Any) -> dict[str, Any]:
    """The same with (role, content) turns, and the text that a build renders from them."""
    told = [{"role": role, "content": content} for role, content in turns]
    return document("\n\n".join(f"{role}: {content}" for role, content in turns), source, turns=told, **columns)


def write_run(folder: Path, documents: Sequence[dict[str, Any]], parts: int = 2, row_group: int = 8) -> Path:
    """docs/ in so many part files, and the manifest that a build would write of them."""
    (folder / "docs").mkdir(parents=True)
    tally, names = Tally(), []
    for number in range(parts):
        table = pa.Table.from_pylist(list(documents[number::parts]), schema=schema.DOCUMENT)
        names.append(f"{number:012x}")
        pq.write_table(table, folder / "docs" / f"part-{names[-1]}.parquet", row_group_size=row_group)
        tally.add(table, schema.LEDGER.empty_table())
    told = {"schema": schema.VERSION, "parts": names, "read": len(documents), **tally.counts()}
    (folder / "manifest.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")
    return folder


def texts(count: int = 60, sources: Sequence[str] = SOURCES) -> list[dict[str, Any]]:
    """Short texts of unlike lengths, by turns from these sources."""
    return [document(prose(n, 1 + n * 7 % 10), sources[n % len(sources)]) for n in range(count)]


def conversations(count: int = 40) -> list[dict[str, Any]]:
    """Of one to three questions; every fourth opens with a system message."""
    rows = []
    for n in range(count):
        draw = random.Random(n)
        turns = [("system", "Answer in one sentence.")] if n % 4 == 0 else []
        for turn in range(1 + n % 3):
            turns += [("user", draw.choice(_ASKED)), ("assistant", prose(1000 + 3 * n + turn, 1))]
        rows.append(conversation(turns))
    return rows


def text_run(folder: Path, count: int = 60, sources: Sequence[str] = SOURCES) -> Path:
    """A run of `texts`."""
    return write_run(folder, texts(count, sources))


def chat_run(folder: Path, count: int = 40) -> Path:
    """A run of `conversations`."""
    return write_run(folder, conversations(count))
