"""The laws of a build: conservation, the same result however it is run, nothing lost on a kill."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import prose, warc_member

from corpus.build import build
from corpus.lock import FolderInUse, held
from corpus.recipe import RecipeError

NUM_PAGES = 60
RECIPE = """
steps = ["url", "extract", "language", "repetition", "quality", "c4_lines", "c4", "fineweb"]
[[sources]]
name = "web"
kind = "warc"
files = ["{files}"]
[extract]
engine = "{engine}"
seconds = 2
[write]
split_mb = 0.004
[language]
keep = ["en"]
min_score = 0.3
[fineweb]
max_repeated_line_characters = 0.2
"""

HOSTILE = '''
"""An engine that meets the worst: a pattern that never returns, a crash, an error of its own."""
import ctypes
import re

from corpus.extraction import Extracted


def version():
    return "hostile 1"


def extract(page):
    if "HANG" in page.html:
        re.match(r"(a+)+$", "a" * 64 + "b")
    if "DIE" in page.html:
        ctypes.string_at(0)
    if "RAISE" in page.html:
        raise RuntimeError("parser gave up")
    return Extracted(page.html.partition("<p>")[2].partition("</p>")[0])
'''


def page(number: int) -> str:
    text = {7: "HANG", 23: "DIE", 31: "RAISE", 40: ""}.get(number, prose(12 if number == 13 else number))
    return f"<html><head><title>Page {number}</title></head><body><p>{text}</p></body></html>"


def members() -> list[bytes]:
    pages = [warc_member(f"https://site{n % 4}.example.org/{n}", page(n)) for n in range(NUM_PAGES)]
    gone = warc_member("https://site0.example.org/gone", page(1), status="404 Not Found")
    # the same page at another address, the same address with another page, and the same record twice
    copies = [
        warc_member("https://mirror.example.org/3", page(3)),
        warc_member("https://site1.example.org/5", page(61)),
        pages[9],
    ]
    return [*pages, gone, *copies]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input")
    (path / "hostile_engine").mkdir()
    (path / "hostile_engine" / "__init__.py").write_text("")
    (path / "hostile_engine" / "pages.py").write_text(HOSTILE)
    (path / "one").mkdir()
    (path / "one" / "a.warc.gz").write_bytes(b"".join(members()))
    (path / "eight").mkdir()
    for index in range(8):
        (path / "eight" / f"{index}.warc.gz").write_bytes(b"".join(members()[index::8]))
    for name in ("one", "eight"):
        text = RECIPE.format(files=path / name / "*.warc.gz", engine="hostile_engine.pages")
        (path / f"{name}.toml").write_text(text)
    return path


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Manifests of the same input built in four ways."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.syspath_prepend(str(folder))
        return {
            "one worker": build(folder / "one.toml", folder / "run-1", num_workers=1),
            "two workers": build(folder / "one.toml", folder / "run-2", num_workers=2),
            "eight files": build(folder / "eight.toml", folder / "run-8", num_workers=2),
        }


def shards(run: Path) -> dict[str, str]:
    files = [path for kind in ("docs", "ledger", "signals", "duplicates", "edits") for path in (run / kind).iterdir()]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_record_is_kept_once_or_in_the_ledger_once(runs: dict[str, dict[str, Any]]) -> None:
    for told in runs.values():
        assert told["read"] == told["docs"] + told["ledger"] == NUM_PAGES + 4
        assert all(read == kept + ledger for read, kept, ledger in told["files"].values())


def test_same_documents_and_reasons_with_any_workers_and_any_split(runs: dict[str, dict[str, Any]]) -> None:
    first, *others = runs.values()
    for told in others:
        for key in ("docs_hash", "ledger_hash", "reasons", "text_bytes"):
            assert told[key] == first[key]


def test_same_bytes_where_the_split_is_the_same(runs: dict[str, dict[str, Any]], folder: Path) -> None:
    assert shards(folder / "run-1") == shards(folder / "run-2")
    assert runs["one worker"] == runs["two workers"]


def test_pages_that_hang_or_crash_the_parser_are_ledger_rows(runs: dict[str, Any], folder: Path) -> None:
    rows = duckdb.sql(
        f"select url, reason, stage, detail from '{folder}/run-2/ledger/*.parquet' where stage = 'extract' order by url"
    ).fetchall()
    told = {url.rsplit("/", 1)[1]: (reason, detail) for url, reason, _, detail in rows}
    assert told["7"][0] == "extract_timeout"
    assert told["23"] == ("extract_crash", "the worker was ended by SIGSEGV")
    assert told["31"] == ("extract_error", "RuntimeError: parser gave up")
    assert told["40"][0] == "no_text"
    assert told["gone"] == ("http_status", "404")


def test_duplicates_name_the_document_that_was_kept(runs: dict[str, Any], folder: Path) -> None:
    rows = duckdb.sql(
        f"""select l.url, l.reason, d.url from '{folder}/run-2/ledger/*.parquet' l
        join '{folder}/run-2/docs/*.parquet' d on l.kept_id = d.id where stage = 'dedup'"""
    ).fetchall()
    reasons = sorted(reason for _, reason, _ in rows)
    assert reasons == ["exact_duplicate", "exact_duplicate", "record_duplicate", "url_duplicate"]


def test_going_on_with_a_finished_build_does_nothing_and_changes_nothing(runs: dict[str, Any], folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "run-1" / "docs").iterdir()}
    assert build(folder / "one.toml", folder / "run-1", num_workers=1) == runs["one worker"]
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "run-1" / "docs").iterdir()}


def test_a_folder_of_another_recipe_is_refused(runs: dict[str, Any], folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"another recipe \(differs in quality.min_words\)"):
        build(folder / "one.toml", folder / "run-1", ["quality.min_words=31"])


def test_two_builds_into_one_folder(runs: dict[str, Any], folder: Path) -> None:
    with held(folder / "run-1"), pytest.raises(FolderInUse):
        build(folder / "one.toml", folder / "run-1")


def run_command(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "corpus", "build", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parent.parent)])}
    return subprocess.Popen(
        command, env=environment | (env or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def test_killed_and_started_again_it_ends_with_the_same_bytes(runs: dict[str, Any], folder: Path) -> None:
    out = folder / "killed"
    for seconds in (1.5, 3.0, 4.5):
        process = run_command(folder, str(folder / "one.toml"), "--out", str(out), "--workers", "2")
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    last = run_command(folder, str(folder / "one.toml"), "--out", str(out), "--workers", "2")
    _, stderr = last.communicate(timeout=120)
    assert last.returncode == 0, stderr
    assert shards(out) == shards(folder / "run-1")
    assert json.loads((out / "manifest.json").read_text()) == runs["one worker"]
    assert not list(out.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["none.toml"], 2, "none.toml: there is no such recipe"),
        (["one.toml", "--set", "quality.min_wordz=3"], 2, "unknown key 'quality.min_wordz'"),
        (["one.toml", "--set", "sources.0.files=['nothing/*.gz']"], 1, "nothing/*.gz"),
        (["one.toml", "--set", "language.model=none.bin"], 2, "none.bin"),
    ],
)
def test_mistakes_are_one_line_before_any_work(folder: Path, arguments: Sequence[str], status: int, told: str) -> None:
    out = folder / "never"
    recipe, *rest = arguments
    process = run_command(folder, str(folder / recipe), *rest, "--out", str(out))
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == status
    assert told in stderr
    assert len(stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_a_run_folder_in_a_store_is_refused(folder: Path) -> None:
    with pytest.raises(RecipeError, match="--out s3:/bucket/run: an address begins with two slashes"):
        build(folder / "one.toml", Path("s3://bucket/run"))


def test_a_runner_that_does_not_exist_is_one_line(folder: Path) -> None:
    process = run_command(folder, str(folder / "one.toml"), "--out", str(folder / "odd"), "--", "--runner=Nope")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--runner=Nope" in stderr
    assert "Traceback" not in stderr
