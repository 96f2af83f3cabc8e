"""Opening a run: only a finished one of this version, and nothing beyond its files."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from small_run import small_run

from corpus import schema
from corpus.views import FOLDERS, VIEWS, NotARun, Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("views"))


def copy(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    return to


def test_every_view_has_rows(run: Path) -> None:
    with Run(run) as opened:
        for view in VIEWS:
            assert opened.rows(f"select count(*) as n from {view}")[0]["n"] > 0


def test_fates_tell_of_every_document_once(run: Path) -> None:
    with Run(run) as opened:
        counts = opened.rows(
            """select (select count(*) from fates) as told, (select count(*) from signals) as read,
            (select count(*) from fates where kept) as kept, (select count(*) from docs) as docs,
            (select count(*) from fates where words is null and reason <> 'no_text') as without_words"""
        )[0]
    assert counts["told"] == counts["read"]
    assert counts["kept"] == counts["docs"]
    assert counts["without_words"] == 0


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://www.Example.com:8080/a?b", "example.com"),
        ("http://user@a.b.example/", "a.b.example"),
        ("https://example.org", "example.org"),
        ("file:///home/me/a.txt", None),
        ("no address", None),
        (None, None),
    ],
)
def test_domain_of(run: Path, url: str | None, domain: str | None) -> None:
    with Run(run) as opened:
        assert opened.rows("select domain_of(?) as domain", [url])[0]["domain"] == domain


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotARun, match="there is no such folder"):
        Run(tmp_path / "none")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(NotARun, match="no finished run"):
        Run(tmp_path)


def test_a_build_that_has_not_ended(run: Path, tmp_path: Path) -> None:
    folder = copy(run, tmp_path / "run")
    (folder / "manifest.json").unlink()
    with pytest.raises(NotARun, match="the same build command finishes it"):
        Run(folder)


def test_another_schema_version(run: Path, tmp_path: Path) -> None:
    folder = copy(run, tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema": schema.VERSION + 1}), "utf-8")
    with pytest.raises(NotARun, match=f"schema {schema.VERSION + 1}, this Winnow reads {schema.VERSION}"):
        Run(folder)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_broken_manifest_is_one_line(run: Path, tmp_path: Path, text: str) -> None:
    folder = copy(run, tmp_path / "run")
    (folder / "manifest.json").write_text(text, "utf-8")
    with pytest.raises(NotARun, match=r"manifest\.json: not"):
        Run(folder)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_missing_part_is_named(run: Path, tmp_path: Path, folder: str) -> None:
    broken = copy(run, tmp_path / "run")
    part = next((broken / folder).glob("*.parquet"))
    part.unlink()
    with pytest.raises(NotARun, match=f"{folder}/{part.name} is missing"):
        Run(broken)


def test_files_of_another_build_in_the_folder_are_not_read(run: Path, tmp_path: Path) -> None:
    folder = copy(run, tmp_path / "run")
    part = next((folder / "docs").glob("*.parquet"))
    shutil.copy(part, part.with_name("part-000000000000.parquet"))
    with Run(folder) as opened:
        assert opened.rows("select count(*) as n from docs")[0]["n"] == opened.manifest["docs"]


def test_a_folder_with_a_quote_in_its_name(run: Path, tmp_path: Path) -> None:
    with Run(copy(run, tmp_path / "it's")) as opened:
        assert opened.rows("select count(*) as n from docs")[0]["n"] > 0


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_text('/etc/hostname')",
        "select * from read_csv('https://example.com/a.csv')",
        "install httpfs",
        "load httpfs",
        "attach 'other.db'",
        "copy (select 1) to 'out.csv'",
        "set enable_external_access = true",
    ],
)
def test_nothing_beyond_the_run_can_be_reached(run: Path, query: str) -> None:
    with Run(run) as opened, pytest.raises(duckdb.Error):
        opened.db.execute(query)
