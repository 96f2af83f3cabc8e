"""What a person sees while a model trains: a bar on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_LINE_SECONDS = 10.0  # between plain lines


class Meter:
    """Speed and time left, and the line that tells them. Silent on all ranks but the first."""

    def __init__(self, steps: int, done: int, loud: bool) -> None:
        self._steps, self._loud = steps, loud
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._mark = self._line = time.monotonic()
        self._mark_step, self._mark_tokens = done, 0
        self.tokens_per_second = 0.0
        console = Console(stderr=True)
        if loud and console.is_terminal:
            columns = (TextColumn("train"), BarColumn(24), TextColumn("{task.percentage:>3.0f} %"),
                       TimeElapsedColumn(), TextColumn("{task.fields[line]}"))  # fmt: skip
            self._bar = Progress(*columns, console=console, refresh_per_second=4)
            self._task = self._bar.add_task("train", total=steps, completed=done, line="")
            self._bar.start()

    def step(self, step: int, tokens: int, loss: float, mfu: Any) -> dict[str, Any] | None:
        """Count a step. Every ten seconds: what timing.jsonl is to hold. mfu: tokens/s -> share of peak, or None."""
        self._mark_tokens += tokens
        now = time.monotonic()
        due = now - self._line >= _LINE_SECONDS or step == self._steps
        if not due and self._bar is None:
            return None
        seconds = max(now - self._mark, 1e-6)
        speed = self._mark_tokens / seconds
        left = (self._steps - step) * seconds / max(step - self._mark_step, 1)
        share = mfu(speed)
        told = [f"step {step:,} of {self._steps:,}", f"loss {loss:.3f}", f"{speed:,.0f} tokens/s"]
        told += [] if share is None else [f"MFU {share:.1%}"]
        told.append(f"ETA {clock(left)}")
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step, line=" · ".join(told))
        elif self._loud:
            self.say(" · ".join(told))
        if not due:
            return None
        self._line, self._mark, self._mark_step, self._mark_tokens = now, now, step, 0
        self.tokens_per_second = speed
        return {
            "tokens_per_second": round(speed, 1),
            "mfu": None if share is None else round(share, 4),
            "seconds_left": round(left, 1),
        }

    def pause(self) -> None:
        """What took time without training, such as an evaluation, is over: do not count it as slow steps."""
        self._mark, self._mark_tokens = time.monotonic(), 0

    def say(self, line: str) -> None:
        """A line above the bar, or in the log."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        elif self._loud:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def lines_of(what: str) -> Callable[[int, int], None]:
    """told(done, in all) prints a plain line every ten seconds, and none for what is done sooner."""
    last = time.monotonic()

    def told(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            print(f"{what} {done:,} of {total:,}", file=sys.stderr, flush=True)

    return told


def clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
