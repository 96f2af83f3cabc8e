"""The WARC reader: what is a document, what is a failure, and that no byte goes unaccounted for."""

import gzip
import zlib
from collections import Counter
from pathlib import Path

import pytest

from corpus.readers import Record, Settings, Split, warc

DATA = Path(__file__).parents[2] / "shared" / "data"
PAGE = b"<html><body><p>Hello there.</p></body></html>"


def http(
    body: bytes = PAGE, status: str = "200 OK", kind: str = "text/html; charset=ISO-8859-1", more: str = ""
) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}\r\n".encode() + body


def block(
    body: bytes, url: str = "http://a.example/", kind: str = "response", media: str = "application/http"
) -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2020-02-03T04:05:06Z\r\n"
        f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def records(path: Path, settings: Settings = Settings(), target: int = 1 << 40) -> list[Record]:  # noqa: B008
    parts = warc.splits(str(path), path.stat().st_size, target)
    return [record for split in parts for record in warc.read(split, settings)]


def written(tmp_path: Path, data: bytes, name: str = "a.warc.gz") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def only(tmp_path: Path, body: bytes, **fields: str) -> Record:
    [record] = records(written(tmp_path, gzip.compress(block(body, **fields))))
    return record


def test_a_response_is_html_with_its_header_s_charset(tmp_path: Path) -> None:
    record = only(tmp_path, http())
    assert (record.url, record.date, record.html) == ("http://a.example/", "2020-02-03T04:05:06Z", PAGE)
    assert (record.charset, record.media_type, record.position) == ("iso-8859-1", "text/html", 0)


def test_text_plain_is_text(tmp_path: Path) -> None:
    record = only(tmp_path, http("naïve".encode("latin-1"), kind="text/plain; charset=latin-1"))
    assert (record.text, record.html) == ("naïve", None)


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (http(status="404 Not Found"), ("http_status", "404")),
        (http(kind="image/png"), ("not_html", "image/png")),
        (http(b"\x00\x01\x02\x03" * 50, kind="text/plain"), ("bad_encoding", "binary data, not text")),
    ],
)
def test_a_response_that_is_no_page_says_why(tmp_path: Path, body: bytes, failure: tuple[str, str]) -> None:
    assert only(tmp_path, body).failure == failure


@pytest.mark.parametrize("kind", ["warcinfo", "request", "metadata", "revisit", "continuation"])
def test_other_records_are_no_documents(tmp_path: Path, kind: str) -> None:
    assert records(written(tmp_path, gzip.compress(block(http(), kind=kind)))) == []


def test_wet_records_are_text(tmp_path: Path) -> None:
    record = only(tmp_path, "Grüße".encode(), kind="conversion", media="text/plain")
    assert (record.text, record.charset) == ("Grüße", "utf-8")


def test_resources_carry_their_own_media_type(tmp_path: Path) -> None:
    assert only(tmp_path, PAGE, kind="resource", media="text/html").html == PAGE


def test_transfer_and_content_encodings_are_undone(tmp_path: Path) -> None:
    packed = gzip.compress(PAGE)
    chunked = f"{len(packed):x}\r\n".encode() + packed + b"\r\n0\r\n\r\n"
    assert only(tmp_path, http(packed, more="Content-Encoding: gzip\r\n")).html == PAGE
    assert only(tmp_path, http(zlib.compress(PAGE), more="Content-Encoding: deflate\r\n")).html == PAGE
    both = http(chunked, more="Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n")
    assert only(tmp_path, both).html == PAGE


def test_brotli_is_undone(tmp_path: Path) -> None:
    brotli = pytest.importorskip("brotli")
    assert only(tmp_path, http(brotli.compress(PAGE), more="Content-Encoding: br\r\n")).html == PAGE


@pytest.mark.parametrize(
    "more", ["Content-Encoding: gzip\r\n", "Transfer-Encoding: chunked\r\n", "Content-Encoding: br\r\n"]
)
def test_a_header_that_lies_about_its_encoding_does_no_harm(tmp_path: Path, more: str) -> None:
    assert only(tmp_path, http(more=more)).html == PAGE


def test_large_records_and_bombs_are_failures(tmp_path: Path) -> None:
    small = Settings(max_record_bytes=1000)
    path = written(tmp_path, gzip.compress(block(http(b"x" * 2000))) + gzip.compress(block(http())))
    assert [r.failure and r.failure[0] for r in records(path, small)] == ["too_large", None]
    bomb = http(gzip.compress(b"x" * 100_000), more="Content-Encoding: gzip\r\n")
    [record] = records(written(tmp_path, gzip.compress(block(bomb))), small)
    assert record.failure is not None
    assert record.failure[0] == "too_large"


def test_a_damaged_member_is_one_failure_and_reading_goes_on(tmp_path: Path) -> None:
    members = [gzip.compress(block(http(PAGE + bytes([65 + i]) * 300), url=f"http://a.example/{i}")) for i in range(4)]
    broken = bytearray(members[1])
    broken[len(broken) // 2] ^= 0x55
    path = written(tmp_path, members[0] + bytes(broken) + b"junk" + members[2][:90] + members[3])
    found = records(path)
    assert [r.url for r in found if not r.failure] == ["http://a.example/0", "http://a.example/3"]
    assert {r.failure[0] for r in found if r.failure} == {"broken_record"}
    assert len(members[0]) in {r.position for r in found if r.failure}


def test_a_record_whose_length_lies_is_a_failure(tmp_path: Path) -> None:
    data = [block(http(), url=f"http://a.example/{i}") for i in range(3)]
    for wrong in (b"Content-Length: 9\r\n", b"Content-Length: 150\r\n", b"Content-Length: many\r\n"):
        lines = [wrong if line.startswith(b"Content-Length") else line for line in data[1].splitlines(keepends=True)]
        path = written(tmp_path, data[0] + b"".join(lines) + data[2], "a.warc")
        found = records(path)
        assert [r.url for r in found if not r.failure] == ["http://a.example/0", "http://a.example/2"]
        assert [r.position for r in found if r.failure] == [len(data[0])]


def test_one_gzip_stream_for_the_whole_file(tmp_path: Path) -> None:
    blocks = [block(http(PAGE * 50), url=f"http://a.example/{i}") for i in range(40)]
    path = written(tmp_path, gzip.compress(b"".join(blocks)))
    found = records(path, target=500)
    assert [r.url for r in found] == [f"http://a.example/{i}" for i in range(40)]
    assert [r.position for r in found][:2] == [0, len(blocks[0])]


def test_members_that_are_cut_anywhere(tmp_path: Path) -> None:
    data = b"".join(block(http(PAGE * 20), url=f"http://a.example/{i}") for i in range(30))
    path = written(tmp_path, b"".join(gzip.compress(data[i : i + 1000]) for i in range(0, len(data), 1000)))
    assert [r.url for r in records(path)] == [f"http://a.example/{i}" for i in range(30)]


def test_the_magic_number_within_a_member_is_no_boundary(tmp_path: Path) -> None:
    inner = gzip.compress(b"not a record") * 20
    stored = zlib.compressobj(0, wbits=31)
    data = stored.compress(block(http(PAGE + inner))) + stored.flush()
    path = written(tmp_path, data + gzip.compress(block(http(), url="http://b.example/")))
    for target in (64, 1 << 20):
        assert [r.url for r in records(path, target=target)] == ["http://a.example/", "http://b.example/"]


def test_arc_files(tmp_path: Path) -> None:
    head = b"filedesc://x.arc 0.0.0.0 20080430204825 text/plain 4\n1 0\n\n"
    body = http()
    page = b"http://a.example/a b 192.0.2.1 20080430204826 text/html %d\n" % len(body) + body + b"\n"
    for name, data in (("a.arc", head + page), ("a.arc.gz", gzip.compress(head) + gzip.compress(page))):
        [record] = records(written(tmp_path, data, name), target=30)
        assert (record.url, record.date, record.html) == ("http://a.example/a b", "2008-04-30T20:48:26Z", PAGE)


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert records(written(tmp_path, b"")) == []


def test_a_missing_file_raises() -> None:
    with pytest.raises(FileNotFoundError):
        list(warc.read(Split("/nowhere/a.warc.gz", 0, 10), Settings()))


# Counted by hand from the files: documents, failures by reason. Reasons are in the project's own words.
BROKEN = {
    "aut__badexample.arc.gz": {"text": 1, "broken_record": 2},
    "chatnoir-resiliparse__clipped.warc.gz": {"broken_record": 1},
    "warcio__bad.arc": {"text": 1, "broken_record": 2},
    "warcio__example-trunc.warc": {"broken_record": 1},
    "warcio__example-wrong-chunks.warc.gz": {"html": 1},
    "warcio__example-bad-non-chunked.warc.gz": {"html": 1},
    "chatnoir-resiliparse__warcfile.warc.lz4": {"html": 16},
    "chatnoir-resiliparse__warcfile.warc.gz": {"html": 16},
    "whirlwind-python__whirlwind.warc.wet.gz": {"text": 1},
    "warcio__example.arc.gz": {"html": 1},
}


@pytest.mark.parametrize("name", BROKEN)
def test_real_files_are_accounted_for(name: str) -> None:
    path = DATA / "warc" / name
    if not path.exists():
        pytest.skip("shared/data is not here")
    kinds = Counter(r.failure[0] if r.failure else "html" if r.html is not None else "text" for r in records(path))
    assert kinds == BROKEN[name]


def test_real_files_read_the_same_in_any_ranges() -> None:
    paths = sorted((DATA / "warc").glob("*"))
    if not paths:
        pytest.skip("shared/data is not here")
    for path in paths:
        whole = records(path)
        for target in (997, 20_011):
            if path.stat().st_size // target < 300:
                assert records(path, target=target) == whole, path.name
