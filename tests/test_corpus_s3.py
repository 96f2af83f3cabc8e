"""Input from an S3-compatible store, read through Beam's filesystem: the same corpus as from local files.

The store is moto's server on this machine (extra `dev`); the test is skipped where it is not installed.
"""

import contextlib
import gzip
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import prose, warc_member, write_jsonl

ROOT = Path(__file__).parent.parent
MISSING = [name for name in ("boto3", "moto", "flask") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"no local S3 store: {', '.join(MISSING)} not installed (pip install -e '.[dev]')"
)
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
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
    except OSError as error:
        pytest.skip(f"no port can be opened here: {error}")
    at = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                _put(f"{at}/crawl", b"")
                break
            if time.monotonic() > until:
                pytest.skip("moto's server did not answer within 30 s")
            time.sleep(0.2)
        for path in (folder / "in").rglob("*"):
            if path.is_file():
                _put(f"{at}/crawl/{path.relative_to(folder)}", path.read_bytes())
        yield {
            **os.environ, "AWS_ENDPOINT_URL": at, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
    finally:
        server.kill()
        server.wait()


def _put(url: str, data: bytes) -> None:
    request = urllib.request.Request(url, data, {"Content-Type": "application/octet-stream"}, method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


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
