"""Why one bad page cannot stop a build: a worker tells which document it is at, and dies if that takes too long.

The kernel's own timer ends the process (SIGALRM with its default action), so a parser that never gives the
interpreter lock back is ended too. What was being read stays in a small shared file, the heartbeat: whoever
started the worker reads it, and starts the work again without that document.
"""

import contextlib
import mmap
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

_STATE = struct.Struct("<qqq")  # position of the document in hand, documents done, bytes done
NOWHERE = -1
READING = 1 << 40  # and up: reading a record, in place of having one in hand


class Heartbeat:
    """24 bytes in a shared file: which document is in hand, how many documents and bytes are done."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), _STATE.size)
        self.documents = 0
        self.bytes = 0

    @staticmethod
    def create(path: Path) -> None:
        path.write_bytes(_STATE.pack(NOWHERE, 0, 0))

    @staticmethod
    def look(path: Path) -> tuple[int, int, int]:
        """(position, documents, bytes) as the worker last said."""
        try:
            return _STATE.unpack(path.read_bytes())
        except (OSError, struct.error):
            return NOWHERE, 0, 0

    @contextlib.contextmanager
    def document(self, position: int, seconds: float) -> Iterator[None]:
        """Hold one document for at most `seconds`; past that this process is gone."""
        self.hold(position, seconds)
        try:
            yield
        finally:
            self.release()

    def hold(self, position: int, seconds: float) -> None:
        """The same without a block: until the next `hold` or `release`."""
        self._say(position)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def release(self) -> None:
        """Nothing is in hand."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._say(NOWHERE)

    def done(self, documents: int, num_bytes: int) -> None:
        self.documents += documents
        self.bytes += num_bytes
        self._say(NOWHERE)

    def _say(self, position: int) -> None:
        self._map[:] = _STATE.pack(position, self.documents, self.bytes)

    def close(self) -> None:
        self._map.close()
        self._file.close()


def cause_of_death(exitcode: int | None) -> tuple[str, str]:
    """The ledger's reason and detail for a worker that died at a document."""
    if exitcode == -signal.SIGALRM:
        return "extract_timeout", "took longer than extract.seconds"
    if exitcode is not None and exitcode < 0:
        with contextlib.suppress(ValueError):
            return "extract_crash", f"the worker was ended by {signal.Signals(-exitcode).name}"
    return "extract_crash", f"the worker ended with exit status {exitcode}"
