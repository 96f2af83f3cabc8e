"""What holds for every reader: splitting changes nothing, damage is a row and no crash, memory does not grow."""

import bz2
import gzip
import itertools
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus.readers import Record, Settings, Split, kinds, reader

NUM = 12


def _block(i: int) -> bytes:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>" + f"page {i} ".encode() * 40
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a/{i}\r\nContent-Length: {len(http)}\r\n\r\n"
    return head.encode() + http + b"\r\n\r\n"


def _arc(i: int) -> bytes:
    http = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<p>" + f"page {i} ".encode() * 40
    return f"http://a/{i} 192.0.2.1 2008043020482{i % 10} text/html {len(http)}\n".encode() + http + b"\n"


def _parquet(path: Path) -> None:
    pq.write_table(pa.table({"text": [f"row {i} " * 9 for i in range(NUM * 5)]}), path, row_group_size=5)


def _epub(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("META-INF/container.xml", '<c><rootfile full-path="p.opf"/></c>')
        items = "".join(f'<item id="i{i}" href="{i}.html" media-type="text/html"/>' for i in range(NUM))
        spine = "".join(f'<itemref idref="i{i}"/>' for i in range(NUM))
        file.writestr("p.opf", f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>")
        for i in range(NUM):
            file.writestr(f"{i}.html", f"<h1>Chapter {i}</h1><p>It is page {i}.</p>")


def _page(i: int) -> bytes:
    text = f"page {i} " * 40
    return f"<page><title>P {i}</title><ns>0</ns><revision><text>{text}</text></revision></page>\n".encode()


WIKI_HEAD = b'<mediawiki xml:lang="en"><siteinfo><base>http://a/wiki/Main</base></siteinfo>\n'
DUMP = WIKI_HEAD + b"".join(map(_page, range(NUM))) + b"</mediawiki>\n"
LINES = b"".join(b'{"text": "line %d %s"}\n' % (i, b"x" * i) for i in range(NUM * 3))
INPUTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "warc.gz": ("warc", lambda p: p.write_bytes(b"".join(gzip.compress(_block(i), mtime=0) for i in range(NUM)))),
    "one.warc.gz": ("warc", lambda p: p.write_bytes(gzip.compress(b"".join(map(_block, range(NUM))), mtime=0))),
    "warc": ("warc", lambda p: p.write_bytes(b"".join(map(_block, range(NUM))))),
    "arc": ("warc", lambda p: p.write_bytes(b"".join(map(_arc, range(NUM))))),
    "arc.gz": ("warc", lambda p: p.write_bytes(b"".join(gzip.compress(_arc(i), mtime=0) for i in range(NUM)))),
    "jsonl": ("jsonl", lambda p: p.write_bytes(LINES)),
    "jsonl.gz": ("jsonl", lambda p: p.write_bytes(gzip.compress(LINES, mtime=0))),
    "parquet": ("parquet", _parquet),
    "html": ("html", lambda p: p.write_bytes(b"<p>page</p>" * 50)),
    "txt": ("text", lambda p: p.write_bytes(b"CHAPTER I\n\nA sentence or two.\n\n" * 50)),
    "epub": ("epub", _epub),
    "xml": ("wiki", lambda p: p.write_bytes(DUMP)),
    "xml.bz2": ("wiki", lambda p: p.write_bytes(bz2.compress(DUMP))),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    for suffix, (_, write) in INPUTS.items():
        write(folder / f"a.{suffix}")
    return {suffix: folder / f"a.{suffix}" for suffix in INPUTS}


def read(kind: str, path: Path, cuts: list[int]) -> list[Record]:
    edges = [0, *sorted({c for c in cuts if 0 < c < path.stat().st_size}), path.stat().st_size]
    parts = [Split(str(path), a, b) for a, b in itertools.pairwise(edges)]
    return [record for part in parts for record in reader(kind).read(part, Settings())]


def damaged(path: Path, folder: Path, edit: Callable[[bytes], bytes]) -> Path:
    copy = folder / path.name
    copy.write_bytes(edit(path.read_bytes()))
    return copy


def test_every_kind_is_held_to_the_laws() -> None:
    assert {kind for kind, _ in INPUTS.values()} == set(kinds())


@pytest.mark.parametrize("suffix", INPUTS)
def test_every_input_has_records(suffix: str, inputs: dict[str, Path]) -> None:
    found = read(INPUTS[suffix][0], inputs[suffix], [])
    assert found
    assert all(r.failure is None for r in found)
    assert len({r.position for r in found}) == len(found)


@pytest.mark.parametrize("suffix", INPUTS)
@given(cuts=st.lists(st.integers(1, 20_000), max_size=6))
@settings(max_examples=40, deadline=None)
def test_any_splitting_gives_the_same_records(suffix: str, inputs: dict[str, Path], cuts: list[int]) -> None:
    kind = INPUTS[suffix][0]
    assert read(kind, inputs[suffix], cuts) == read(kind, inputs[suffix], [])


@pytest.mark.parametrize("suffix", INPUTS)
@pytest.mark.parametrize("target", [1, 100, 1 << 30])
def test_the_reader_s_own_splits_cover_the_file(suffix: str, target: int, inputs: dict[str, Path]) -> None:
    kind, path = INPUTS[suffix][0], inputs[suffix]
    parts = reader(kind).splits(str(path), path.stat().st_size, target)
    assert parts[0].start == 0
    assert parts[-1].end == path.stat().st_size
    assert all(a.end == b.start for a, b in itertools.pairwise(parts))
    assert [r for part in parts for r in reader(kind).read(part, Settings())] == read(kind, path, [])


@pytest.mark.parametrize("suffix", INPUTS)
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_truncated_file_never_raises(
    suffix: str, inputs: dict[str, Path], tmp_path: Path, data: st.DataObject
) -> None:
    kind, path = INPUTS[suffix][0], inputs[suffix]
    length = data.draw(st.integers(0, path.stat().st_size - 1))
    cut = damaged(path, tmp_path, lambda whole: whole[:length])
    middle = data.draw(st.integers(0, length))
    found = read(kind, cut, [])
    assert read(kind, cut, [middle]) == found
    good = [r for r in found if r.failure is None]
    if suffix in ("warc.gz", "warc", "arc", "arc.gz", "jsonl", "xml"):  # what lies before the cut is read all the same
        assert good == read(kind, path, [])[: len(good)]


@pytest.mark.parametrize("suffix", INPUTS)
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_never_raises_and_splits_alike(
    suffix: str, inputs: dict[str, Path], tmp_path: Path, data: st.DataObject
) -> None:
    kind, path = INPUTS[suffix][0], inputs[suffix]
    at = data.draw(st.integers(0, path.stat().st_size - 1))
    junk = data.draw(st.binary(min_size=1, max_size=30))
    cut = damaged(path, tmp_path, lambda whole: whole[:at] + junk + whole[at + len(junk) :])
    found = read(kind, cut, [])
    assert read(kind, cut, [data.draw(st.integers(0, path.stat().st_size))]) == found


@pytest.mark.parametrize("suffix", ["warc.gz", "one.warc.gz", "warc", "jsonl", "jsonl.gz", "xml", "xml.bz2"])
def test_memory_does_not_grow_with_the_file(suffix: str, tmp_path: Path) -> None:
    def peak(times: int) -> int:
        path = tmp_path / f"a.{suffix}"
        kind = INPUTS[suffix][0]
        body = {"jsonl": LINES, "wiki": b"".join(map(_page, range(NUM)))}.get(kind, b"".join(map(_block, range(NUM))))
        if suffix == "warc.gz":
            body = b"".join(gzip.compress(_block(i), 1, mtime=0) for i in range(NUM))
        whole = body * times
        if kind == "wiki":
            whole = WIKI_HEAD + whole + b"</mediawiki>"
            whole = bz2.compress(whole, 1) if suffix == "xml.bz2" else whole
        path.write_bytes(gzip.compress(whole, 1) if suffix in ("one.warc.gz", "jsonl.gz") else whole)
        tracemalloc.start()
        for _ in reader(kind).read(Split(str(path), 0, path.stat().st_size), Settings(max_record_bytes=1 << 16)):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(2)  # imports and caches
    small, large = peak(400), peak(1600)
    assert large < small + (2 << 20)  # the window over a compressed file is read anew before the old one goes
