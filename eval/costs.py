"""What each stage of a ladder cost: seconds, documents looked at, rows read forwards and backwards."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Cost:
    """Of one stage. A forward or backward is of one row of tokens."""

    seconds: float = 0.0
    documents: int = 0
    forwards: int = 0
    backwards: int = 0

    def add(self, documents: int = 0, forwards: int = 0, backwards: int = 0) -> None:
        self.documents += documents
        self.forwards += forwards
        self.backwards += backwards


@dataclass
class Costs:
    """By stage, in the order in which they first ran."""

    of: dict[str, Cost] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Cost]:
        """Seconds of the block count for the stage; what it reads is added by hand."""
        cost = self.of.setdefault(name, Cost())
        started = time.perf_counter()
        try:
            yield cost
        finally:
            cost.seconds += time.perf_counter() - started

    def lines(self) -> list[str]:
        """One line for each stage."""
        return [
            f"{name:<10} {c.seconds:>8.1f} s  {c.documents:>7,} documents  {c.forwards:>7,} forwards  "
            f"{c.backwards:>7,} backwards"
            for name, c in self.of.items()
        ]
