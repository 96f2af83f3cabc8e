"""Killed at random moments, a build ends with the bytes of an unbroken one: a table of how often it did.

    python benchmarks/kills.py [RECIPE] [--kills 50] [--workers 2] [--seed 1] [--set key=value]

One unbroken build says how long each stage takes and what its files are. Then, stage after stage in turn: start, kill
-9 of the whole process group at a random moment of that stage, start again without a kill, compare the manifest and
every file of docs/, ledger/, signals/, duplicates/ and edits/. Without a recipe: 1,500 texts of benchmarks/grown.py in
11 parts, one in eight a copy.
"""

import argparse
import hashlib
import json
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

import grown

# What shows that a stage has begun.
BEGINS = {"start": ".", "documents": "stages/extract", "dedup": "stages/dedup", "write": "docs"}
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


def lengths(run: Path) -> dict[str, float]:
    """Seconds of each stage of an unbroken build; the books are proved at the end of `write`."""
    timing = json.loads((run / "stages" / "timing.json").read_text())
    found = {stage: timing["stages"].get(stage, 0.0) for stage in BEGINS}
    found["write"] += timing["stages"].get("proof", 0.0)
    return found | {"start": timing["total"] - sum(found.values())}


def kill(process: subprocess.Popen[bytes], begun: Path, seconds: float) -> bool:
    """Kill all of a build so many seconds after `begun` is there; False where it ended before."""
    while not begun.exists() and process.poll() is None:
        time.sleep(0.002)
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return True
    finally:
        process.communicate()


def own_recipe(folder: Path) -> str:
    grown.write(folder / "in.jsonl", grown.lines(6), documents=1_500)
    recipe = folder / "recipe.toml"
    recipe.write_text(grown.RECIPE.format(file=folder / "in.jsonl", split=0.1, most=64 << 20))
    return str(recipe)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", nargs="?")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    tried, killed, equal = (dict.fromkeys(BEGINS, 0) for _ in range(3))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        build = (asked.recipe or own_recipe(folder), folder / "killed", asked.workers, asked.overrides)
        finish(build[0], folder / "unbroken", *build[2:])
        wanted, seconds = hashes(folder / "unbroken"), lengths(folder / "unbroken")
        for number in range(asked.kills):
            stage = list(BEGINS)[number % len(BEGINS)]
            tried[stage] += 1
            killed[stage] += kill(start(*build), build[1] / BEGINS[stage], draw.uniform(0, seconds[stage]))
            finish(*build)
            same = hashes(build[1]) == wanted
            equal[stage] += same
            shutil.rmtree(build[1])
            print(f"{number + 1}/{asked.kills}: {stage}, {'equal' if same else 'DIFFERS'}", file=sys.stderr, flush=True)
    told = ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {asked.workers} workers, seed {asked.seed}; {len(wanted)} files"
    )
    print(f"seconds of an unbroken build: {told}")
    print("| stage | builds | killed in it | files equal after the restart |\n|---|---:|---:|---:|")
    for stage in BEGINS:
        print(f"| {stage} | {tried[stage]} | {killed[stage]} | {equal[stage]} |")
    print(f"| all | {asked.kills} | {sum(killed.values())} | {sum(equal.values())} |")
    sys.exit(sum(equal.values()) != asked.kills)


if __name__ == "__main__":
    main()
