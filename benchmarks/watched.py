"""A build in a process of its own, and what it took: time of each stage, peak memory of each of its processes."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STAGES = ("start", "documents", "dedup", "write", "proof")  # the proof of the books, and the report
_EVERY = 0.1  # seconds between looks
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Watched:
    """Peaks in MB: VmHWM of the process that builds and of its largest worker; PSS of all processes together."""

    main: float
    worker: float
    together: float
    seconds: dict[str, float]
    processor: dict[str, float]  # seconds of all its processes, by stage; a stage's edges are a look apart
    manifest: dict[str, Any]

    @property
    def row(self) -> str:
        return f"{self.main:,.0f} | {self.worker:,.0f} | {self.together:,.0f}"


def build(recipe: Path, run: Path, workers: int = 1) -> Watched:
    """Raises RuntimeError with what the build said where it failed."""
    words = [sys.executable, "-m", "corpus", "build", str(recipe), "--out", str(run), "--workers", str(workers)]
    with (run.parent / f"{run.name}.log").open("w+b") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
        peaks: dict[int, float] = {}
        used: dict[int, float] = {}
        processor = dict.fromkeys(STAGES, 0.0)
        together, looks = 0.0, 0
        while process.poll() is None:
            pids = family(process.pid)
            for pid in pids:
                peaks[pid] = max(peaks.get(pid, 0), kilobytes(pid, "status", "VmHWM"))
                spent = processor_seconds(pid)
                processor[stage(run, Path(log.name))] += max(0.0, spent - used.get(pid, 0.0))
                used[pid] = max(spent, used.get(pid, 0.0))
            if looks % 10 == 0:
                together = max(together, sum(kilobytes(pid, "smaps_rollup", "Pss") for pid in pids))
            looks += 1
            time.sleep(_EVERY)
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"{recipe}: the build failed: {log.read().decode()[-2000:]}")
    timing = json.loads((run / "stages" / "timing.json").read_text())
    main = peaks.pop(process.pid)
    manifest = json.loads((run / "manifest.json").read_text())
    seconds = timing["stages"] | {"total": timing["total"]}
    return Watched(main / 1e3, max(peaks.values(), default=0) / 1e3, together / 1e3, seconds, processor, manifest)


def stage(run: Path, log: Path) -> str:
    """The stage that a build is in, by its files and by what it said."""
    if not (run / "stages" / "extract").exists():
        return "start"
    said = log.read_text("utf-8", "replace")
    return next((name for name in STAGES[1:-1] if f"{name}: done" not in said), STAGES[-1])


def processor_seconds(pid: int) -> float:
    try:
        numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(numbers[11]) + int(numbers[12])) / _TICKS  # utime, stime


def family(pid: int) -> list[int]:
    """A process and those below it."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def kilobytes(pid: int, file: str, name: str) -> float:
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}:")), 0.0)
