"""Finding files: what a pattern means, here and in a bucket."""

import os
import sys
import types
from pathlib import Path

import pytest

from corpus import files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.txt", "sub/c.txt", "sub/deep/d.md", ".hidden", "[odd].txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(folder: Path, pattern: str) -> list[str]:
    return [os.path.relpath(found.path, folder) for found in files.find(pattern)]


def test_patterns(folder: Path) -> None:
    assert names(folder, f"{folder}/*.txt") == ["[odd].txt", "a.txt", "b.txt"]
    assert names(folder, f"{folder}/**/*.txt") == ["[odd].txt", "a.txt", "b.txt", "sub/c.txt"]
    assert names(folder, f"{folder}/[odd].txt") == ["[odd].txt"]
    everything = ["[odd].txt", "a.txt", "b.txt", "sub/c.txt", "sub/deep/d.md"]
    assert names(folder, str(folder)) == everything
    assert names(folder, f"{folder}/**") == everything


def test_size_and_time(folder: Path) -> None:
    [found] = files.find(f"{folder}/a.txt")
    assert (found.size, found.modified) == (5, os.stat(folder / "a.txt").st_mtime)
    assert files.size(found.path) == 5


def test_relative_patterns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert [found.path for found in files.find("sub/*.txt")] == ["sub/c.txt"]


def test_an_empty_match_names_the_pattern(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing-\*\.warc"):
        files.find(f"{folder}/nothing-*.warc")


def test_files_are_opened_as_they_are(folder: Path) -> None:
    with files.open_binary(f"{folder}/a.txt") as file:
        file.seek(2)
        assert file.read() == b"txt"


def test_remote_paths_go_through_beam(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = [
        types.SimpleNamespace(path=f"gs://b/x/{name}", size_in_bytes=3, last_updated_in_seconds=7)
        for name in ("2.txt", "1.txt", ".tmp")
    ]
    asked: list[str] = []

    class Store:
        @staticmethod
        def match(patterns: list[str]) -> list[types.SimpleNamespace]:
            asked.extend(patterns)
            return [types.SimpleNamespace(metadata_list=meta if patterns[0].endswith("*") else [])]

    monkeypatch.setattr(files, "_filesystems", lambda path: Store)
    expected = [files.FoundFile("gs://b/x/1.txt", 3, 7.0), files.FoundFile("gs://b/x/2.txt", 3, 7.0)]
    assert files.find("gs://b/x/*") == expected
    assert files.find("gs://b/x") == expected
    assert asked == ["gs://b/x/*", "gs://b/x", "gs://b/x/**"]


def test_a_store_that_nothing_here_can_read_is_named() -> None:
    with pytest.raises(files.NoStore, match=r"nowhere://b/x: nowhere:// cannot be read here; give s3://"):
        files.find("nowhere://b/x")


def test_local_files_do_not_load_beam() -> None:
    import subprocess

    code = "import sys; from corpus import files; files.find('.'); sys.exit('apache_beam' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(files.__file__).parent.parent).returncode == 0
