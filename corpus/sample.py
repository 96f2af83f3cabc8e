"""An input to try everything with, made without a network from what every Python has.

    web.warc.gz      the standard library's documentation as pydoc renders it, one page per module
    books/*.txt      long chapters of the language reference (pydoc_data.topics)
    functions.jsonl  what functions and classes of the numerical packages say of themselves
    packages.jsonl   descriptions and licences of the installed distributions; licences are near-duplicates by nature
    planted.jsonl    a few documents with one known defect each (corpus/sample_planted.py)

The same Python and packages give the same bytes.
"""

import dataclasses
import email.message
import gzip
import importlib.metadata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import orjson

from corpus.sample_functions import docstrings
from corpus.sample_pages import pages
from corpus.sample_planted import planted
from corpus.sample_topics import books

CRAWL_DATE = "2024-01-01T00:00:00Z"  # fixed, so that the file does not change from one day to the next
MIN_CHARS = 200
LICENCE_NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE")


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was written."""

    folder: Path
    documents: dict[str, int]  # by file, or by folder of files

    def __str__(self) -> str:
        return "\n".join(f"{self.folder / name}: {count} documents" for name, count in self.documents.items())


def make(out_dir: Path) -> Summary:
    """Writes the sample into a folder, over an older one. Takes about ten seconds, most of them in pydoc."""
    folder = Path(out_dir)
    (folder / "books").mkdir(parents=True, exist_ok=True)
    texts = books()
    functions = docstrings()  # before the pages: loading these packages changes what some standard modules show
    for name, text in texts.items():
        (folder / "books" / f"{name}.txt").write_text(text, encoding="utf-8")
    counts = {
        "web.warc.gz": _write_warc(folder / "web.warc.gz", pages()),
        "books": len(texts),
        "functions.jsonl": _write_jsonl(folder / "functions.jsonl", functions),
        "packages.jsonl": _write_jsonl(folder / "packages.jsonl", _packages()),
        "planted.jsonl": _write_jsonl(folder / "planted.jsonl", planted(texts)),
    }
    return Summary(folder, counts)


def _write_jsonl(path: Path, rows: Iterable[dict[str, str]]) -> int:
    lines = [orjson.dumps(row) for row in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return len(lines)


def _write_warc(path: Path, found: Iterator[tuple[str, str]]) -> int:
    members = [_member(_warc("warcinfo", None, "application/warc-fields", b"software: winnow\r\n"))]
    members += [_member(_response(url, html)) for url, html in found]
    path.write_bytes(b"".join(members))
    return len(members) - 1


def _member(record: bytes) -> bytes:
    return gzip.compress(record, 6, mtime=0)


def _response(url: str, html: str) -> bytes:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html.encode()
    return _warc("response", url, "application/http; msgtype=response", http)


def _warc(kind: str, url: str | None, content_type: str, block: bytes) -> bytes:
    fields = {
        "WARC-Type": kind,
        "WARC-Target-URI": url,
        "WARC-Date": CRAWL_DATE,
        "WARC-Record-ID": f"<urn:winnow:{url or kind}>",
        "Content-Type": content_type,
        "Content-Length": str(len(block)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + block + b"\r\n\r\n"


def _packages() -> Iterator[dict[str, str]]:
    found = {d.name.lower(): d for d in importlib.metadata.distributions() if d.name}
    for name in sorted(found):
        yield from _texts(found[name])


def _texts(distribution: importlib.metadata.Distribution) -> Iterator[dict[str, str]]:
    meta = cast(email.message.Message, distribution.metadata)  # its type hints know fewer methods than it has
    about = {"url": f"https://packages.example/{distribution.name}/", "license": _license(meta)}
    about = {key: value for key, value in about.items() if value}
    description = meta.get("Description") or _payload(meta)
    if len(description) >= MIN_CHARS:
        title = f"{distribution.name} {distribution.version}"
        yield {"id": f"{distribution.name}/description", "text": description, "title": title} | about
    for file in sorted(distribution.files or [], key=str):
        if file.name.upper().startswith(LICENCE_NAMES) and ".dist-info" in str(file):
            path = Path(str(file.locate()))
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            if len(text) >= MIN_CHARS:
                inner = "/".join(file.parts[1:])
                # no URL: the licence is not what is found at the project's page
                yield {"id": f"{distribution.name}/{inner}", "text": text, "title": f"{distribution.name}: {file.name}"}


def _payload(meta: email.message.Message) -> str:
    body = meta.get_payload()
    return body if isinstance(body, str) else ""


def _license(meta: email.message.Message) -> str:
    """The expression, or the old free field where it is no whole licence text."""
    said = meta.get("License-Expression") or meta.get("License") or ""
    return said if len(said) < 60 and "\n" not in said else ""
