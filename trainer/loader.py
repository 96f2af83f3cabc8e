"""The rows of a step as micro-batches, read by a thread while the steps before are computed."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from trainer.order import Order
from trainer.shards import Batch, Shards


class Loader:
    """One rank's share of any step. Reading is pure, so steps may be asked for in any order: after a restore, too.

    A step that was read ahead is kept until it or a later one is asked for, so nothing is read twice.
    """

    def __init__(
        self,
        shards: Shards,
        split: str,
        order: Order,
        length: int,
        rank: int = 0,
        ranks: int = 1,
        micro_rows: int = 0,
        ahead: int = 4,
    ) -> None:
        """`micro_rows`: rows of a micro-batch at most, 0 for all at once. `ahead`: steps held in memory."""
        self._shards, self._split, self._order, self._length = shards, split, order, length
        self._rank, self._ranks, self._micro_rows, self._ahead = rank, ranks, micro_rows, ahead
        self._thread = ThreadPoolExecutor(1, "loader")
        self._held: dict[int, Future[list[Batch]]] = {}

    def step(self, step: int) -> list[Batch]:
        """The micro-batches of a step; empty where this rank has no row of it. Raises whatever reading raised."""
        wanted = range(step, step + self._ahead + 1)
        for held in [number for number in self._held if number not in wanted]:
            self._held.pop(held).cancel()
        for number in wanted:
            if number not in self._held:
                self._held[number] = self._thread.submit(self._read, number)
        return self._held.pop(step).result()

    def _read(self, step: int) -> list[Batch]:
        return list(self._micro_batches(step))

    def _micro_batches(self, step: int) -> Iterator[Batch]:
        source, row = self._order.rows_at(step, self._rank, self._ranks)
        size = self._micro_rows or max(len(row), 1)
        for start in range(0, len(row), size):
            piece = slice(start, start + size)
            yield self._shards.read(self._split, source[piece], row[piece], self._length)

    def close(self) -> None:
        """Stop reading ahead; what is being read is waited for."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
