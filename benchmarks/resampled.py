"""Real English text in any amount: pages, passages of books, articles; first as they are, then dealt anew.

A document that is dealt anew has every other line of one document and every other line of another of its kind, so
that it reads like them and is a copy of neither. One in ten is a near copy instead: a document with a number in place
of every fiftieth word (Jaccard about 0.8). The same bytes at every run.
"""

import gzip
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xxhash

from corpus.charset import decode
from corpus.extraction import ExtractionError, Page, engine
from corpus.readers import Settings, Split, warc

PASSAGE_CHARACTERS = 6_000
COPY_EVERY_WORDS = 50
COPY_ONE_IN = 10
_ARTICLE = re.compile(r"^ = [^=].* = $", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?]) ")


def pool(data: Path) -> dict[str, list[str]]:
    """Texts of each kind from the shared data."""
    books = (path.read_text("utf-8", "replace") for path in sorted((data / "books/en").glob("*.txt")))
    articles = _ARTICLE.split((data / "prose/wikitext-2_valid.txt").read_text("utf-8"))
    return {
        "web": list(_pages(data / "web/web.warc.gz")),
        "books": [passage for book in books for passage in _passages(book)],
        "articles": [article.strip() for article in articles if article.strip()],
    }


def _pages(path: Path) -> Iterator[str]:
    extract = engine("fast").extract
    for record in warc.read(Split(str(path), 0, path.stat().st_size), Settings()):
        if record.html is not None:
            try:
                html, charset = decode(record.html, record.charset)
                yield extract(Page(html, record.url, charset, "text")).text
            except ExtractionError:
                continue


def _passages(book: str) -> Iterator[str]:
    held: list[str] = []
    for paragraph in book.replace("\r\n", "\n").split("\n\n"):
        held.append(" ".join(paragraph.split("\n")))  # printed lines are no lines of the text
        if sum(map(len, held)) > PASSAGE_CHARACTERS:
            yield "\n\n".join(held)
            held = []
    if held:
        yield "\n\n".join(held)


def documents(data: Path) -> Iterator[dict[str, Any]]:
    """Without end: {id, source, text}."""
    texts = pool(data)
    for turn in itertools.count():
        for kind, all_of_kind in texts.items():
            for index, text in enumerate(all_of_kind):
                name = f"{kind}-{turn}-{index}"
                yield {"id": name, "source": kind, "text": _anew(all_of_kind, index, name) if turn else text}


def _anew(texts: list[str], index: int, name: str) -> str:
    dice = xxhash.xxh3_64_intdigest(name.encode())
    if dice % COPY_ONE_IN == 0:
        words = texts[index].split(" ")
        words[::COPY_EVERY_WORDS] = [str(dice + at) for at in range(0, len(words), COPY_EVERY_WORDS)]
        return " ".join(words)
    mine, between = _lines(texts[index])
    other, _ = _lines(texts[dice // COPY_ONE_IN % len(texts)])
    return between.join(theirs if at % 2 and theirs else own for at, (own, theirs) in enumerate(_pairs(mine, other)))


def _pairs(mine: list[str], other: list[str]) -> Iterator[tuple[str, str]]:
    return zip(mine, itertools.chain(other, itertools.repeat("")), strict=False)


def _lines(text: str) -> tuple[list[str], str]:
    lines = text.split("\n")
    return (lines, "\n") if len(lines) > 3 else (_SENTENCE.split(text), " ")


def measured(folder: Path) -> tuple[int, int]:
    """Documents and bytes of what `write` left in a folder."""
    count = size = 0
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path) as lines:
            for line in lines:
                count, size = count + 1, size + len(line)
    return count, size


def write(data: Path, folder: Path, num_bytes: float, num_files: int) -> None:
    """At least so many bytes of JSON lines, dealt to gzip files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [gzip.open(folder / f"{n:02}.jsonl.gz", "wb", compresslevel=4) for n in range(num_files)]  # noqa: SIM115
    count = size = 0
    for document in documents(data):
        line = (json.dumps(document, ensure_ascii=False) + "\n").encode()
        files[count % num_files].write(line)
        count, size = count + 1, size + len(line)
        if size >= num_bytes:
            break
    for file in files:
        file.close()
