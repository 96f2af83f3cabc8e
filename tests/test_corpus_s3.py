"""Input from an S3-compatible store, read through Beam's filesystem: the same corpus as from local files.

The store is moto's server on this machine (extra `dev`); the test is skipped where it is not installed.
"""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import prose, warc_member, write_jsonl
from local_store import BUCKET, environment, local_store, put

RECIPE = """
steps = ["extract", "language", "quality"]
[[sources]]
name = "pages"
kind = "warc"
files = ["{at}/warc"]
[[sources]]
name = "rows"
kind = "jsonl"
files = ["{at}/rows/*.jsonl.gz", "{at}/rows/more/**"]
[[sources]]
name = "table"
kind = "parquet"
files = ["{at}/table.parquet"]
[extract]
engine = "fast"
[write]
split_mb = 0.002
[language]
keep = ["en"]
min_score = 0.3
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("s3")
    (path / "in" / "warc").mkdir(parents=True)
    pages = [warc_member(f"https://host.example/{n}", f"<p>{prose(n)}</p>") for n in range(12)]
    (path / "in" / "warc" / "a.warc.gz").write_bytes(b"".join(pages))
    for name in ("rows/0.jsonl", "rows/1.jsonl", "rows/more/deep/2.jsonl"):
        file = write_jsonl(
            path / "in" / name, [{"text": prose(20 + n + len(name)), "id": name + str(n)} for n in range(4)]
        )
        file.with_suffix(".jsonl.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
        file.unlink()
    pq.write_table(pa.table({"text": [prose(60 + n) for n in range(5)]}), path / "in" / "table.parquet")
    for name, at in (("local", path / "in"), ("s3", "s3://crawl/in")):
        (path / f"{name}.toml").write_text(RECIPE.format(at=at))
    return path


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[dict[str, str]]:
    """Environment of a process that finds the store; it holds the folder's files."""
    with local_store(folder) as found:
        for path in (folder / "in").rglob("*"):
            if path.is_file():
                put(f"{found['AWS_ENDPOINT_URL']}/{BUCKET}/{path.relative_to(folder)}", path.read_bytes())
        yield environment(found)


def command(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "corpus", "build", *arguments], cwd=folder, env=environment, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_bucket_gives_the_same_corpus_as_a_folder(folder: Path, store: dict[str, str]) -> None:
    told = {}
    for name in ("local", "s3"):
        ran = command(folder, store, f"{name}.toml", "--out", name, "--workers", "2")
        assert ran.returncode == 0, ran.stderr[-2000:]
        told[name] = json.loads((folder / name / "manifest.json").read_text())
    for key in ("docs_hash", "read", "docs", "text_bytes", "reasons"):
        assert told["s3"][key] == told["local"][key], key
    assert told["s3"]["read"] == 12 + 3 * 4 + 5
    assert told["s3"]["inputs"][0]["file"] == "s3://crawl/in/warc/a.warc.gz"
    # Going on reads no input: sizes and times of change in the store are the fingerprint.
    shards = sorted((folder / "s3" / "docs").iterdir())
    before = [path.stat().st_mtime_ns for path in shards]
    assert command(folder, store, "s3.toml", "--out", "s3", "--workers", "1").returncode == 0
    assert [path.stat().st_mtime_ns for path in shards] == before


def test_an_empty_match_in_a_bucket_is_one_line(folder: Path, store: dict[str, str]) -> None:
    change = "sources.2.files=['s3://crawl/in/none-*.parquet']"
    ran = command(folder, store, "s3.toml", "--out", "never", "--set", change)
    assert ran.returncode == 1
    assert "s3://crawl/in/none-*.parquet" in ran.stderr
    assert "Traceback" not in ran.stderr
