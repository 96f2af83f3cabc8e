"""A document that takes too long ends its process, and the heartbeat tells which one it was."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from corpus.guard import NOWHERE, Heartbeat, cause_of_death

HANG = """
import sys, time
from pathlib import Path
from corpus.guard import Heartbeat
beat = Heartbeat(Path(sys.argv[1]))
with beat.document(1, 5.0):
    pass
beat.done(1, 100)
with beat.document(2, 0.2):
    sum(10 ** 8 ** 2 for _ in iter(int, 1))
"""


def test_the_kernel_ends_a_document_that_takes_too_long(tmp_path: Path) -> None:
    path = tmp_path / "beat"
    Heartbeat.create(path)
    run = subprocess.run([sys.executable, "-c", HANG, str(path)], check=False, timeout=30)
    assert run.returncode == -signal.SIGALRM
    assert Heartbeat.look(path) == (2, 1, 100)


def test_between_documents_nothing_is_in_hand(tmp_path: Path) -> None:
    path = tmp_path / "beat"
    Heartbeat.create(path)
    beat = Heartbeat(path)

    def fail() -> None:
        with beat.document(4, 10.0):
            assert Heartbeat.look(path)[0] == 4
            raise ValueError("parser")

    with pytest.raises(ValueError, match="parser"):
        fail()
    assert Heartbeat.look(path)[0] == NOWHERE
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    beat.close()


def test_a_heartbeat_that_is_gone_says_nothing(tmp_path: Path) -> None:
    assert Heartbeat.look(tmp_path / "none") == (NOWHERE, 0, 0)


@pytest.mark.parametrize(
    ("exitcode", "reason", "detail"),
    [
        (-signal.SIGALRM, "extract_timeout", "longer than"),
        (-signal.SIGSEGV, "extract_crash", "SIGSEGV"),
        (3, "extract_crash", "exit status 3"),
        (None, "extract_crash", "exit status None"),
    ],
)
def test_cause_of_death(exitcode: int | None, reason: str, detail: str) -> None:
    told = cause_of_death(exitcode)
    assert told[0] == reason
    assert detail in told[1]
