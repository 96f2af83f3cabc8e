"""One build at a time in a run folder, here or in a store."""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from corpus import files
from corpus.failures import Failure

BEAT_SECONDS = 5.0  # between signs of life of a build in a store
_BEATS_TO_DEATH = 6
_BEATS_OF_LEASE = 5  # fewer: what another may take for dead has stopped before


class FolderInUse(Failure):
    """The message says which folder, and by whom."""


@contextlib.contextmanager
def held(run: Path) -> Iterator[None]:
    """Hold the folder for this process; a second build refuses. The kernel lets go when the process ends, however."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f"{run}: another build is writing here; wait for it or choose another --out") from None
        yield


@contextlib.contextmanager
def held_in_store(url: str, beat_seconds: float | None = None) -> Iterator[Callable[[], None]]:
    """Hold a run in a store; yields a function that raises FolderInUse once another build has taken the run over.

    Each build shows an object of its own under lock/ first and looks for others after that, so of two at least one
    sees the other and refuses: a store that lists what was stored is enough. A build that lives changes its object
    again and again; one that does not within six beats, counted here and by no clock of another machine, is taken for
    dead. A build whose last change is five beats old, because it or the store stood still, stops before it changes
    anything more: a change that was on its way meanwhile may arrive after its object was removed, and bring it back.
    Its workers write what the others do.
    """
    beat = beat_seconds or BEAT_SECONDS
    mine = f"{url}/lock/{secrets.token_hex(8)}.json"
    lost, stop = threading.Event(), threading.Event()

    signed = 0.0

    def sign(count: int) -> None:
        nonlocal signed
        began = _now()
        files.put(json.dumps({"host": socket.gethostname(), "process": os.getpid(), "beat": count}).encode(), mine)
        signed = began

    def check() -> None:
        if lost.is_set() or _now() - signed > _BEATS_OF_LEASE * beat or not files.listed(mine):
            lost.set()
            raise FolderInUse(
                f"{url}: this build gave no sign of life for {_BEATS_OF_LEASE * beat:.0f} s, and another may go on in "
                "its place; the same command goes on where this one ended"
            )

    def live() -> None:
        count = 0
        while not stop.wait(beat):
            count += 1
            with contextlib.suppress(files.StoreFailed):  # the next beat may get through
                try:
                    check()
                except FolderInUse:
                    return
                sign(count)

    sign(0)
    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    try:
        for other in files.listed(f"{url}/lock/*"):
            if other.path != mine:
                _bury(url, other.path, beat)
        yield check
    finally:
        stop.set()
        thread.join()
        files.delete([mine])


def _now() -> float:
    """Seconds that count while the machine sleeps, where it can tell."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _bury(url: str, other: str, beat: float) -> None:
    """Remove the lock of a build that is dead. Raises FolderInUse where it lives."""
    first = _read(other)
    who = f"the build of process {first.get('process')} on {first.get('host')}"
    if first:
        print(f"{url}: looking whether {who} still lives, {_BEATS_TO_DEATH * beat:.0f} s at most", file=sys.stderr)
    for _ in range(_BEATS_TO_DEATH):
        time.sleep(beat)
        now = _read(other)
        if not now:  # it has ended meanwhile
            return
        if now != first:
            raise FolderInUse(f"{url}: {who} is writing here; wait for it or choose another --out")
    files.delete([other])
    print(f"{url}: {who} is dead; going on in its place", file=sys.stderr)


def _read(path: str) -> dict[str, Any]:
    """What a lock says; empty where there is none. Raises StoreFailed for one that is there and is not given."""
    try:
        with files.open_binary(path) as file:
            found: dict[str, Any] = json.loads(file.read())
    except ValueError:
        return {}
    except Exception as error:  # each store's client has errors of its own, also for what is gone
        if files.listed(path):  # out for a moment is not gone
            raise files.StoreFailed(f"{path}: the lock of another build cannot be read: {error}") from error
        return {}
    return found
