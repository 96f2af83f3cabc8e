"""Clean documents, hard negatives and planted bad ones of the planted benchmark, from ../shared/data.

Every document is one paragraph of about the same length: planting joins sentences with spaces or line ends of its own,
and a detector would learn that. Hard negatives lie in the sources of the clean documents, or the source would tell.
"""

import bz2
import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import xxhash
import zstandard

from corpus import schema
from corpus.write import Tally
from eval import hard_negatives, planting
from eval.chance import Chance, digest
from eval.documents import Document
from eval.mentions import sentences

SOURCES = {"books": 0.43, "web": 0.37, "wiki": 0.185, "news": 0.015}  # of the clean documents
_BOOKS = """43-0 36-0 35-0 41-0 11-0 74-0 98-0 219-0 120-0 244-0 308-0 1155-0 pg161 pg345 pg408 pg435 pg768 pg2500
pg2542 pg7256 pg60374 pg20203 mlp__pg6599 mlp__pg2536 56817-0 58585-0 60378-0 60392-0 1952-0 46-0""".split()
_SHINGLE = 8  # words
_MARKUP = re.compile(r"\{\{[^{}]*\}\}|\{\|.*?\|\}|<ref[^>/]*/>|<ref.*?</ref>|<!--.*?-->|<[^>]+>", re.DOTALL)
_LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]")
_RESIDUE = re.compile(r"[\[\]{}|<>=]|''|https?:|^[*#:;]|&\w+;")
_FOREIGN = ("de", "es", "fr", "it", "pt")


@dataclass(frozen=True)
class Material:
    """Everything that is read: documents by use, none of them twice."""

    trusted: list[Document]
    held_out: list[Document]
    clean: list[list[Document]]  # for each seed
    foreign: list[str]


@dataclass(frozen=True)
class Labelled:
    """A seed's corpus, and what is known of its documents; `kind` is "" for good ones, "hard_..." for hard ones."""

    documents: list[Document]
    kind: dict[str, str]


@dataclass(frozen=True)
class Settings:
    """How much of what is made; see the options of planted.py."""

    data: Path
    clean: int
    trusted: int
    held_out: int
    seeds: int
    characters: int
    share: float
    hard: float


@dataclass(frozen=True)
class Kept:
    """What the benchmark works on."""

    trusted: list[Document]
    held_out: list[str]
    corpora: list[Labelled]


def kept(path: Path, settings: Settings) -> Kept:
    """Made once and kept, so that a run that goes on works on the same texts."""
    if not path.exists():
        made = _made(settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        told = {
            "trusted": [_row(d) for d in made.trusted],
            "held_out": made.held_out,
            "corpora": [[{**_row(d), "kind": c.kind[d.id]} for d in c.documents] for c in made.corpora],
        }
        path.write_text(json.dumps(told), "utf-8")
    told = json.loads(path.read_text("utf-8"))
    corpora = [Labelled([_document(r) for r in rows], {r["id"]: r["kind"] for r in rows}) for rows in told["corpora"]]
    return Kept([_document(row) for row in told["trusted"]], told["held_out"], corpora)


def _made(s: Settings) -> Kept:
    found = material(s.data, s.clean, s.trusted, s.held_out, s.seeds, s.characters)
    corpora = [corpus(found, seed, s.share, s.hard, s.characters) for seed in range(s.seeds)]
    return Kept(found.trusted, [d.text for d in found.held_out], corpora)


def _row(document: Document) -> dict[str, str]:
    return {"id": document.id, "source": document.source, "text": document.text}


def _document(row: dict[str, str]) -> Document:
    return Document(row["id"], row["text"], row["source"], "en")


def material(data: Path, num_clean: int, num_trusted: int, num_held_out: int, seeds: int, length: int) -> Material:
    """Deal the clean documents out, source by source. Raises ValueError where a source holds too few."""
    dealt: dict[str, list[Document]] = {}
    seen: set[int] = set()
    need = num_trusted + num_held_out + seeds * num_clean
    for source, share in SOURCES.items():
        found = [d for d in _documents(data, source, length) if _is_new(d.text, seen)]
        found.sort(key=lambda d: digest("deal", d.id))
        # Each part gets its share of every source; where a source is small, all parts get less of it.
        dealt[source] = found[: round(need * share)]
    parts = [num_trusted, num_held_out, *[num_clean] * seeds]
    out: list[list[Document]] = [[] for _ in parts]
    for found in dealt.values():
        at = 0
        for number, size in enumerate(parts):
            mine = len(found) * size // need
            out[number] += found[at : at + mine]
            at += mine
    return Material(out[0], out[1], out[2:], foreign_passages(data, length))


def corpus(found: Material, seed: int, share: float, hard_share: float, length: int) -> Labelled:
    """A seed's clean documents with bad ones planted and hard negatives beside them."""
    clean = found.clean[seed]
    planted = planting.plant(clean, share, seed=seed, foreign=found.foreign)
    kinds = dict(zip(planted.sealed["id"].to_pylist(), planted.sealed["kind"].to_pylist(), strict=True))
    hard = []
    for document in hard_negatives.make(round(len(clean) * hard_share), 100 + seed, length):
        source = Chance("hard source", document.id).pick(clean).source
        kinds[document.id] = document.source
        hard.append(replace(document, source=source))
    documents = [replace(d, text=flat(d.text)) for d in [*planted.documents, *hard]]
    return Labelled(sorted(documents, key=lambda d: d.id), {d.id: kinds.get(d.id, "") for d in documents})


def flat(text: str) -> str:
    """White space as single spaces."""
    return " ".join(text.split())


def write_run(folder: Path, documents: Sequence[Document]) -> Path:
    """A run folder as a build leaves it."""
    import pyarrow.parquet as pq

    (folder / "docs").mkdir(parents=True, exist_ok=True)
    rows = [{"id": d.id, "source": d.source, "text": d.text, "lang": "en"} for d in documents]
    table, tally = pa.Table.from_pylist(rows, schema=schema.DOCUMENT), Tally()
    pq.write_table(table, folder / "docs" / "part-000000000000.parquet")
    tally.add(table, schema.LEDGER.empty_table())
    told = {"schema": schema.VERSION, "parts": ["000000000000"], "read": len(documents), **tally.counts()}
    (folder / "manifest.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")
    return folder


def foreign_passages(data: Path, length: int) -> list[str]:
    """Passages of books in other languages, 60 of each."""
    out = []
    for language in _FOREIGN:
        found = [
            passage
            for path in sorted((data / "books" / language).rglob("*.txt"))[:6]
            for passage in _passages(_book_paragraphs(path), 2 * length)
        ]
        out += sorted(found, key=digest)[:60]
    return out


def _documents(data: Path, source: str, length: int) -> Iterator[Document]:
    readers = {"books": _books, "web": _web, "wiki": _wiki, "news": _news}
    for paragraphs in readers[source](data):
        for text in _passages(paragraphs, length):
            if len(list(sentences(text))) >= 4:
                yield Document(digest("clean", source, text)[:32], text, source, "en")


def _passages(paragraphs: Sequence[str], length: int) -> Iterator[str]:
    """Whole paragraphs in a row, at least `length` characters and at most twice as many; longer ones are cut."""
    held = ""
    for paragraph in paragraphs:
        held = f"{held} {paragraph}".strip()
        if len(held) >= length:
            yield _cut(held, 2 * length)
            held = ""


def _cut(text: str, limit: int) -> str:
    """At the last end of a sentence before the limit."""
    end = max((stop for _, stop in sentences(text) if stop <= limit), default=limit)
    return text[:end]


def _is_new(text: str, seen: set[int]) -> bool:
    """Whether hardly any of its shingles occurred before; they are noted."""
    words = text.lower().split()
    found = {
        xxhash.xxh3_64_intdigest(" ".join(words[i : i + _SHINGLE]).encode()) for i in range(len(words) - _SHINGLE + 1)
    }
    new = len(found & seen) <= 0.05 * max(1, len(found))
    seen |= found
    return new


def _prose(paragraph: str) -> bool:
    return (
        len(paragraph) > 60 and paragraph[-1] in ".!?”\"'’" and sum(c.islower() for c in paragraph) > len(paragraph) / 2
    )


def _book_paragraphs(path: Path) -> list[str]:
    text = path.read_text("utf-8", "replace")
    start = re.search(r"\*\*\* ?START OF.*", text)
    end = re.search(r"\*\*\* ?END OF", text)
    body = text[start.end() if start else 0 : end.start() if end else len(text)]
    found = [flat(p) for p in re.split(r"\n\s*\n", body)]
    return [p.replace("_", "") for p in found if _prose(p) and "Gutenberg" not in p][5:]


def _books(data: Path) -> Iterator[list[str]]:
    for name in _BOOKS:
        yield _book_paragraphs(data / "books" / "en" / f"{name}.txt")


def _web(data: Path) -> Iterator[list[str]]:
    with zstandard.open(data / "web" / "web_gold.jsonl.zst", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            text = row.get("main_content") or ""
            if row.get("page_type") in ("article", "documentation", "service"):
                yield [flat(p) for p in text.split("\n") if _prose(p.strip())]


def _wiki(data: Path) -> Iterator[list[str]]:
    path = next((data / "wiki").glob("enwiki-latest*.bz2"))
    for page in bz2.decompress(path.read_bytes()).decode("utf-8").split("<page>")[1:]:
        body = re.search(r"<text[^>]*>(.*?)</text>", page, re.DOTALL)
        if body and "#REDIRECT" not in body[1][:40].upper():
            yield [p for p in map(flat, _plain(body[1]).split("\n")) if _prose(p) and not _RESIDUE.search(p)]
    article: list[str] = []
    for line in (data / "prose" / "wikitext-2_valid.txt").read_text("utf-8").splitlines():
        if re.match(r"^ ?= [^=]", line):
            yield article
            article = []
        elif _prose(flat(line)) and "<unk>" not in line:
            article.append(_untokenised(flat(line)))
    yield article


def _plain(markup: str) -> str:
    """Wikitext without templates, tables and references; paragraphs that keep any mark are left out later."""
    for entity, mark in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&"), ("&nbsp;", " ")):
        markup = markup.replace(entity, mark)
    before = ""
    while before != markup:  # templates nest
        before, markup = markup, _MARKUP.sub("", markup)
    markup = re.sub(r"\[\[(?:File|Image|Category):.*", "", markup)
    return re.sub(r"'{2,}", "", _LINK.sub(r"\1", markup)).replace(" ,", ",").replace("()", "")


def _untokenised(text: str) -> str:
    text = re.sub(r" @([-,.])@ ", r"\1", text)
    text = re.sub(r' " ([^"]*) " ', r' "\1" ', text)
    return re.sub(r" ([,.;:!?)])", r"\1", text).replace("( ", "(").replace(" 's", "'s")


def _news(data: Path) -> Iterator[list[str]]:
    for name in ("lee.txt", "lee_background.txt"):
        for line in (data / "prose" / name).read_text("utf-8", "replace").splitlines():
            yield [flat(line)]
    with (data / "prose" / "ag_news_test_a.csv").open(encoding="utf-8") as file:
        for row in csv.reader(file):
            yield [flat(row[-1])]
