"""One build at a time in a run folder, and only the build that the folder was begun with."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from corpus.failures import Failure


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
