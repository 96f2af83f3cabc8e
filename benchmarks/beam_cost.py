"""What Beam and the pool of workers cost: the build beside the same functions in a plain loop, in one process.

    python benchmarks/beam_cost.py [--megabytes 100] [--rounds 3]

The same input (JSON lines made of ../shared/data) and recipe for both, whole processes in turn on one worker. Seconds
of processor time are of a process and its children, so what runs beside it does not count; both runs end with the
report and the same content hashes. Expected: at most 10 % more processor time. What Beam takes to load is the same
however large the input is.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from curation import SHARED, our_python, timed
from text_curation import RECIPE, overrides

Work = Callable[..., Any]


def loop(run: Path, settings: list[str]) -> None:
    """A build without Beam and without workers: every stage's function on every part, one after the other."""
    from corpus import duplicates, marks, measure, report_html
    from corpus import recipe as recipes
    from corpus.documents import documents_part
    from corpus.guard import Heartbeat
    from corpus.manifest import finish, write_timing
    from corpus.parts import write_json
    from corpus.plan import Task, plan
    from corpus.write import write_part

    started = time.perf_counter()
    recipe = recipes.load(RECIPE, settings)
    planned, stage = plan(recipe), marks.stage_settings(recipe)
    tasks = [Task(run, part, recipe, {**marks.part_marks(part, stage, {}), "write": ""}) for part in planned.parts]
    folder, beat = run / duplicates.FOLDER, run / "heartbeat"
    folder.mkdir(parents=True)
    write_json(run / "recipe.json", recipe.resolved())
    Heartbeat.create(beat)

    def each(work: Work, items: Iterable[Any], *given: Any) -> list[Any]:
        return [work(*given, item, {}, beat) for item in items]

    each(documents_part, tasks)
    grouped = duplicates.groups(list(enumerate(tasks)))
    gathered = each(duplicates.gather, grouped, folder, duplicates.ranges(tasks))
    places: dict[Any, list[Any]] = defaultdict(list)
    for place, found in (pair for told in gathered for pair in told["places"]):
        places[place].append(found)
    met = each(duplicates.meet, places.items(), folder)
    connected = each(duplicates.connect, duplicates.all_that_met(grouped, gathered, met), folder)
    described = each(duplicates.describe, duplicates.where_any(grouped, connected), folder)
    decided = duplicates.batches(grouped, connected, described)
    settled = each(duplicates.settle, decided, folder, recipe.dedup, [])
    each(duplicates.deliver, duplicates.deliveries(grouped, settled))
    for task in tasks:
        task.marks["write"] = measure.fingerprint(task)
    each(write_part, tasks)
    finish(recipe, planned, run, tasks)
    write_timing(run, 1, {}, started)
    report_html.end_build(run)


def main() -> None:
    """Run both in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100)
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
            build = [our_python(), "-m", "corpus", "build", RECIPE, "--out", runs[1], "--workers", 1, *sets]
            plain = timed([our_python(), __file__, "--loop", runs[0], *settings], folder / "log")
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
