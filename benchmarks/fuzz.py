"""Mutated WARC, HTML, EPUB, JSONL, Parquet, zstd and wiki files against the readers and a whole build.

    python benchmarks/fuzz.py [--cases 10000] [--first 0] [--builds 10] [--workers 2] [--seconds 40] [--minutes 60]

Each case is one file, read, extracted and measured as a build does it, on workers that may die. A case fails where
the worker dies outside a document, a part is not finished, it takes longer than --seconds of processor time, rows
and counts disagree, a file that holds something leaves no row without a reason, or something is opened for writing
outside the run folder. Every hundredth case is a costly one. --builds sets of 50 cases go through `build`, which
proves kept + ledger = read. Prints a table by kind of mutation; exit status 1 where a case failed.
"""

import argparse
import dataclasses
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from fuzz_files import CHEAP, COSTLY, case

from corpus import marks, recipe
from corpus.build import build
from corpus.documents import documents_part
from corpus.failures import Failure
from corpus.plan import Task, plan
from corpus.workers import Skip, Workers

STEPS = ["url", "extract", "language", "repetition", "quality"]
KINDS = ("warc", "html", "epub", "jsonl", "parquet", "text", "wiki")
_outside: list[str] = []
_allowed: list[str] = []


@dataclasses.dataclass
class Tally:
    cases: int = 0
    rows: int = 0
    rejected: Counter[str] = dataclasses.field(default_factory=Counter)
    failed: list[str] = dataclasses.field(default_factory=list)
    peak_mb: float = 0.0
    slowest: float = 0.0

    def add(self, told: dict[str, Any]) -> None:
        self.cases += 1
        self.rows += told["rows"]
        self.rejected.update(told["reasons"])
        self.peak_mb = max(self.peak_mb, told["peak_mb"])
        self.slowest = max(self.slowest, told["seconds"])
        self.failed += [told["failed"]] if "failed" in told else []


def watch_writes(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: what is opened for writing, made or moved outside the run folder."""
    if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        path = args[0]
    elif event in ("os.mkdir", "os.rename", "os.link", "os.symlink"):
        path = args[0] if event == "os.mkdir" else args[1]
    else:
        return
    if isinstance(path, str | bytes | os.PathLike):
        path = os.path.abspath(os.fsdecode(path))
        if not any(path.startswith(allowed) for allowed in _allowed) and "__pycache__" not in path:
            _outside.append(path)


def fuzz_part(item: tuple[Task, float], skip: Skip, heartbeat: Path) -> dict[str, Any]:
    """One case on a worker: what a build does with a part, and what it cost."""
    task, seconds = item
    if not _allowed:
        sys.addaudithook(watch_writes)
    _allowed[:] = [str(task.run), str(heartbeat.parent), "/dev/", "/proc/self"]  # the run folder is another each time
    _outside.clear()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    used = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, seconds)  # ends the process if it is caught outside every document
    try:
        documents_part(task, skip, heartbeat)
        failed = ""
    except BaseException as error:
        failed = f"{type(error).__name__}: {error}"
    signal.setitimer(signal.ITIMER_PROF, 0)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    told = {"seconds": time.process_time() - used, "peak_mb": int(peak.split()[1]) / 1024, "rows": 0, "reasons": {}}
    return told | (_books(task) if not failed else {}) | _writes() | ({"failed": failed} if failed else {})


def _writes() -> dict[str, str]:
    return {"failed": f"wrote {_outside[0]}"} if _outside else {}


def _books(task: Task) -> dict[str, Any]:
    """Rows of the part: each has a text or a reason, and the mark says how many there are."""
    from corpus.parts import marked

    counts = marked(task.mark("extract"))
    rows = pq.read_table(task.file("stages/extract"), columns=["text", "failure", "url"])
    signals = pq.read_metadata(task.file("stages/measure")).num_rows
    failures = pc.struct_field(rows["failure"], "reason").combine_chunks()
    neither = pc.sum(pc.and_(pc.is_null(rows["text"]), pc.is_null(failures))).as_py() or 0
    told: dict[str, Any] = {"rows": rows.num_rows, "reasons": counts["failures"], "neither": neither}
    if not rows.num_rows == counts["rows"] == signals:
        told["failed"] = f"{rows.num_rows} rows, {counts['rows']} counted, {signals} measured"
    return told


def tasks(folder: Path, numbers: range) -> tuple[list[Task], dict[str, Any]]:
    """Write the cases as files; a task for each, and what each was."""
    cases = {}
    for number in numbers:
        made = case(number)
        path = folder / "in" / made.reader / f"{number}{made.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made.data)
        cases[str(path)] = (made.mutation, made.seed, number)
    kinds = [kind for kind in KINDS if (folder / "in" / kind).exists()]
    raw = {
        "steps": STEPS,
        "sources": [{"name": kind, "kind": kind, "files": [f"{folder}/in/{kind}"]} for kind in kinds],
        "extract": {"seconds": 5.0},
        "write": {"split_mb": 0.000001},
    }
    made_recipe = recipe.parse(raw, "fuzz")
    # One task for each file, whole: the splits of one file are put together again.
    big = dataclasses.replace(made_recipe, write=dataclasses.replace(made_recipe.write, split_mb=1_000_000))
    settings = marks.stage_settings(big)
    planned = []
    for source in big.sources:
        for path in sorted((folder / "in" / source.kind).iterdir()):
            if path.stat().st_size:
                alone = dataclasses.replace(source, files=(str(path),))
                planned += plan(dataclasses.replace(big, sources=(alone,))).parts
    return [Task(folder / "run", part, big, marks.part_marks(part, settings, {})) for part in planned], cases


def run(workers: Workers, folder: Path, numbers: range, seconds: float, tallies: dict[str, Tally]) -> None:
    found, cases = tasks(folder, numbers)
    for task in found:
        mutation, seed, number = cases[task.part.splits[0].path]
        try:
            [told] = workers.run(fuzz_part, [(task, seconds)])
        except Failure as error:
            told = {"failed": str(error), "rows": 0, "reasons": {}, "seconds": seconds, "peak_mb": 0}
        if "failed" in told:
            told["failed"] = f"case {number} ({mutation}, {seed} as {task.part.source.kind}): {told['failed'][:300]}"
        tallies[mutation].add(told)
        tallies[f"{seed} files"].add(told)
    shutil.rmtree(folder)


def builds(folder: Path, first: int, number: int) -> list[str]:
    """Sets of 50 mutated files through whole builds; what failed."""
    failed, read = [], 0
    for at in range(number):
        here = folder / f"build-{at}"
        found, _ = tasks(here, range(first + at * 50, first + at * 50 + 50))
        sources = "".join(
            f'[[sources]]\nname = "{s}"\nkind = "{s}"\nfiles = ["{here}/in/{s}"]\n'
            for s in sorted({task.part.source.kind for task in found})
        )
        (here / "r.toml").write_text(f"steps = {STEPS}\n{sources}[extract]\nseconds = 5\n[write]\nsplit_mb = 0.1\n")
        try:
            told = build(here / "r.toml", here / "run", num_workers=2)
            read += told["read"]
            assert told["read"] == told["docs"] + told["ledger"]
        except Exception as error:
            failed.append(f"build of cases {first + at * 50} and on: {type(error).__name__}: {error}"[:400])
        shutil.rmtree(here)
    print(f"{number} whole builds of 50 mutated files: {read:,} records read, kept + ledger = read in each")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--builds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no further cases after these")
    options = parser.parse_args()
    started = time.perf_counter()
    last = options.first + options.cases
    groups = [range(at, min(at + 100, last)) for at in range(options.first, last, 100)]
    tallies: dict[str, Tally] = defaultdict(Tally)
    before = set(Path("/tmp").iterdir()) | set(Path("/").iterdir())
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        outer = Path(name)

        def work() -> None:
            workers = Workers(1)
            try:
                # The first pages compile kernels: no case should pay for that.
                run(workers, outer / "a" / "warm" / str(threading.get_ident()), range(20), 600, defaultdict(Tally))
                while groups and time.perf_counter() - started < options.minutes * 60:
                    numbers = groups.pop(0)
                    print(f"from case {numbers.start}", file=sys.stderr, flush=True)
                    run(workers, outer / "a" / "b" / str(numbers.start), numbers, options.seconds, tallies)
            finally:
                workers.close()

        threads = [threading.Thread(target=work) for _ in range(options.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        failed = builds(outer / "a" / "b", options.first, options.builds)
        escaped = [str(path) for path in outer.rglob("*fuzz-escaped*")]
        after = set(Path("/tmp").iterdir()) | set(Path("/").iterdir())
        escaped += [str(path) for path in after - before if "fuzz-escaped" in path.name]
    mutations = sorted({*CHEAP, *COSTLY} & set(tallies))
    print("| | cases | records | in ledger | slowest s | peak MB | failed |\n|---|---:|---:|---:|---:|---:|---:|")
    for name in [*mutations, *sorted(set(tallies) - set(mutations))]:
        t = tallies[name]
        print(f"| {name} | {t.cases:,} | {t.rows:,} | {t.rejected.total():,} | {t.slowest:.1f} | {t.peak_mb:.0f} | "
              f"{len(t.failed)} |")  # fmt: skip
    failed += [told for name in mutations for told in tallies[name].failed]
    reasons = sum((tallies[name].rejected for name in mutations), Counter[str]())
    print("reasons: " + ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()))
    failed += [f"written outside the run folder: {path}" for path in escaped]
    print("\n".join(failed))
    cases = sum(tallies[name].cases for name in mutations)
    print(f"{cases} cases in {time.perf_counter() - started:.0f} s on {options.workers} workers: {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
