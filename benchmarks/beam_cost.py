"""What Beam and the pool of workers cost: the build beside the same functions in a plain loop, in one process.

    python benchmarks/beam_cost.py [--megabytes 40] [--rounds 3]

The same input (JSON lines made of ../shared/data) and recipe for both, whole processes in turn on one worker. Seconds
of processor time are of a process and its children, so what runs beside it does not count; both runs end with the
same content hashes. Expected: at most 10 % more processor time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from curation import ROOT, SHARED
from text_curation import RECIPE, overrides


def loop(run: Path, settings: list[str]) -> None:
    """A build without Beam and without workers: every stage's function on every part, one after the other."""
    from corpus import marks, measure
    from corpus import recipe as recipes
    from corpus.dedup.buckets import collisions
    from corpus.documents import documents_part
    from corpus.duplicates import gather_part, propose, shingles_part, write_verdicts
    from corpus.guard import Heartbeat
    from corpus.manifest import finish
    from corpus.plan import Task, plan
    from corpus.write import write_part

    recipe = recipes.load(RECIPE, settings)
    planned, stage = plan(recipe), marks.stage_settings(recipe)
    tasks = [Task(run, part, recipe, {**marks.part_marks(part, stage, {}), "write": ""}) for part in planned.parts]
    (run / "stages" / "dedup").mkdir(parents=True)
    beat = run / "heartbeat"
    Heartbeat.create(beat)
    for task in tasks:
        documents_part(task, {}, beat)
    numbered = list(enumerate(tasks))
    groups: dict[int, list[bytes]] = defaultdict(list)
    for item in numbered:
        for space, payload in gather_part(item, {}, beat)["entries"]:
            groups[space].append(payload)
    met = ((space, collisions(payloads)) for space, payloads in groups.items())
    colliding = [(space, found) for space, found in met if found is not None]
    sets = [shingles_part(item, {}, beat) for item in propose(numbered, colliding)]
    write_verdicts(numbered, colliding, sets)
    for task in tasks:
        task.marks["write"] = measure.fingerprint(task)
        write_part(task, {}, beat)
    finish(recipe, planned, run, tasks)


def timed(command: list[Any], log: Path) -> tuple[float, float]:
    """Seconds by the clock, and of processor time with children."""
    started = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(log.read_text()[-2000:])
    return time.perf_counter() - started, used.ru_utime + used.ru_stime


def main() -> None:
    """Run both in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=40)
    parser.add_argument(
        "--texts", type=Path, help="a folder to keep the input in, or where it lies from an earlier run"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop:
        loop(Path(options.loop[0]), options.loop[1:])
        return
    import resampled

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = options.texts or folder / "texts"
        if not texts.exists():
            resampled.write(SHARED / "data", texts, options.megabytes * 1e6, 8)
        count, size = resampled.measured(texts)
        settings = overrides(texts)
        print(f"{count:,} documents, {size / 1e6:.1f} MB of JSON lines, one worker")
        print(f"{'round':>5} {'loop s':>8} {'build s':>8} {'loop cpu s':>11} {'build cpu s':>12} {'more cpu':>9}")
        told = []
        for number in range(options.rounds + 1):  # the first is for nothing: byte code, kernels, files read once
            runs = [folder / f"{kind}-{number}" for kind in ("loop", "build")]
            sets = [word for setting in settings for word in ("--set", setting)]
            build = [sys.executable, "-m", "corpus", "build", RECIPE, "--out", runs[1], "--workers", 1, *sets]
            plain = timed([sys.executable, __file__, "--loop", runs[0], *settings], folder / "log")
            beam = timed(build, folder / "log")
            hashes = [json.loads((run / "manifest.json").read_text())["docs_hash"] for run in runs]
            assert hashes[0] == hashes[1], "the two ways end with other documents"
            if number:
                told.append((plain, beam))
                more = beam[1] / plain[1] - 1
                print(
                    f"{number:5} {plain[0]:8.1f} {beam[0]:8.1f} {plain[1]:11.1f} {beam[1]:12.1f} {more:+9.1%}",
                    flush=True,
                )
        print(f"median {statistics.median(beam[1] / plain[1] - 1 for plain, beam in told):+.1%} of processor time")


if __name__ == "__main__":
    main()
