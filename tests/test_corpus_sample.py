"""The offline sample: complete, the same each time, and without anything of the user's."""

import gzip
import os
from pathlib import Path

import orjson
import pytest

from corpus import files
from corpus.readers import Settings, jsonl, warc
from corpus.sample import Summary, make


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return make(tmp_path_factory.mktemp("sample"))


def rows(path: Path) -> list[dict[str, str]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_counts_are_those_of_the_files(made: Summary) -> None:
    assert 150 <= made.documents["web.warc.gz"] <= 300
    assert made.documents["books"] == len(list((made.folder / "books").glob("*.txt"))) >= 15
    for name in ("functions.jsonl", "packages.jsonl", "planted.jsonl"):
        assert made.documents[name] == len(rows(made.folder / name))
    assert f"web.warc.gz: {made.documents['web.warc.gz']} documents" in str(made)


def test_pages_are_read_as_html(made: Summary) -> None:
    path = made.folder / "web.warc.gz"
    parts = warc.splits(str(path), path.stat().st_size, 100_000)
    found = [record for part in parts for record in warc.read(part, Settings())]
    assert len(found) == made.documents["web.warc.gz"]
    assert all(r.html and not r.failure for r in found)
    assert len({r.url for r in found}) == len(found)


def test_nothing_of_the_user_s_is_in_the_pages(made: Summary) -> None:
    pages = gzip.decompress((made.folder / "web.warc.gz").read_bytes())
    assert b"environ({" not in pages
    assert b"0x7f" not in pages.replace(b"0x7fffffff", b"")
    for value in os.environ.values():
        assert len(value) < 20 or value.encode() not in pages


def test_the_same_python_gives_the_same_bytes(made: Summary, tmp_path: Path) -> None:
    again = make(tmp_path)
    for found in files.find(str(made.folder)):
        name = Path(found.path).relative_to(made.folder)
        assert (again.folder / name).read_bytes() == Path(found.path).read_bytes(), name


def test_each_planted_row_names_its_defect_and_its_fate(made: Summary) -> None:
    found = rows(made.folder / "planted.jsonl")
    assert all(row["planted"] and row["expect"] for row in found)
    assert len({row["id"] for row in found}) == len(found)
    assert {"mojibake", "too_short", "exact_copy", "near_copy", "wrong_language_french"} <= {
        r["planted"] for r in found
    }
    texts = {row["planted"]: row["text"] for row in found}
    assert texts["exact_copy"] == texts["exact_original"]
    assert texts["near_copy"] != texts["near_original"]
    assert "â€" in texts["mojibake"]


def test_packages_are_read(made: Summary) -> None:
    path = made.folder / "packages.jsonl"
    found = list(jsonl.read(jsonl.splits(str(path), path.stat().st_size, 1 << 40)[0], Settings()))
    assert all(record.failure is None and record.origin for record in found)
