"""EPUB books: one record per book, its pages in the order of the spine, its chapters by the table of contents."""

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePath

from lxml import etree
from resiliparse.extract.html2text import extract_plain_text

from corpus import charset, files
from corpus.dates import iso_date
from corpus.extraction import ExtractionError
from corpus.normalise import normalise
from corpus.readers import Record, Settings, Split
from corpus.readers._epub_package import Archive, Broken, Package, TooLarge, package
from corpus.readers._gutenberg import body

# RuntimeError is a password, NotImplementedError an odd compression; zipfile lets the others through from below
ERRORS = (
    Broken,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    KeyError,
    ValueError,
    EOFError,
    OSError,
    RuntimeError,
    etree.XMLSyntaxError,
)
HEADING = re.compile(r"<[hH][1-3][^>]{0,500}>(.{1,500}?)</[hH][1-3]", re.DOTALL)
TAG = re.compile(r"<[^>]*>")

Chapters = list[tuple[str, int, int]]


def splits(path: str, size: int, target_bytes: int) -> list[Split]:
    """One split: an archive is never cut."""
    return [Split(path, 0, size)]


def read(split: Split, settings: Settings) -> Iterator[Record]:
    """The book as one text. Its inflated pages together may have `max_record_bytes`."""
    if split.start:
        return
    record = Record(0, origin=PurePath(split.path).name, media_type="application/epub+zip")
    with files.open_binary(split.path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _fill(record, Archive(archive, settings.max_record_bytes))
        except TooLarge:
            record.failure = ("too_large", f"inflates to more than {settings.max_record_bytes} bytes")
        except ExtractionError as error:
            record.failure = (error.reason, error.detail)
        except ERRORS as error:
            record.failure = ("broken_record", f"{type(error).__name__}: {error}")
    yield record


def _fill(record: Record, archive: Archive) -> None:
    about = package(archive)
    text, marks = _text(record, archive, about)
    record.title, record.author, record.license = about.title, about.author, about.rights
    record.language_hint = about.language.lower() if about.language else None
    record.date = iso_date(about.date or "")
    if not text:
        record.failure = ("no_text", f"{len(about.pages)} pages without text")
        return
    record.text = text
    start, end = body(text)
    cuts = [("gutenberg_header", 0, start, ""), ("gutenberg_footer", end, len(text), "")]
    record.edits = [cut for cut in cuts if cut[1] < cut[2]] or None
    record.chapters = _chapters(marks, start, end) or None


def _text(record: Record, archive: Archive, about: Package) -> tuple[str, list[tuple[str, int]]]:
    """The pages with an empty line between, and where each chapter begins."""
    parts: list[str] = []
    marks: list[tuple[str, int]] = []
    length = 0
    for page in about.pages:
        try:
            data = archive.read(page)
        except KeyError:  # the spine names a file that is not there; the others are still a book
            continue
        html, record.charset = charset.decode(data)
        text, repairs = normalise(_plain(html))
        record.repairs += repairs
        if text:
            titles = about.contents.get(page) or ([] if about.contents else _heading(html))
            marks += [(title, length + at) for title, at in _places(text, titles)]
            parts.append(text)
            length += len(text) + 2
    return "\n\n".join(parts), marks


def _plain(html: str) -> str:
    html = html.encode("utf-8", "replace").decode("utf-8")
    text: str = extract_plain_text(
        html, main_content=False, preserve_formatting=True, list_bullets=False, alt_texts=False
    )
    return text


def _heading(html: str) -> list[str]:
    match = HEADING.search(html)
    title = " ".join(TAG.sub(" ", match[1]).split()) if match else ""
    return [title] if title else []


def _places(text: str, titles: list[str]) -> Iterator[tuple[str, int]]:
    """Where the titles stand in the page, in order; the first at its beginning, those not found nowhere."""
    at = 0
    for number, title in enumerate(titles):
        words = r"\s+".join(re.escape(word) for word in title.split()[:12])
        match = re.compile(words, re.IGNORECASE).search(text, at)
        if number == 0:
            yield title, 0
            at = match.end() if match and match.start() < 200 else 0
        elif match:
            yield title, match.start()
            at = match.end()


def _chapters(marks: list[tuple[str, int]], start: int, end: int) -> Chapters:
    """Spans within the text once [start, end) is all of it; what lies in the licence is no chapter."""
    inside = [(title, at) for title, at in marks if at < end]
    # a chapter that begins above the cut and goes on behind it begins at the cut
    while len(inside) > 1 and inside[1][1] <= start:
        del inside[0]
    begins = [max(at, start) - start for _, at in inside]
    ends = [*begins[1:], end - start]
    return [(title, a, b) for (title, _), a, b in zip(inside, begins, ends, strict=True) if a < b]
