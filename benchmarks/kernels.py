"""How fast each filter reads text on one core: MB of UTF-8 a second, best of several, after a warm-up.

usage: python benchmarks/kernels.py [DATA]

DATA (default ../shared/data) is a folder with `quality_eval/dclm_human_quality.jsonl.zst` (web pages) and
`books/en/*.txt`; where it is missing the manual of Python is read instead. `own` leaves the shared pass over the text
out, `alone` pays for it in full.
"""

import importlib
import json
import pydoc_data.topics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import zstandard
from rich.console import Console
from rich.table import Table

import filters
from filters.kernels.text import segment, segments

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
BATCH_MB = 8  # what a pipeline gives a filter at a time
REPEATS = 7


def read(data: Path) -> dict[str, list[str]]:
    """Documents of each kind of text."""
    web, books = data / "quality_eval/dclm_human_quality.jsonl.zst", sorted((data / "books/en").glob("*.txt"))
    if not (web.is_file() and books):
        return {"python manual": list(pydoc_data.topics.topics.values())}
    with zstandard.open(web, "rt", encoding="utf-8") as lines:
        pages = [json.loads(line)["text"] for line in lines]
    return {"web": pages, "books": [book.read_text(encoding="utf-8", errors="replace") for book in books]}


def batch(texts: list[str]) -> pa.Table:
    """The documents, repeated or cut so that they come to one batch."""
    taken: list[str] = []
    size = 0
    while size < BATCH_MB * 1_000_000:
        taken.append(texts[len(taken) % len(texts)])
        size += len(taken[-1].encode())
    return pa.table({"text": pa.array(taken, pa.large_string())})


def best(run: Callable[[], Any], megabytes: float) -> float:
    """MB a second of the fastest of several runs."""
    run()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return megabytes / min(seconds)


def steps() -> dict[str, Callable[[pa.Table], Any]]:
    """What reads text and needs no file of the user's."""
    found: dict[str, Callable[[pa.Table], Any]] = {}
    for name in filters.names():
        cls = filters.find(name)
        if cls.needs == ("text",) and name != "score":
            step = cls()
            found[name] = step.edits if isinstance(step, filters.Editor) else step.measure
    return found


def measure(docs: pa.Table) -> list[tuple[str, float, float]]:
    """Rows of name, own speed and speed with the shared pass."""
    megabytes = sum(len(text.encode()) for text in docs["text"].to_pylist()) / 1e6
    passed = best(lambda: segment(docs["text"]), megabytes)
    rows = [("shared pass", passed, passed)]
    segments(docs["text"])
    heuristics = 0.0
    for name, step in steps().items():
        own = best(lambda step=step: step(docs), megabytes)  # type: ignore[misc]
        # C4's page rules and language identification read the text by other means
        alone = own if name in ("c4", "language") else 1 / (1 / own + 1 / passed)
        heuristics += 0 if name == "language" else 1 / own
        rows.append((name, own, alone))
    rows.append(("all heuristics", 1 / heuristics, 1 / (heuristics + 1 / passed)))
    if Path(filters.__file__).with_name("kernels").joinpath("signature.py").is_file():
        signature = importlib.import_module("filters.kernels.signature")
        own = best(lambda: signature.signatures(docs["text"], 5, 112), megabytes)
        rows.append(("signature 5-grams x 112", own, own))
    return rows


def main() -> None:
    """Print the table."""
    pa.set_cpu_count(1)
    folder = Path(sys.argv[1]) if sys.argv[1:] else SHARED
    kinds = {kind: batch(texts) for kind, texts in read(folder).items()}
    measured = {kind: measure(docs) for kind, docs in kinds.items()}
    table = Table("MB/s on one core", *(f"{kind} {way}" for kind in kinds for way in ("own", "alone")))
    for rows in zip(*measured.values(), strict=True):
        table.add_row(rows[0][0], *(f"{speed:,.0f}" for row in rows for speed in row[1:]))
    Console().print(table)


if __name__ == "__main__":
    main()
