"""Killed at random moments, a build ends with the bytes of an unbroken one: a table of how often it did.

    python benchmarks/kills.py RECIPE [--kills 50] [--workers 2] [--seed 1] [--set key=value]

One unbroken build says how long it takes and what its files are. Then: start, kill -9 of the whole process group after
a random time, start again without a kill, compare every file of docs/, ledger/, signals/, duplicates/ and edits/.
"""

import argparse
import hashlib
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDERS = ("docs", "ledger", "signals", "duplicates", "edits")


def start(recipe: str, run: Path, workers: int, overrides: list[str]) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "corpus", "build", recipe, "--out", str(run), "--workers", str(workers)]
    words += [word for override in overrides for word in ("--set", override)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(words, stdout=quiet, stderr=subprocess.PIPE, start_new_session=True)


def finish(recipe: str, run: Path, workers: int, overrides: list[str]) -> None:
    process = start(recipe, run, workers, overrides)
    _, stderr = process.communicate()
    if process.returncode:
        sys.exit(f"the build failed: {stderr.decode()[-2000:]}")


def hashes(run: Path) -> dict[str, str]:
    files = [path for folder in FOLDERS for path in sorted((run / folder).iterdir())] + [run / "manifest.json"]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def reached(run: Path) -> str:
    """The last stage of which a part was done when the kill came."""
    stages = ("write", "dedup", "measure", "extract")
    return next((stage for stage in stages if any((run / "stages" / stage).glob("*.done.json"))), "nothing")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    asked = parser.parse_args()
    build = (asked.recipe, asked.workers, asked.overrides)
    draw = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        began = time.perf_counter()
        finish(build[0], folder / "unbroken", *build[1:])
        seconds = time.perf_counter() - began
        wanted = hashes(folder / "unbroken")
        run = folder / "killed"
        equal, killed, at = 0, 0, dict.fromkeys(("nothing", "extract", "measure", "dedup", "write"), 0)
        for number in range(asked.kills):
            process = start(build[0], run, *build[1:])
            try:
                process.wait(draw.uniform(0, seconds))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
                at[reached(run)] += 1
            process.communicate()
            finish(build[0], run, *build[1:])
            same = hashes(run) == wanted
            equal += same
            shutil.rmtree(run)
            print(f"{number + 1}/{asked.kills}: {'equal' if same else 'DIFFERS'}", file=sys.stderr, flush=True)
    print(f"{platform.machine()}, {os.cpu_count()} cores; {asked.recipe}, {asked.workers} workers, seed {asked.seed}")
    print(f"unbroken build: {seconds:.1f} s, {len(wanted)} files")
    print("| starts | killed | restarts | equal files | stage reached |")
    print("|---|---|---|---|---|")
    stages = ", ".join(f"{stage} {count}" for stage, count in at.items())
    print(f"| {asked.kills} | {killed} | {asked.kills} | {equal} | {stages} |")
    sys.exit(equal != asked.kills)


if __name__ == "__main__":
    main()
