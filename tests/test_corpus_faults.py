"""Faults in the middle of a build: each ends in a finished, right run, or in one clear line."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import prose, write_jsonl

from corpus import build as builds
from corpus import cli
from corpus.build import build
from corpus.failures import Failure
from corpus.parts import Damaged

RECIPE = """
steps = ["quality", "c4_lines"]
[[sources]]
name = "texts"
kind = "jsonl"
files = ["{folder}/*.jsonl"]
[write]
split_mb = 0.02
"""
NUM_DOCUMENTS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults")
    rows = [{"url": f"https://a.example/{n}", "text": prose(n, 14)} for n in range(NUM_DOCUMENTS)]
    rows += [{"url": f"https://b.example/{n}", "text": prose(n, 14) + "\nA word more."} for n in range(10)]
    write_jsonl(path / "texts.jsonl", rows)
    (path / "recipe.toml").write_text(RECIPE.format(folder=path))
    return path


@pytest.fixture(scope="module")
def right(folder: Path) -> dict[str, Any]:
    """The manifest of an unbroken build, in `folder`/run."""
    return build(folder / "recipe.toml", folder / "run")


@contextlib.contextmanager
def mounted(path: Path, options: str) -> Iterator[None]:
    """A small file system; skips where nobody may mount one."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small file system to be had: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def command(folder: Path, out: Path) -> tuple[int, str]:
    """Status and stderr of a build."""
    words = [sys.executable, "-m", "corpus", "build", str(folder / "recipe.toml"), "--out", str(out), "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=200)
    return done.returncode, done.stderr


def errors(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if not line.startswith(("documents:", "dedup:", "write:"))]


def test_a_full_disk_and_then_room_again(folder: Path, right: dict[str, Any], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "size=48k"):
        status, stderr = command(folder, disk / "run")
        [line] = errors(stderr)
        assert status == 1
        assert line.startswith("error: the disk is full; free some space and run the same command again")
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert build(folder / "recipe.toml", disk / "run") == right


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "stages/extract/part-0.parquet")

    monkeypatch.setattr(builds, "build", full)
    monkeypatch.setattr(sys, "argv", ["corpus", "build", "recipe.toml", "--out", "run"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("error: the disk is full")


def test_an_output_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "ro,size=1m"):
        status, stderr = command(folder, tmp_path / "disk" / "run")
    assert status == 1
    [line] = errors(stderr)
    assert "Read-only file system" in line
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        build(folder / "recipe.toml", tmp_path / "file" / "run")


# What is flipped, and which marks go, so that the next build reads it.
CORRUPT = {
    "stages/extract/part-*[0-9a-f].parquet": ["measure", "dedup", "write"],
    "stages/extract/part-*.edits.parquet": ["measure", "dedup", "write"],
    "stages/measure/part-*[0-9a-f].parquet": ["dedup", "write"],
    "stages/measure/part-*.keys.arrow": ["dedup", "write"],
    "stages/measure/part-*.edits.parquet": ["write"],
    "stages/dedup/part-*.parquet": ["write"],
}


@pytest.mark.parametrize("pattern", CORRUPT)
@pytest.mark.parametrize("how", ["flipped", "cut off"])
def test_a_corrupt_intermediate_is_made_anew(
    folder: Path, right: dict[str, Any], tmp_path: Path, pattern: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    victim = sorted(run.glob(pattern))[0]
    content = bytearray(victim.read_bytes())
    content[len(content) // 3] ^= 0x10
    victim.write_bytes(content if how == "flipped" else content[: len(content) // 2])
    for stage in CORRUPT[pattern]:
        for mark in (run / "stages" / stage).glob("*.done.json"):
            mark.unlink()
    assert build(folder / "recipe.toml", run) == right
    assert f"{victim}: is damaged; made anew" in capsys.readouterr().err


def test_a_file_that_is_damaged_again_and_again_is_named(
    folder: Path, right: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from corpus import pipeline

    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)

    def broken(self: Any) -> None:
        raise Damaged("stages/x.parquet", str(run / "stages" / "x.done.json"))

    monkeypatch.setattr(pipeline.Build, "_write", broken)
    with pytest.raises(Damaged, match=r"stages/x\.parquet: is damaged .* delete it and build again"):
        build(folder / "recipe.toml", run)


def test_a_final_file_that_cannot_be_read_is_named(folder: Path, right: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    victim = sorted((run / "docs").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(Failure, match="cannot be read; delete it and build again") as told:
        build(folder / "recipe.toml", run)
    assert "\n" not in str(told.value)
    victim.unlink()
    assert build(folder / "recipe.toml", run) == right


def test_a_file_that_a_filter_reads_is_swapped(folder: Path, tmp_path: Path) -> None:
    """Same name, size and time, other content: what was measured with the old one is measured again."""
    blocked = tmp_path / "blocked.txt"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        RECIPE.format(folder=folder).replace('"quality",', '"url", "extract", "quality",')
        + f'[url]\ndomains = ["{blocked}"]\n'
    )
    blocked.write_text("a.example\n")
    os.utime(blocked, (1, 1))
    first = build(recipe, tmp_path / "run")
    blocked.write_text("b.example\n")
    os.utime(blocked, (1, 1))
    second = build(recipe, tmp_path / "run")
    assert second == build(recipe, tmp_path / "fresh")
    assert first["docs_hash"] != second["docs_hash"]


def test_a_clock_that_goes_back(
    folder: Path, right: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files from the future, marks from the past, and a clock that runs backwards while the build goes on."""
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    for path in sorted(run.rglob("*")):
        os.utime(path, (0, 0) if path.suffix == ".json" else (4e9, 4e9))
    for mark in (run / "stages" / "write").iterdir():
        mark.unlink()
    start, real = time.time(), time.time
    monkeypatch.setattr(time, "time", lambda: 2 * start - real())
    extracted = {path: path.stat().st_mtime for path in (run / "stages" / "extract").iterdir()}
    assert build(folder / "recipe.toml", run) == right
    assert extracted == {path: path.stat().st_mtime for path in (run / "stages" / "extract").iterdir()}


def test_the_second_of_two_builds_refuses_and_the_first_is_right(
    folder: Path, right: dict[str, Any], tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "corpus", "build", str(folder / "recipe.toml"), "--out", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    first = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "recipe.json").exists():
        assert first.poll() is None
        time.sleep(0.05)
    status, stderr = command(folder, tmp_path / "run")
    assert status == 1
    assert errors(stderr) == [
        f"error: {tmp_path / 'run'}: another build is writing here; wait for it or choose another --out"
    ]
    first.communicate(timeout=200)
    assert first.returncode == 0
    assert build(folder / "recipe.toml", tmp_path / "run") == right
