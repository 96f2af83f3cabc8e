"""Real English text in any amount, for benchmarks of size: sentences of books dealt anew, with copies for dedup.

A document is some sentences of ../shared/data/books (else of Python's own manual) in an order of its own: no two
share more than a sentence by chance. One in ten is a near copy of an earlier document, one in fifty an exact one. The
same bytes at every run.
"""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_SENTENCE = re.compile(r"(?<=[.!?]) +(?=[A-Z])")
_BLOCK = 10_000  # documents dealt at once


def sentences() -> list[str]:
    """Sentences of 40 to 400 characters, each once, as JSON writes them inside a string."""
    books = sorted((DATA / "books" / "en").glob("*.txt"))
    texts = [path.read_text("utf-8", "replace") for path in books] or list(topics.values())
    found = (sentence for text in texts for sentence in _SENTENCE.split(" ".join(text.split())))
    return list(dict.fromkeys(json.dumps(sentence)[1:-1] for sentence in found if 40 <= len(sentence) <= 400))


def lines(num_sentences: int, seed: int = 0) -> Iterator[bytes]:
    """JSONL without end: documents of `num_sentences`."""
    pool = sentences()
    draw = np.random.default_rng(seed)
    earlier: np.ndarray | None = None
    number = 0
    while True:
        dealt = draw.integers(len(pool), size=(_BLOCK, num_sentences))
        if earlier is not None:
            dealt[1::10] = earlier[1::10]
            dealt[1::10, num_sentences // 2] = draw.integers(len(pool), size=dealt[1::10].shape[0])  # a near copy
            dealt[2::50] = earlier[2::50]
        for row in dealt:
            text = "\\n".join([pool[at] for at in row])
            yield f'{{"url": "https://grown.example/{number}", "text": "{text}"}}\n'.encode()
            number += 1
        earlier = dealt


def without_copies(num_sentences: int, seed: int = 0) -> Iterator[bytes]:
    """JSONL without end in which nothing comes twice."""
    return (line for number, line in enumerate(lines(num_sentences, seed)) if number % 10 != 1 and number % 50 != 2)


def near_copies(num_sentences: int, seed: int = 0) -> Iterator[bytes]:
    """JSONL without end: one page over and over, two of its words another each time."""
    pool = sentences()
    draw = np.random.default_rng(seed)
    words = " ".join(pool[at] for at in draw.integers(len(pool), size=num_sentences)).split(" ")
    number = 0
    while True:
        for places in draw.integers(len(words), size=(_BLOCK, 2)):
            mine = list(words)
            for at in places:
                mine[at] = f"w{number}x{at}"
            yield f'{{"url": "https://copy.example/{number}", "text": "{" ".join(mine)}"}}\n'.encode()
            number += 1


def write(path: Path, source: Iterator[bytes], num_bytes: float = float("inf"), documents: float = float("inf")) -> int:
    """Write lines until there are so many bytes (of text, also in a .gz) or documents; returns how many of these."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = number = 0
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as out:
        while size < num_bytes and number < documents:
            line = next(source)
            out.write(line)
            size, number = size + len(line), number + 1
    return number


RECIPE = """
steps = ["language", "repetition", "quality", "c4", "fineweb"]
[[sources]]
name = "texts"
kind = "jsonl"
files = ["{file}"]
[sources.keys]
max_record_bytes = {most}
[write]
split_mb = {split}
[language]
keep = ["en"]
"""
