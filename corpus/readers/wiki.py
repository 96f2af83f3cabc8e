"""Dumps of wikis as MediaWiki exports them, `pages-articles` of Wikipedia among them: one record per page.

Only articles have a text. Pages of other namespaces, redirects and what is no wikitext are failures with reasons of
their own, so that the ledger has every page of the dump.
"""

import math
import re
from collections.abc import Iterator
from typing import BinaryIO

from corpus import files
from corpus.dates import iso_date
from corpus.readers import Record, Settings, Split, Wikitext
from corpus.readers._compressed import SUFFIXES, inflated
from corpus.readers._wiki_dump import OPEN, Frame, Utf8, frames, head
from corpus.readers._wiki_page import MAIN, Broken, Site, fields, site

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
REDIRECT = re.compile(r"\s*#redirect\s*:?\s*\[\[([^\]|\n]{1,500})", re.IGNORECASE)
UTF_16 = {b"\xff\xfe": "utf-16-le", b"<\0": "utf-16-le", b"\xfe\xff": "utf-16-be", b"\0<": "utf-16-be"}


def splits(path: str, size: int, target_bytes: int) -> list[Split]:
    """Byte ranges of `target_bytes`; one split for a compressed file."""
    if path.endswith(SUFFIXES) or size <= target_bytes:
        return [Split(path, 0, size)]
    return [Split(path, start, min(start + target_bytes, size)) for start in range(0, size, target_bytes)]


def read(split: Split, settings: Settings) -> Iterator[Record]:
    """Pages that begin in the range. `position` is the page's byte offset, once inflated and in UTF-8.

    Memory: the largest page, at most `max_record_bytes`, a few times over.
    """
    with files.open_binary(split.path) as file:
        begins = head(inflated(file) or file)
        file.seek(0)
        whole = inflated(file)
        charset = UTF_16.get(begins[:2], "utf-8")
        stream: BinaryIO | Utf8 | None = whole if charset == "utf-8" else Utf8(whole or file, charset)
        about = site(begins.decode(charset, "replace").partition(OPEN.decode())[0])
        if stream is None:
            file.seek(split.start)
            found = frames(file, split.start, split.end, settings.max_record_bytes)
        elif split.start == 0:  # whatever its name said
            found = frames(stream, 0, math.inf, settings.max_record_bytes)
        else:
            return
        for frame in found:
            yield _record(frame, about, charset)


def _record(frame: Frame, about: Site, charset: str) -> Record:
    record = Record(frame.position, num_bytes=frame.length)
    if frame.broken:
        record.failure = ("broken_record", frame.broken)
    elif frame.data is None:
        record.failure = ("too_large", f"{frame.length} bytes")
    else:
        try:
            _fill(record, fields(frame.data), about)
            record.charset = charset
        except UnicodeDecodeError as error:
            record.failure = ("bad_encoding", str(error))
        except Broken as error:
            record.failure = ("broken_record", str(error))
    return record


def _fill(record: Record, page: dict[str, str], about: Site) -> None:
    title = " ".join(page.get("title", "").split())
    if not title:
        raise Broken("a page without a title")
    text = page.get("revision/text", page.get("text", ""))
    record.title, record.url, record.language_hint = title, about.address(title), about.language
    record.origin = None if record.url else title
    written = page.get("revision/timestamp", "").strip()
    record.date = written if TIMESTAMP.fullmatch(written) else iso_date(written)
    record.media_type = page.get("revision/format", "").strip() or "text/x-wiki"
    numbers = {"page_id": page.get("id", ""), "revision_id": page.get("revision/id", "")}
    record.extra = {key: number for key, number in numbers.items() if number} or None
    record.failure = _no_article(page, title, text, about)
    if record.failure is None:
        record.wikitext = Wikitext(text, about.unseen)


def _no_article(page: dict[str, str], title: str, text: str, about: Site) -> tuple[str, str] | None:
    namespace = page.get("ns", "").strip() or about.namespace(title)
    model = page.get("revision/model", "wikitext").strip()
    written = REDIRECT.match(text)  # in old dumps the text alone says it
    if namespace != MAIN:
        return "other_namespace", namespace
    if "redirect" in page or written:
        return "redirect", page.get("redirect") or (written[1].strip() if written else "")
    if model != "wikitext":
        return "not_wikitext", model
    return None if text.strip() else ("no_text", "the page is empty")
