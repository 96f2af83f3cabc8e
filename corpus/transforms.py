"""The thin Beam coats: each step is a pure function of this package, here it gets a label and types.

Only this file and corpus/pipeline.py know Beam. Neither texts nor hashes cross a step: tasks, counts and names of
files do.
"""

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from corpus.workers import Work, Workers

# The process that runs the steps keeps one pool for all stages, and hears of every result. On a remote runner, where
# nobody set them, a worker starts a pool of one: the sandbox in which a page may hang or crash.
_workers: Workers | None = None
_listener: Callable[[Any], None] | None = None
_starting = threading.Lock()
_failures: list[Exception] = []  # what a task raised: Beam would wrap it in forty lines of its own


def use(workers: Workers | None, listener: Callable[[Any], None] | None) -> list[Exception]:
    """Let steps in this process use `workers` and tell `listener` of each result; returns where failures go."""
    global _workers, _listener
    _workers, _listener = workers, listener
    _failures.clear()
    return _failures


def _pool() -> Workers:
    with _starting:  # a remote worker may run several bundles at once
        if _workers is None:
            ready = threading.Event()
            threading.Thread(target=_start, args=(ready,), daemon=True).start()
            ready.wait()
        assert _workers is not None
        return _workers


def _start(ready: threading.Event) -> None:
    """A pool's processes end with the thread that started them, and Beam's threads come and go: this one stays."""
    global _workers
    pool = Workers(1)
    pool.start()
    _workers = pool
    ready.set()
    threading.Event().wait()


class _OnWorkers(beam.DoFn):
    """A bundle's tasks are handed to the pool together, so that all cores have work."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._tasks: list[Any] = []

    def start_bundle(self) -> None:
        self._tasks = []

    def process(self, task: Any) -> None:
        self._tasks.append(task)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        try:
            for result in _pool().run(self._work, self._tasks):
                if _listener is not None and isinstance(result, dict):
                    _listener(result)
                yield GlobalWindows.windowed_value(result)
        except Exception as error:
            _failures.append(error)
            raise


@dataclasses.dataclass
class OnWorkers(beam.PTransform):
    """tasks -> results of `work`, each made in a process that may die."""

    work: Work

    def expand(self, tasks: beam.PCollection) -> beam.PCollection:
        return tasks | beam.ParDo(_OnWorkers(self.work)).with_output_types(Any)


@dataclasses.dataclass
class After(beam.PTransform):
    """One element and all results of earlier steps -> items, made once all of those are there, for `work`."""

    items: Callable[..., Iterable[Any]]  # items(element, *results of each step)
    work: Work
    steps: Sequence[beam.PCollection]
    spread: bool  # over the workers of a runner

    def expand(self, once: beam.PCollection) -> beam.PCollection:
        waiting = [beam.pvalue.AsList(step) for step in self.steps]
        items = once | "items" >> beam.FlatMap(self.items, *waiting).with_output_types(Any)
        if self.spread:
            items |= beam.Reshuffle()
        return items | OnWorkers(self.work)


@dataclasses.dataclass
class Meet(beam.PTransform):
    """Results with `places` -> what `work` makes of all slices of a place. Names of files are shuffled, not hashes."""

    work: Work

    def expand(self, results: beam.PCollection) -> beam.PCollection:
        return (
            results
            | "places" >> beam.FlatMap(_places).with_output_types(tuple[tuple[int, int], tuple[str, int, int, int]])
            | beam.GroupByKey()
            | "slices" >> beam.Map(_together).with_output_types(Any)
            | OnWorkers(self.work)
        )


def _places(result: dict[str, Any]) -> list[Any]:
    places: list[Any] = result["places"]
    return places


def _together(group: tuple[Any, Iterable[Any]]) -> tuple[Any, list[Any]]:
    return group[0], list(group[1])
