"""What a killed process leaves in the temporary folder goes when the next one comes; what is in use stays."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from corpus.scratch import Scratch, sweep

_KILLED = """
import os, signal
from corpus.scratch import Scratch
folder = Scratch().path
(folder / "7.files").mkdir()
(folder / "7.files" / "docs").write_text("a mirror")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_folder_goes_with_its_block(folder: Path) -> None:
    with Scratch() as path:
        assert path.parent == folder
        (path / "file").touch()
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_nothing_else(folder: Path) -> None:
    (folder / "winnow-duckdb").mkdir()  # has no lock, and may be in use
    (folder / "other").mkdir()
    with Scratch() as mine:
        (mine / "file").touch()
        died = subprocess.run([sys.executable, "-c", _KILLED], check=False)
        assert died.returncode == -signal.SIGKILL
        [left] = set(folder.iterdir()) - {mine, folder / "winnow-duckdb", folder / "other"}
        assert (left / "7.files" / "docs").exists()
        with Scratch() as another:
            assert not left.exists()
            sweep()
            assert (mine / "file").exists()
            assert another.exists()
    assert sorted(path.name for path in folder.iterdir()) == ["other", "winnow-duckdb"]
