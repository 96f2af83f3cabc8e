"""The same corpus from another runner: Beam's job service and a pool of workers, started as on Flink and Spark.

The workers get the code as a staged wheel, start in folders of their own, and share the run folder. One is killed.
"""

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from conftest import prose, warc_member
from local_store import BUCKET, local_store, reached

from corpus import elsewhere, pipeline
from corpus.build import build
from corpus.fetch import fetch
from corpus.recipe import RecipeError
from corpus.write import FOLDERS

ROOT = Path(__file__).parent.parent
SECONDS = 480  # longest time for one build; a hang must not hold the suite
RECIPE = """
steps = ["extract", "language", "quality"]
[[sources]]
name = "web"
kind = "warc"
files = ["{folder}/*.warc.gz"]
[extract]
engine = "deadly_engine.pages"
[write]
split_mb = 0.005
[language]
keep = ["en"]
min_score = 0.3
"""
# An engine that notes whose code it runs on, and that kills Beam's worker above it, once, where the test says so.
ENGINE = """
import os
import signal
from pathlib import Path

import corpus
from corpus.extraction import Extracted

folder = Path(os.environ["ENGINE_FOLDER"])
(folder / f"seen-{os.getpid()}").write_text(corpus.__file__)


def version():
    return "deadly 1"


def extract(page):
    order = folder / "kill"
    if "MARKED" in page.html and order.exists():
        order.unlink()
        os.kill(int(os.environ["WORKER_PROCESS"]), signal.SIGKILL)
        signal.pause()
    return Extracted(page.html.partition("<p>")[2].partition("</p>")[0])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portable")
    texts = [prose(n % 27) + (" MARKED" if n == 13 else "") for n in range(30)]  # the last ones are copies
    for index in range(4):
        pages = [warc_member(f"https://host.example/{n}", f"<p>{texts[n]}</p>") for n in range(30) if n % 4 == index]
        (path / f"{index}.warc.gz").write_bytes(b"".join(pages))
    (path / "recipe.toml").write_text(RECIPE.format(folder=path))
    engine = path / "engine" / "deadly_engine"
    engine.mkdir(parents=True)
    (engine / "__init__.py").write_text("")
    (engine / "pages.py").write_text(ENGINE)
    (path / "workers").mkdir()
    return path


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    """The rooms that workers need, as `pip wheel` would pack them."""
    path = folder / "winnow_corpus-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for room in ("corpus", "filters"):
            for file in sorted((ROOT / room).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    archive.write(file, file.relative_to(ROOT))
        archive.writestr("winnow_corpus-0.1.0.dist-info/METADATA", "Name: winnow-corpus\nVersion: 0.1.0\n")
    return path


@pytest.fixture(scope="module")
def pool(folder: Path) -> Iterator[int]:
    with workers(folder, {}) as port:
        yield port


@contextlib.contextmanager
def workers(folder: Path, own: dict[str, str]) -> Iterator[int]:
    """The port of a pool of workers, started as beside a Flink or Spark task manager."""
    try:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = int(probe.getsockname()[1])
    except OSError as error:
        pytest.skip(f"no port can be opened here: {error}")
    boot = folder / "boot"
    boot.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "tests" / "portable_worker.py"}" "$@"\n')
    boot.chmod(boot.stat().st_mode | stat.S_IXUSR)
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    process = subprocess.Popen(
        [*command, f"--container_executable={boot}"], cwd=folder / "workers", env=environment(folder) | own,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        _wait_for(port)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
            return
        time.sleep(0.1)
    pytest.skip("Beam's worker pool opened no port within 20 s")


def environment(folder: Path) -> dict[str, str]:
    own = {"ENGINE_FOLDER": str(folder / "engine"), "WORKER_FOLDER": str(folder / "workers")}
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder / "engine")])}


def command(folder: Path, out: str, own: dict[str, str], *options: str) -> str:
    """A build by the command; what it said."""
    words = [sys.executable, "-m", "corpus", "build", folder / "recipe.toml", "--out", out, "--workers", "1"]
    run = subprocess.run(
        [*words, "--", *options], cwd=folder, env=environment(folder) | own, capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stderr


def built(folder: Path, out: str, *options: str) -> tuple[dict[str, Any], str]:
    """The manifest of a build into a folder, and what the command said."""
    said = command(folder, out, {}, *options)
    return json.loads((folder / out / "manifest.json").read_text()), said


def portable(port: int, wheel: Path) -> list[str]:
    return [
        "--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{port}", "--direct_num_workers=2", f"--extra_package={wheel}",
    ]  # fmt: skip


def test_workers_elsewhere_make_the_same_corpus_though_one_is_killed(folder: Path, wheel: Path, pool: int) -> None:
    here, _ = built(folder, "here")
    for path in (folder / "engine").glob("seen-*"):
        path.unlink()
    (folder / "engine" / "kill").touch()
    there, said = built(folder, "there", *portable(pool, wheel))

    assert not (folder / "engine" / "kill").exists()
    assert "a worker process ended while it had work; once more" in said
    assert there == here  # content hashes, counts, and every record accounted for
    assert here["ledger"] > 0
    for kind in ("docs", "ledger", "signals", "duplicates", "edits"):
        names = sorted(path.name for path in (folder / "here" / kind).iterdir())
        assert names == sorted(path.name for path in (folder / "there" / kind).iterdir())
        for name in names:
            assert (folder / "here" / kind / name).read_bytes() == (folder / "there" / kind / name).read_bytes()
    seen = [path.read_text() for path in (folder / "engine").glob("seen-*")]
    staged = [path for path in seen if path.startswith(f"{folder / 'workers'}/staged-")]
    assert len(staged) >= 2  # each worker on the wheel that was staged; the submitting process on the checkout


def test_workers_that_share_nothing_but_a_store_make_the_same_corpus(folder: Path, wheel: Path) -> None:
    here, _ = built(folder, "here")
    url = f"s3://{BUCKET}/runs/web"
    (folder / "tmp").mkdir()
    with local_store(folder) as store, workers(folder, store | {"TMPDIR": str(folder / "tmp")}) as port:
        (folder / "engine" / "kill").touch()
        said = command(folder, url, store, *portable(port, wheel))
        with reached(store):
            fetch(url, folder / "fetched")
    assert not (folder / "engine" / "kill").exists()
    assert "a worker process ended while it had work; once more" in said
    assert json.loads((folder / "fetched" / "manifest.json").read_text()) == here
    for kind in FOLDERS:
        for path in (folder / "here" / kind).iterdir():
            assert path.read_bytes() == (folder / "fetched" / kind / path.name).read_bytes()


def test_whoever_asks_a_dead_worker_is_told_whenever_it_died() -> None:
    """Before, between and after requests; Beam's own connection would wait for ever in two of the three."""
    pipeline._mend_job_service()
    connection = worker_handlers.ControlConnection()
    connection.set_input(iter(()))  # a stream that ends at once, without an error
    connection._read_thread.join()
    late = connection.push(beam_fn_api_pb2.InstructionRequest())
    with pytest.raises(RuntimeError, match="ended while it had work"):
        late.get(timeout=5)

    def broken() -> Iterator[Any]:
        asked.wait(5)
        raise OSError("connection reset")
        yield

    asked = threading.Event()
    other = worker_handlers.ControlConnection()
    other.set_input(broken())
    early = other.push(beam_fn_api_pb2.InstructionRequest())
    asked.set()
    with pytest.raises(RuntimeError, match="ended while it had work"):
        early.get(timeout=5)


def test_a_relative_input_is_refused_before_any_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder / "engine")
    monkeypatch.setenv("ENGINE_FOLDER", str(folder / "engine"))
    with pytest.raises(RecipeError, match=r"0\.warc\.gz is relative"):
        build(
            folder / "recipe.toml", folder / "never", ["sources.0.files=['0.warc.gz']"],
            beam_options=["--runner=PortableRunner"],
        )  # fmt: skip
    assert not (folder / "never").exists()


@pytest.mark.parametrize(
    ("options", "other"),
    [
        ([], False),
        (["--runner=FnApiRunner"], False),
        (["--runner=FlinkRunner"], True),
        (["--parallelism=4", "--runner", "DataflowRunner"], True),
    ],
)
def test_another_runner_is_asked_for_by_name(options: list[str], other: bool) -> None:
    assert elsewhere.asked(options) == other


def test_what_a_job_service_wraps_is_told_in_one_line() -> None:
    wrapped = "Pipeline job failed:\nTraceback (most recent call last):\n  File x\nValueError: page 3 is odd\n\n"
    assert elsewhere.gist(RuntimeError(wrapped)) == "ValueError: page 3 is odd"
    refused = 'grpc.Error: <_Error:\n\tdetails = "failed to connect to 127.0.0.1"\n>\n'
    assert elsewhere.gist(RuntimeError(refused)) == "failed to connect to 127.0.0.1"
