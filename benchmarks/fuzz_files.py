"""What benchmarks/fuzz.py feeds to the readers: real files in small pieces, and the ways to break them.

Every case is a pure function of its number, so that one number reproduces one file.
"""

import bz2
import dataclasses
import functools
import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
DEEP = 100_000
LINE = 100_000_000
BOMB = 300_000_000  # inflated bytes of a bomb
MAX_SEED = 120_000  # bytes of one seed file

Mutation = Callable[[random.Random, bytes, str], bytes]


@dataclasses.dataclass(frozen=True)
class Case:
    number: int
    mutation: str
    seed: str  # what was broken: the kind of a sound file, or zstd where it is compressed so
    reader: str  # the kind that the recipe will name
    suffix: str
    data: bytes


def case(number: int) -> Case:
    """A mutated file. Costly mutations are one case in a hundred."""
    draw = random.Random(number)
    names = COSTLY if number % 100 == 99 else CHEAP
    mutation = sorted(names)[draw.randrange(len(names))]
    kind = draw.choice(sorted(seeds()))
    suffix, data = draw.choice(seeds()[kind])
    seed = "zstd" if suffix.endswith("zst") else kind
    mutated = names[mutation](draw, data, kind)
    reader = draw.choice(sorted(set(seeds()) - {kind})) if mutation == "wrong reader" else kind
    if mutation == "wrong extension":
        suffix = draw.choice([".gz", ".zst", ".parquet", ".epub", ".warc", ".txt", ".bz2", ""])
    return Case(number, mutation, seed, reader, suffix, mutated)


@functools.cache
def seeds() -> dict[str, list[tuple[str, bytes]]]:
    """kind -> (suffix, bytes) of sound files: from ../shared/data where it is, else made here."""
    pages = _pages()
    rows = [{"url": f"https://host.example/{n}", "text": _words(page)[:3_000]} for n, page in enumerate(pages)]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows[:6])
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), table, row_group_size=4, compression="zstd")
    members = [_warc(f"https://host.example/{n}", page) for n, page in enumerate(pages)]
    found = {
        "html": [(".html", page) for page in pages],
        "jsonl": [(".jsonl", lines), (".jsonl.gz", gzip.compress(lines)), (".jsonl.zst", zstandard.compress(lines))],
        "parquet": [(".parquet", table.getvalue())],
        "warc": [(".warc.gz", b"".join(map(gzip.compress, members[:3]))), (".warc", b"".join(members[3:6])),
                 (".warc.zst", zstandard.compress(b"".join(members[:2])))],
        "text": [(".txt", _words(page).encode()) for page in pages[:3]],
        "epub": [(".epub", _epub([page[:20_000] for page in pages[:2]]))],
        "wiki": [(".xml", _WIKI), (".xml.bz2", bz2.compress(_WIKI))],
    }  # fmt: skip
    for kind, pattern in (("warc", "warc/*arc*"), ("epub", "books/epub/*.epub"), ("wiki", "wiki/*"),
                          ("text", "books/*/*.txt")):  # fmt: skip
        for path in sorted(SHARED.glob(pattern))[:40]:
            data = path.read_bytes()
            if kind == "wiki" or len(data) <= MAX_SEED * 3:
                found[kind].append(("".join(path.suffixes[-2:])[-12:], data[: MAX_SEED * 3]))
    return found


def _pages() -> list[bytes]:
    found = [path.read_bytes() for path in sorted((SHARED / "web" / "html_sample").glob("**/*.html"))]
    found = [page for page in found if len(page) <= MAX_SEED][:12]
    body = "".join(f"<p>The miller carried {n} sacks of grain across the old bridge before noon.</p>" for n in range(9))
    made = f"<html lang=en><head><title>Mill</title></head><body><h1>Mill</h1>{body}</body></html>".encode()
    return found or [made.replace(b"miller", b"miller %d" % n) for n in range(8)]


def _words(page: bytes) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(page.decode("utf-8", "replace")))


def _warc(url: str, page: bytes) -> bytes:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2020-01-01T00:00:00Z\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(http) + http + b"\r\n\r\n"


_CONTAINER = b'<container><rootfiles><rootfile full-path="%s"/></rootfiles></container>'
_WIKI_HEAD = b'<mediawiki xml:lang="en"><siteinfo><base>https://host.example/wiki/Main_Page</base></siteinfo>'
_WIKI_PAGE = b"<page><title>Mill</title><ns>0</ns><revision><text>%s</text></revision></page>"
_WIKI = _WIKI_HEAD + _WIKI_PAGE % b"The '''mill''' stands by the [[river]]." * 40 + b"</mediawiki>"


def _epub(pages: list[bytes], package: bytes = b"", name: str = "p%d.xhtml", opf: str = "content.opf") -> bytes:
    names = [name % n for n in range(len(pages))]
    items = "".join(f'<item id="i{n}" href="{x}" media-type="application/xhtml+xml"/>' for n, x in enumerate(names))
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(names)))
    package = package or f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>".encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", _CONTAINER % opf.encode())
        archive.writestr(opf, package)
        for at, page in zip(names, pages, strict=True):
            archive.writestr(at, page)
    return out.getvalue()


def _inside(data: bytes, kind: str) -> bytes:
    """`data` as the content of one record of a sound file of this kind."""
    if kind == "epub":
        return _epub([data])
    if kind == "warc":
        return _warc("https://host.example/x", data)
    if kind == "wiki":
        escaped = data.replace(b"&", b"&amp;").replace(b"<", b"&lt;")
        return _WIKI_HEAD + _WIKI_PAGE % escaped + b"</mediawiki>"
    if kind == "jsonl":
        return json.dumps({"text": data.decode("latin-1")}).encode() + b"\n"
    if kind == "parquet":
        out = io.BytesIO()
        pq.write_table(pa.table({"text": pa.array([data.decode("latin-1")], pa.large_string())}), out)
        return out.getvalue()
    return data


def _flip(draw: random.Random, data: bytes, kind: str) -> bytes:
    out = bytearray(data)
    for _ in range(draw.choice((1, 4, 60)) if out else 0):
        out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    return bytes(out)


def _truncate(draw: random.Random, data: bytes, kind: str) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _splice(draw: random.Random, data: bytes, kind: str) -> bytes:
    other = draw.choice(seeds()[draw.choice(sorted(seeds()))])[1]
    a, b = draw.randrange(len(data) + 1), draw.randrange(len(other) + 1)
    return data[:a] + other[b : b + 20_000] + data[a:]


def _insert(piece: bytes) -> Mutation:
    def mutate(draw: random.Random, data: bytes, kind: str) -> bytes:
        for _ in range(draw.choice((1, 3, 20))):
            at = draw.randrange(len(data) + 1)
            data = data[:at] + piece * draw.choice((1, 50)) + data[at:]
        return data

    return mutate


def _lengths(draw: random.Random, data: bytes, kind: str) -> bytes:
    """Numbers that lie: a WARC's lengths, a footer's sizes."""
    lie = draw.choice((b"-1", b"0", b"99999999999999999999", b"4294967295", b"1e9", b"\xd9\xa3"))
    if kind == "warc" and b"Content-Length:" in data:
        before, _, after = data.rpartition(b"Content-Length:")
        return before + b"Content-Length: " + lie + b"\r\n" + after.partition(b"\n")[2]
    return data[:-8] + bytes(draw.randrange(256) for _ in range(8))


def _traversal(draw: random.Random, data: bytes, kind: str) -> bytes:
    hostile = ["../../../fuzz-escaped-%d", "/tmp/fuzz-escaped-%d", "..\\..\\fuzz-escaped-%d", "C:\\fuzz-escaped-%d"]
    page = b"<html><body><p>out of the folder</p></body></html>"
    if kind == "epub":
        return _epub([page] * 2, name=draw.choice(hostile), opf=draw.choice(["../../fuzz-escaped.opf", "c.opf"]))
    url = ("file:///" + draw.choice(hostile)) % 1
    return _warc(url, page) if kind == "warc" else json.dumps({"id": url, "url": url, "text": url}).encode()


def _surrogates(draw: random.Random, data: bytes, kind: str) -> bytes:
    if kind == "jsonl":
        return b'{"text": "half \\ud800 of \\udfff a pair \\u0000", "\\ud800": ["\\ud800"], "url": "\\ud800"}\n' * 3
    return _insert(b"\xed\xa0\x80")(draw, data, kind)


def _nested(draw: random.Random, data: bytes, kind: str) -> bytes:
    if kind == "jsonl":
        opening, closing = draw.choice(((b"[", b"]"), (b'{"a":', b"}")))
        return b'{"text": ' + opening * DEEP + b"1" + closing * DEEP + b"}\n"
    if kind == "wiki":
        return _inside(draw.choice((b"{{", b"[[", b"{|\n", b"<b>", b"[[a|<b>{{c|", b"== ", b"*")) * DEEP, kind)
    tag = draw.choice((b"div", b"b", b"ul", b"table", b"a href=x", b"svg", b"font"))
    deep = b"<html><body>" + b"<%s>" % tag * DEEP + b"deep"
    if kind == "epub" and draw.random() < 0.5:
        return _epub([b"<p>x</p>"], package=b"<package>" + b"<manifest>" * DEEP)
    return _inside(deep, kind)


def _entities(draw: random.Random, data: bytes, kind: str) -> bytes:
    levels = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 12))
    outside = b'<!ENTITY x SYSTEM "file:///etc/passwd">'
    bomb = b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY e0 "bomb">%s%s]><r>&e11;&x;</r>' % (levels, outside)
    if kind == "epub" and draw.random() < 0.5:
        return _epub([b"<p>x</p>"], package=bomb)
    if kind == "wiki":
        return bomb.partition(b"<r>")[0] + _WIKI_HEAD + _WIKI_PAGE % b"&e11;&x;" + b"</mediawiki>"
    return _inside(bomb, kind)


def _bomb(draw: random.Random, data: bytes, kind: str) -> bytes:
    zeros = b"\0" * 1_000_000
    if kind == "parquet":
        out = io.BytesIO()
        wide = pa.array(["a" * 1_000_000] * (BOMB // 1_000_000), pa.large_string())
        pq.write_table(pa.table({"text": wide}), out, compression="zstd")
        return out.getvalue()
    if kind == "epub":
        return _epub([zeros * (BOMB // 1_000_000)])
    if kind in ("jsonl", "text", "wiki") and draw.random() < 0.5:
        return zstandard.compress(zeros * (BOMB // 1_000_000))
    head = b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: %d\r\n\r\n" % BOMB if kind == "warc" else b""
    return gzip.compress(head + zeros * (BOMB // 1_000_000), 1)


def _long_line(draw: random.Random, data: bytes, kind: str) -> bytes:
    line = draw.choice((b"a", b"word ", b"<", b"\xe4\xb8\xad", b"&amp;"))
    return _inside(line * (LINE // len(line)), kind)


def _same(draw: random.Random, data: bytes, kind: str) -> bytes:
    return data


CHEAP: dict[str, Mutation] = {
    "bit flips": _flip, "truncated": _truncate, "spliced": _splice, "NULs": _insert(b"\0"), "lying lengths": _lengths,
    "path traversal": _traversal, "lone surrogates": _surrogates, "entity bomb": _entities, "wrong reader": _same,
    "wrong extension": _same, "line ends": _insert(b"\r\n\r\n"),
}  # fmt: skip
COSTLY: dict[str, Mutation] = {"nested 100,000 deep": _nested, "zip bomb": _bomb, "line of 100 MB": _long_line}
