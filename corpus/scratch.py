"""Temporary folders that do not outlive their process for long: whoever makes the next one removes those of the dead.

A worker that is killed cannot clean up, and its mirror of a run in a store may be large. The kernel lets go of a dead
process's lock, so a number that was given out again, or one of another container, is not taken for its owner.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

_PREFIX = "winnow-"
_LOCK = ".lock"


class Scratch:
    """A folder, held until `close` or the end of this process. Use it in a `with`, or close it."""

    def __init__(self) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = (self.path / f"{_LOCK}.new").open("w")
        with contextlib.suppress(OSError):  # a file system without locks: then nobody sweeps it
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It has its name only once it is held, or another could take it for a dead one's.
            os.rename(self._lock.name, self.path / _LOCK)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sweep() -> None:
    """Remove the folders whose processes are gone; leave what cannot be opened, another user's for one."""
    for found in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError), found.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(found.parent, ignore_errors=True)
