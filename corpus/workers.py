"""A pool of processes that may die: each task runs in one, a death names a document, and the task goes on without it.

pebble keeps the processes; this file adds what it cannot know: which document was in hand (corpus/guard.py),
and that a task may be started again with that document left out.
"""

import atexit
import contextlib
import ctypes
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pebble

from corpus.failures import Failure
from corpus.guard import NOWHERE, READING, Heartbeat, beside, cause_of_death
from corpus.scratch import Scratch

Skip = dict[int, tuple[str, str]]  # position -> (reason, detail) of documents that ended a worker
Work = Callable[[Any, Skip, Path], Any]  # work(task, skip, heartbeat)

_PRELOADED = "corpus.preload"
# pebble looks every 0.1 s whether something ended; stages are short. Every 0.01 s cost 0.7 s of processor time in 25.
pebble.CONSTS.sleep_unit = 0.05

_DEATHS_WITHOUT_DOCUMENT = 2  # a worker that dies elsewhere (out of memory, killed by hand) is tried again this often
_PR_SET_PDEATHSIG = 1


class WorkerDied(Failure):
    """A task could not be finished, and no single document is to blame."""


class Workers:
    """`num_workers` processes. `run` yields each task's result as it is finished."""

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._pool = self._new_pool()
        self._folder = Scratch()
        self._lock = threading.Lock()
        self._serial = 0
        self.active: set[Path] = set()  # heartbeats of tasks in hand, for the progress line

    def start(self) -> None:
        """Start the processes now, from this thread, rather than with the first task."""
        _ = self._pool.active

    def run(self, work: Work, tasks: Sequence[Any]) -> Iterator[Any]:
        """Results in the order in which tasks end. Raises what a task raised, or WorkerDied."""
        waiting = list(reversed(tasks))
        running: dict[Future[Any], tuple[Any, Skip, Path, int]] = {}
        while waiting or running:
            # Few at a time: a queue of thousands would hold every task in memory twice.
            while waiting and len(running) < 2 * self.num_workers:
                self._submit(work, waiting.pop(), {}, 0, running)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task, skip, heartbeat, deaths = running.pop(future)
                error = future.exception()
                seen = Heartbeat.look(heartbeat)[0]
                self._forget(heartbeat)
                if error is None:
                    yield future.result()
                elif isinstance(error, BrokenProcessPool):
                    self._mend()
                    if deaths == _DEATHS_WITHOUT_DOCUMENT:
                        raise WorkerDied(f"the pool of workers broke {deaths + 1} times at the same task") from error
                    self._submit(work, task, skip, deaths + 1, running)
                elif isinstance(error, pebble.ProcessExpired):
                    deaths = self._blame(error, seen, skip, deaths)
                    self._submit(work, task, skip, deaths, running)
                else:
                    self._cancel(running)
                    raise error

    def close(self) -> None:
        self._pool.stop()
        self._pool.join()
        self._folder.close()

    def _new_pool(self) -> pebble.ProcessPool:
        here = dict(
            os.environ
        )  # which the server that workers are forked from saw long ago: a store's address and keys
        return pebble.ProcessPool(self.num_workers, initializer=_start, initargs=[here], context=_context())

    def _mend(self) -> None:
        """pebble gives up the whole pool where a worker dies before it has said which task it took: start another."""
        with self._lock:
            if not self._pool.active:
                self._pool.stop()
                self._pool.join()
                self._pool = self._new_pool()

    def _submit(self, work: Work, task: Any, skip: Skip, deaths: int, running: dict[Any, Any]) -> None:
        with self._lock:
            self._serial += 1
            heartbeat = self._folder.path / str(self._serial)
            Heartbeat.create(heartbeat)
            self.active.add(heartbeat)
        running[self._pool.schedule(work, args=[task, skip, heartbeat])] = (task, skip, heartbeat, deaths)

    def _forget(self, heartbeat: Path) -> None:
        with self._lock:
            self.active.discard(heartbeat)
        heartbeat.unlink(missing_ok=True)
        shutil.rmtree(beside(heartbeat), ignore_errors=True)

    def _cancel(self, running: dict[Future[Any], Any]) -> None:
        for future, (_, _, heartbeat, _) in running.items():
            future.cancel()
            self._forget(heartbeat)

    @staticmethod
    def _blame(error: pebble.ProcessExpired, position: int, skip: Skip, deaths: int) -> int:
        by_hand = error.exitcode in (-signal.SIGKILL, -signal.SIGTERM)  # or out of memory: no parser's own doing
        if position != NOWHERE and not (position >= READING and by_hand):
            skip[position] = cause_of_death(error.exitcode)
            return deaths
        if deaths == _DEATHS_WITHOUT_DOCUMENT:
            raise WorkerDied(
                f"a worker died {deaths + 1} times at the same task, outside any document "
                f"(exit status {error.exitcode}; -9 often means out of memory)"
            ) from error
        return deaths + 1


def prepare() -> None:
    """Begin to load what workers need, beside whatever this process does next: workers are forked from a server."""
    if sys.platform == "linux":
        _context()
        forkserver.ensure_running()
        atexit.register(_end_server)


def _end_server() -> None:
    """It would end by itself; waited for, its seconds and its workers' count as this process's.

    It has nothing to save, and takes 0.6 s to take its libraries apart: it is killed.
    """
    server: Any = forkserver.__dict__["_forkserver"]
    if server._forkserver_pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server._forkserver_pid, signal.SIGKILL)
        server._stop()


def _context() -> Any:
    if sys.platform != "linux":  # forks of loaded libraries are not safe everywhere
        return multiprocessing.get_context("spawn")
    forkserver.set_forkserver_preload([_PRELOADED])
    return multiprocessing.get_context("forkserver")


def die_with_parent() -> None:
    """The kernel ends this process when the one that started it ends, however."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _start(environment: dict[str, str]) -> None:
    """In a new worker: die with the server, which dies with us; leave Ctrl-C to the parent, and take one core only."""
    os.environ.update(environment)
    die_with_parent()
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():  # it died before prctl
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
