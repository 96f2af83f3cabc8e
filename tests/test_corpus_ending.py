"""A command ends at once, and as it would have ended."""

import os
import subprocess
import sys

import pytest


def ended(body: str, stdout: str | None = None) -> subprocess.CompletedProcess[str]:
    script = f"import atexit, sys\nfrom corpus import ending\ndef main():\n    {body}\nending.run(main)\n"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open(stdout or "/dev/null", "w") as out:
        return subprocess.run(
            [sys.executable, "-c", script], stdout=out if stdout else subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, check=False, env=buffered,
        )  # fmt: skip


@pytest.mark.parametrize(("code", "status"), [("0", 0), ("None", 0), ("3", 3), ("True", 1)])
def test_nothing_that_was_printed_is_lost(code: str, status: int) -> None:
    done = ended(f"print('x' * 9, end=''); print('y', end='', file=sys.stderr); sys.exit({code})")
    assert (done.stdout, done.stderr, done.returncode) == ("x" * 9, "y", status)


def test_what_is_registered_for_the_end_is_done() -> None:
    assert ended("atexit.register(print, 'last'); sys.exit(0)").stdout == "last\n"


def test_a_message_and_an_exception_go_their_usual_way() -> None:
    assert "no such thing" in ended("sys.exit('no such thing')").stderr
    broken = ended("raise ValueError('odd')")
    assert broken.returncode == 1
    assert "ValueError: odd" in broken.stderr


def test_what_cannot_be_written_is_no_success() -> None:
    assert ended("print('x'); sys.exit(0)", "/dev/full").returncode == 120
