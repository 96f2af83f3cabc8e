"""First stage: records to documents. One row for every record read, whatever became of it.

A row that is no document yet says why: `failure` is a ledger reason with its detail. Rows that an address filter
rejects are not extracted at all, and have neither text nor failure.
"""

import dataclasses
import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import xxhash

from corpus import schema
from corpus.charset import decode
from corpus.extraction import Engine, Extracted, ExtractionError, Page, engine
from corpus.extraction.wikitext import version as wikitext_version
from corpus.guard import READING, Heartbeat
from corpus.normalise import normalise
from corpus.parts import mark_done, writing
from corpus.plan import Task
from corpus.readers import Record, reader
from corpus.recipe import EXTRACT, Recipe
from corpus.workers import Skip

FAILURE = pa.struct([("reason", pa.string()), ("detail", pa.string())])
# `reader_edits` are the spans that a reader cut (a Gutenberg licence): they become rows of edits/.
EXTRACTED = schema.DOCUMENT.append(pa.field("failure", FAILURE))

_BATCH_RECORDS = 512
_BATCH_BYTES = 32 << 20
_ROW_GROUP_BYTES = 8 << 20
# A parser below a reader may crash or hang as one below an engine may (a damaged Parquet footer ends the process).
# The limit is wide: a record may be a book, or wait for a store.
_READ_SECONDS = 300.0
_RUN = re.compile(r">([^<>{}]{50,})(?=<)")
_DECLARED = re.compile(r"<html[^>]*?\blang\s*=\s*[\"']?([a-z]{2,3})", re.IGNORECASE)
_QUICK_CHARACTERS = 1_000
_QUICK_LEAST = 200  # less is too little to be sure


def extract_part(task: Task, skip: Skip, beat: Heartbeat) -> None:
    """Read, extract and write one part."""
    rows = _Rows()
    path = task.file("stages/extract")
    edits_path = path.with_suffix(".edits.parquet")
    with writing(path, EXTRACTED, max_bytes=_ROW_GROUP_BYTES) as documents, writing(edits_path, schema.EDITS) as edits:
        extractor = Extractor(task.recipe, task.part.source.name, task.part.source.license, skip, beat)
        for batch in _batches(_records(task, skip, beat)):
            for split, record, row in extractor.rows(batch):
                rows.add(row, record, split)
                if rows.num_bytes > _ROW_GROUP_BYTES or rows.num_rows >= 2_000:
                    rows.flush(documents, edits)
        rows.flush(documents, edits)
    counts = {
        "rows": rows.total,
        "failures": rows.failures,
        "input_bytes": task.part.num_bytes,
        "read_bytes": beat.bytes,
    }
    mark_done(task.mark("extract"), task.marks["extract"], counts, *outputs(task))


def outputs(task: Task) -> tuple[Path, Path]:
    """The files that this stage makes of a part."""
    return task.file("stages/extract"), task.file("stages/extract", ".edits.parquet")


def _records(task: Task, skip: Skip, beat: Heartbeat) -> Iterator[tuple[str, int, Record]]:
    """(file, number in the part, record). A reader may be ended as well: then a split is read up to that record."""
    number = 0
    source = task.part.source
    for split in task.part.splits:
        records = reader(source.kind).read(split, source.keys)
        while True:
            if READING + number in skip:
                reason, ended = skip[READING + number]
                told = f"reading took longer than {_READ_SECONDS:.0f} s" if reason == "extract_timeout" else ended
                detail = f"{told}; bytes {split.start} to {split.end} are not read further"
                yield split.path, number, Record(split.start, failure=("broken_record", detail))
                number += 1
                break
            beat.hold(READING + number, _READ_SECONDS)
            record = next(records, None)
            beat.release()
            if record is None:
                break
            yield split.path, number, record
            number += 1


def _batches(records: Iterator[tuple[str, int, Record]]) -> Iterator[list[tuple[str, int, Record]]]:
    held, size = [], 0
    for item in records:
        held.append(item)
        size += max(item[2].num_bytes, _size(item[2]))
        if len(held) == _BATCH_RECORDS or size > _BATCH_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _size(record: Record) -> int:
    return len(record.html or record.text or (record.wikitext.source if record.wikitext else ""))


class Extractor:
    """Records to rows of `EXTRACTED`, one each, in order."""

    def __init__(self, recipe: Recipe, source: str, source_license: str, skip: Skip, beat: Heartbeat) -> None:
        self._recipe = recipe
        self._source = source
        self._license = source_license
        self._skip = skip
        self._beat = beat
        before = recipe.steps[: recipe.steps.index(EXTRACT)] if EXTRACT in recipe.steps else ()
        self._address_filters = [recipe.settings[name] for name in before]
        self._engine: Engine | None = None
        self._engine_name = ""
        self._language = _quick_language(recipe)

    def rows(self, batch: list[tuple[str, int, Record]]) -> Iterator[tuple[str, Record, dict[str, Any]]]:
        rejected = self._rejected_by_address([record for _, _, record in batch])
        for (file, number, record), unwanted in zip(batch, rejected, strict=True):
            row = self._row(file, record)
            size = _size(record)
            if record.failure is None and not unwanted:
                self._fill(row, record, number)
            elif record.failure is not None:
                row["failure"] = dict(zip(("reason", "detail"), record.failure, strict=True))
            self._beat.done(1, size)
            yield file, record, row

    def _rejected_by_address(self, records: list[Record]) -> list[bool]:
        rejected = [False] * len(records)
        docs = pa.table({"url": pa.array([record.url for record in records], pa.string())})
        for step in self._address_filters:
            signals = step.measure(docs)
            for rule in step.rules():
                rejected = [a or b for a, b in zip(rejected, rule.fires(signals).to_pylist(), strict=True)]
        return rejected

    def _row(self, file: str, record: Record) -> dict[str, Any]:
        meta = {
            "author": record.author,
            "language_hint": record.language_hint,
            "media_type": record.media_type,
            "charset": record.charset if record.html is None else None,
            "extra": orjson.dumps(record.extra, option=orjson.OPT_SORT_KEYS).decode() if record.extra else None,
        }
        return {
            "id": document_id(self._source, record, f"{_file_name(file)}:{record.position}"),
            "source": self._source,
            "url": record.url,
            "title": record.title,
            "date": record.date,
            "license": record.license or self._license or None,
            "turns": record.turns,
            "chapters": [dict(zip(("title", "start", "end"), c, strict=True)) for c in record.chapters or ()] or None,
            "provenance": {"file": file, "record": record.position},
            "meta": meta,
        }

    def _fill(self, row: dict[str, Any], record: Record, number: int) -> None:
        """Put the text into a row, or the reason why there is none."""
        try:
            if number in self._skip:
                raise ExtractionError(*self._skip[number])
            if record.html is not None and self._engine is None:
                self._engine = self._ready()
            wikitext = _wikitext() if record.wikitext is not None else None
            self._beat.hold(number, self._recipe.extract.seconds)
            if record.html is not None:
                text = self._text(row, record)
            elif wikitext is not None:
                row["provenance"]["extractor"] = wikitext_version()
                text = wikitext.extract(record.wikitext, self._recipe.extract.format)
            else:
                text = _own_text(record)
            # Readers that count positions in the text have normalised it themselves.
            counted = record.chapters is not None or record.edits is not None
            text, repairs = (text, record.repairs) if counted else normalise(text)
            if not text:
                raise ExtractionError("no_text")
            row["text"], row["meta"]["repairs"] = text, repairs
        except ExtractionError as error:
            row["failure"] = {"reason": error.reason, "detail": error.detail}
        except Exception as error:  # a parser's own failure belongs to its page, never to the build
            row["failure"] = {"reason": "extract_error", "detail": f"{type(error).__name__}: {error}"}
        finally:
            self._beat.release()

    def _ready(self) -> Engine:
        """The engine, loaded and compiled: no page's time limit should pay for that."""
        found = engine(self._recipe.extract.engine)
        self._engine_name = found.version()
        getattr(found, "warm", lambda: None)()
        return found

    def _text(self, row: dict[str, Any], record: Record) -> str:
        html, row["meta"]["charset"] = decode(record.html or b"", record.charset)
        if self._language is not None:
            self._language.check(html)
        row["provenance"]["extractor"] = self._engine_name
        assert self._engine is not None
        found = self._engine.extract(Page(html, record.url, row["meta"]["charset"], self._recipe.extract.format))
        _fill_metadata(row, found)
        return found.text


@functools.cache
def _wikitext() -> Any:
    """Loaded with the first page of a wiki: it takes a tenth of a second, and few builds read any."""
    return importlib.import_module("corpus.extraction.wikitext.page")


@functools.lru_cache
def _file_name(path: str) -> str:
    return Path(path).name


def _own_text(record: Record) -> str:
    text = record.text or ""
    if not record.edits:
        return text
    pieces, at = [], 0
    for _, start, end, replacement in record.edits:
        pieces += [text[at:start], replacement]
        at = end
    return "".join([*pieces, text[at:]])


def _fill_metadata(row: dict[str, Any], found: Extracted) -> None:
    row["title"] = row["title"] or found.title
    row["date"] = row["date"] or found.date
    meta = row["meta"]
    meta["author"] = meta["author"] or found.author
    meta["language_hint"] = meta["language_hint"] or found.language_hint
    meta["site"] = found.site
    meta["description"] = found.description
    meta["confidence"] = found.confidence


def document_id(source: str, record: Record, position: str) -> str:
    """128 bits of source, origin and content: the same wherever and however the input lies."""
    hasher = xxhash.xxh3_128()
    text = record.wikitext.source if record.wikitext is not None else record.text or ""
    content = record.html if record.html is not None else text.encode("utf-8", "surrogatepass")
    # A broken record may have nothing of its own but its place.
    place = "" if content or record.url or record.origin else position
    origin = "\0".join((source, record.url or "", record.origin or "", place, ""))
    hasher.update(origin.encode("utf-8", "surrogatepass"))
    hasher.update(content)
    if record.turns:
        hasher.update(orjson.dumps(record.turns))
    return hasher.hexdigest()


class _QuickLanguage:
    """A cheap look at a page's long runs of text: 0.5 ms against 2 to 20 of an engine.

    On 2,980 pages it spared 767 the extraction; none of them was kept when all were extracted. A page that declares a
    wanted language is not looked at: a cookie notice or a list of languages stood before the text of two such pages.
    """

    def __init__(self, language: Any, score: float) -> None:
        # Its own threshold: only what is surely in another language is dropped.
        self._language = dataclasses.replace(language, characters=_QUICK_CHARACTERS)
        self._score = score

    def check(self, html: str) -> None:
        declared = _DECLARED.search(html, 0, 4_000)
        if declared and declared[1].lower() in self._language.keep:
            return
        text = quick_text(html)
        if len(text) < _QUICK_LEAST:
            return
        signals = self._language.measure(pa.table({"text": pa.array([text], pa.large_string())}))
        lang, score = signals["lang"][0].as_py(), signals["score"][0].as_py()
        if lang not in self._language.keep and score >= self._score:
            raise ExtractionError("other_language", f"{lang} {score:.2f} on the page's raw text, before extraction")


def quick_text(html: str) -> str:
    """The first long runs between tags, without braces, so that scripts and styles are passed over."""
    found, size = [], 0
    for run in _RUN.finditer(html):
        found.append(run[1])
        size += len(run[1])
        if size >= _QUICK_CHARACTERS:
            break
    return " ".join(found)


def _quick_language(recipe: Recipe) -> _QuickLanguage | None:
    language = recipe.settings.get("language")
    if not recipe.extract.quick_language or language is None or not language.keep:
        return None
    return _QuickLanguage(language, recipe.extract.quick_score)


class _Rows:
    """Rows on their way to a part file, and what was counted of them."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._edits: list[dict[str, Any]] = []
        self.num_bytes = self.total = 0
        self.failures: dict[str, int] = {}

    @property
    def num_rows(self) -> int:
        return len(self._rows)

    def add(self, row: dict[str, Any], record: Record, file: str) -> None:
        self._rows.append(row)
        self.total += 1
        strings = (row.get("text"), row["url"], row["title"], row["meta"]["extra"])
        self.num_bytes += sum(len(string) for string in strings if string) * (1 + bool(row["turns"]))
        failure = row.get("failure")
        if failure:
            self.failures[failure["reason"]] = self.failures.get(failure["reason"], 0) + 1
        for rule, start, end, replacement in record.edits or () if row.get("text") else ():
            removed = (record.text or "")[start:end]
            self._edits.append(
                {
                    "id": row["id"],
                    "step": "read",
                    "rule": rule,
                    "start": start,
                    "end": end,
                    "removed": removed,
                    "replacement": replacement,
                }
            )

    def flush(self, documents: Any, edits: Any) -> None:
        if self._rows:
            documents.write(pa.Table.from_pylist(self._rows, EXTRACTED))
        if self._edits:
            edits.write(pa.Table.from_pylist(self._edits, schema.EDITS))
        self._rows, self._edits, self.num_bytes = [], [], 0
