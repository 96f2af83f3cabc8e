"""What a person sees while a build runs: a bar per stage on a terminal, plain lines in a log.

Finished parts are counted by the parent; what is in hand is read from the workers' heartbeats.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from corpus.guard import Heartbeat

_LINE_SECONDS = 10.0  # between plain lines
_BAR_SECONDS = 0.25


class Meter:
    """Counts of one stage: documents, bytes, and how many of the stage's units are done."""

    def __init__(self, name: str, total: int) -> None:
        self.name = name
        self.total = total
        self.documents = self.bytes = self.units = 0
        self.kept: int | None = None
        self.state = "running"
        self._started = time.monotonic()

    def part_done(self, documents: int, num_bytes: int, units: int, kept: int | None = None) -> None:
        self.documents += documents
        self.bytes += num_bytes
        self.units += units
        if kept is not None:
            self.kept = (self.kept or 0) + kept

    def line(self, in_hand: tuple[int, int] = (0, 0)) -> str:
        """1,234 docs · 250 docs/s · 36.1 MB/s · 61 % kept · ETA 0:12"""
        seconds = max(time.monotonic() - self._started, 1e-6)
        documents, num_bytes = self.documents + in_hand[0], self.bytes + in_hand[1]
        told = [f"{documents:,} docs", f"{documents / seconds:,.0f} docs/s"]
        if num_bytes:
            told.append(f"{num_bytes / 1e6 / seconds:,.1f} MB/s")
        if self.kept is not None and self.documents:
            told.append(f"{self.kept / self.documents:.0%} kept")
        share = self.share(in_hand)
        if 0 < share < 1:
            told.append(f"ETA {_clock(seconds / share - seconds)}")
        return " · ".join(told)

    def share(self, in_hand: tuple[int, int] = (0, 0)) -> float:
        """Done, from 0 to 1. Bytes in hand are inflated, input bytes are not: only documents count ahead."""
        ahead = 0.0
        if self.documents and in_hand[0]:
            ahead = in_hand[0] * self.units / self.documents
        return min((self.units + ahead) / self.total, 1.0) if self.total else 1.0


@contextlib.contextmanager
def showing(meter: Meter, active: Callable[[], list[Path]]) -> Iterator[None]:
    """Show a meter while the block runs. `active` lists the heartbeats of tasks in hand."""
    console = Console(stderr=True)
    stop = threading.Event()
    show = _bar if console.is_terminal else _lines
    thread = threading.Thread(target=show, args=(console, meter, active, stop), daemon=True)
    thread.start()
    try:
        yield
        meter.state = "done"
    except BaseException:
        meter.state = "stopped"
        raise
    finally:
        stop.set()
        thread.join()


def _in_hand(active: Callable[[], list[Path]]) -> tuple[int, int]:
    seen = [Heartbeat.look(path) for path in active()]
    return sum(s[1] for s in seen), sum(s[2] for s in seen)


def _bar(console: Console, meter: Meter, active: Callable[[], list[Path]], stop: threading.Event) -> None:
    columns = (TextColumn("{task.description:<8}"), BarColumn(30), TextColumn("{task.percentage:>3.0f} %"),
               TimeElapsedColumn(), TextColumn("{task.fields[line]}"))  # fmt: skip
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task(meter.name, total=1.0, line="")
        while not stop.wait(_BAR_SECONDS):
            hand = _in_hand(active)
            progress.update(task, completed=meter.share(hand), line=meter.line(hand))
        progress.update(task, completed=meter.share(), line=meter.line())


def _lines(console: Console, meter: Meter, active: Callable[[], list[Path]], stop: threading.Event) -> None:
    while not stop.wait(_LINE_SECONDS):
        hand = _in_hand(active)
        print(f"{meter.name}: {meter.share(hand):.0%} · {meter.line(hand)}", file=sys.stderr, flush=True)
    print(f"{meter.name}: {meter.state} · {meter.line()}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
