"""A run in an S3-compatible store: the bytes of a run in a folder, resumable anywhere, one build at a time."""

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import prose, write_jsonl
from local_store import BUCKET, environment, local_store, reached

from corpus import cli, files, lock, remove
from corpus.build import build
from corpus.fetch import NotFetched, fetch
from corpus.lock import FolderInUse, held_in_store
from corpus.store import Mirror
from corpus.views import NotARun, Run
from corpus.write import FOLDERS

RECIPE = """
steps = ["quality", "c4_lines"]
[[sources]]
name = "texts"
kind = "jsonl"
files = ["{folder}/*.jsonl"]
[write]
split_mb = 0.01
"""
# A build whose lock is dead to others after six seconds, not thirty.
SHORT_BEATS = "import sys, corpus.lock; corpus.lock.BEAT_SECONDS = 4; from corpus.cli import main; main()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    rows = [{"url": f"https://a.example/{n}", "text": prose(n % 12, 12)} for n in range(14)]
    rows += [{"url": f"https://b.example/{n}", "text": prose(n, 13)} for n in range(5, 10)]
    rows += [{"url": "https://c.example/", "text": "Too short."}]
    write_jsonl(path / "a.jsonl", rows)
    (path / "recipe.toml").write_text(RECIPE.format(folder=path))
    return path


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[dict[str, str]]:
    with local_store(folder) as found, reached(found):
        yield found


@pytest.fixture(scope="module")
def right(folder: Path, store: dict[str, str]) -> dict[str, Any]:
    """The manifest of a build into `folder`/run; the same is built into the store."""
    told = build(folder / "recipe.toml", folder / "run")
    assert build(folder / "recipe.toml", address("run")) == told
    return told


def modified(pattern: str) -> dict[str, files.FoundFile]:
    return {file.path: file for file in files.listed(pattern)}


def address(name: str) -> str:
    return f"s3://{BUCKET}/runs/{name}"


def stored(url: str) -> dict[str, bytes]:
    found = {}
    for file in files.listed(f"{url}/**"):
        with files.open_binary(file.path) as opened:
            found[file.path.removeprefix(f"{url}/")] = opened.read()
    return found


def local(run: Path) -> dict[str, bytes]:
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name[0] != "."}


def corpus(found: dict[str, bytes]) -> dict[str, bytes]:
    """What of a run may not differ: all but what it took."""
    return {name: data for name, data in found.items() if name not in ("stages/timing.json", "report.html")}


def test_the_store_holds_the_bytes_of_a_folder_and_nothing_else(folder: Path, right: dict[str, Any]) -> None:
    assert {"near_duplicate", "exact_duplicate", "too_short"} <= right["reasons"].keys()
    assert len(right["parts"]) > 2
    assert corpus(stored(address("run"))) == corpus(local(folder / "run"))


def test_a_finished_run_is_not_built_again(folder: Path, right: dict[str, Any]) -> None:
    before = modified(f"{address('run')}/**")
    assert build(folder / "recipe.toml", address("run")) == right
    after = modified(f"{address('run')}/**")
    assert before.keys() == after.keys()
    changed = {path for path in after if after[path] != before[path]}
    assert not [path for path in changed if path.endswith(".parquet")]


def test_what_is_fetched_is_a_run(folder: Path, right: dict[str, Any], tmp_path: Path) -> None:
    fetch(address("run"), tmp_path / "whole")
    assert corpus(local(tmp_path / "whole")) == corpus(local(folder / "run"))
    with Run(tmp_path / "whole") as run:
        assert run.rows("select count(*) as n from docs") == [{"n": right["docs"]}]
    assert fetch(address("run"), tmp_path / "whole") < 100_000  # only what is small is looked at again
    fetch(address("run"), tmp_path / "docs", ["docs"])
    assert not any((tmp_path / "docs" / other).exists() for other in FOLDERS if other != "docs")


def test_a_fetch_refuses_what_is_not_the_run_as_it_was_built(
    folder: Path, right: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(NotFetched, match="no finished run"):
        fetch(address("none"), tmp_path / "none")
    fetch(address("run"), tmp_path / "run")
    (tmp_path / "run" / "tombstones.json").write_text('{"tombstones": [{"id": "ab", "reason": "asked"}]}')
    with pytest.raises(NotFetched, match=r"its tombstones\.json is not that of"):  # or a takedown would be undone
        fetch(address("run"), tmp_path / "run")

    bad = f"docs/part-{right['parts'][0]}.parquet"
    good = (folder / "run" / bad).read_bytes()
    other = (folder / "run" / f"docs/part-{right['parts'][1]}.parquet").read_bytes()
    for damage in (other, good[: len(good) // 2]):
        files.put(damage, f"{address('run')}/{bad}")
        with pytest.raises(NotFetched, match="is not what was built"):
            fetch(address("run"), tmp_path / "damaged")
        assert not (tmp_path / "damaged" / "manifest.json").exists()
    files.put(good, f"{address('run')}/{bad}")
    fetch(address("run"), tmp_path / "damaged")
    assert corpus(local(tmp_path / "damaged")) == corpus(local(folder / "run"))


def test_commands_that_ask_a_run_say_how_to_bring_it_here(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with pytest.raises(NotARun, match="python -m corpus fetch s3://bucket/web-1 runs/web-1"):
        Run(Path("s3://bucket/web-1"))
    monkeypatch.setattr(sys, "argv", ["corpus", "remove", "s3://bucket/web-1", "--id", "ab" * 16])
    with pytest.raises(SystemExit):
        cli.main()
    assert "python -m corpus fetch s3://bucket/web-1 runs/web-1" in capsys.readouterr().err


def test_objects_that_are_damaged_or_gone_are_made_anew(folder: Path, right: dict[str, Any], capsys: Any) -> None:
    url, run = address("run"), local(folder / "run")
    parts = right["parts"]
    damaged = [f"stages/measure/part-{parts[0]}.keys.arrow", f"stages/extract/part-{parts[1]}.parquet"]
    for name in damaged:
        files.put(run[name][::-1], f"{url}/{name}")
    gone = [f"docs/part-{parts[2]}.parquet", "stages/dedup/dedup.done.json", f"stages/write/part-{parts[1]}.done.json"]
    files.delete([f"{url}/{name}" for name in gone])
    assert build(folder / "recipe.toml", url) == right
    assert corpus(stored(url)) == corpus(run)
    said = capsys.readouterr().err
    assert all(f"{url}/{name}: is damaged; made anew" in said for name in damaged)


def test_more_input_and_less_again(store: dict[str, str], tmp_path: Path) -> None:
    url = address("grows")
    write_jsonl(tmp_path / "a.jsonl", [{"text": prose(n, 12), "id": str(n)} for n in range(4)])
    (tmp_path / "recipe.toml").write_text(RECIPE.format(folder=tmp_path))
    less = build(tmp_path / "recipe.toml", url)
    first = stored(url)
    more = write_jsonl(tmp_path / "b.jsonl", [{"text": prose(n + 2, 12), "id": f"b{n}"} for n in range(4)])
    both = build(tmp_path / "recipe.toml", url)
    assert both["read"] == 8
    assert both["reasons"] == {"exact_duplicate": 2}
    more.unlink()
    assert build(tmp_path / "recipe.toml", url) == less
    assert corpus(stored(url)) == corpus(first)  # what belonged to the other file is gone


def test_what_was_taken_down_leaves_the_store(store: dict[str, str], tmp_path: Path) -> None:
    url = address("taken")
    write_jsonl(tmp_path / "a.jsonl", [{"text": prose(n, 12), "url": f"https://a.example/{n}"} for n in range(4)])
    (tmp_path / "recipe.toml").write_text(RECIPE.format(folder=tmp_path))
    before = build(tmp_path / "recipe.toml", url)
    fetch(url, tmp_path / "run")
    remove.remove(tmp_path / "run", urls=["https://a.example/2"])
    obeying = (tmp_path / "recipe.toml").read_text().replace("steps", f"tombstones = ['{tmp_path / 'run'}']\nsteps", 1)
    (tmp_path / "recipe.toml").write_text(obeying)
    after = build(tmp_path / "recipe.toml", url)
    assert after["read"] == before["read"]
    assert after["docs"] == before["docs"] - 1
    assert after["reasons"] == {"takedown": 1}
    tables = [pq.read_table(io.BytesIO(data)) for name, data in stored(url).items() if name.endswith(".parquet")]
    texts = [text for table in tables if "text" in table.column_names for text in table["text"].to_pylist()]
    assert prose(1, 12) in texts
    assert prose(2, 12) not in texts


def command(store: dict[str, str], folder: Path, url: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", SHORT_BEATS, "build", str(folder / "recipe.toml"), "--out", url, "--workers", "1"]
    return subprocess.Popen(words, env=environment(store), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_a_killed_build_goes_on_elsewhere(folder: Path, store: dict[str, str], right: dict[str, Any]) -> None:
    url = address("killed")
    killed = command(store, folder, url)
    until = time.monotonic() + 400
    while not files.listed(f"{url}/stages/dedup/*") and killed.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    killed.kill()
    killed.communicate()
    done = {file.path: file for file in files.listed(f"{url}/stages/extract/*.done.json")}
    assert done, killed.returncode
    finished = bool(files.listed(f"{url}/manifest.json"))

    again = command(store, folder, url)
    said = again.communicate(timeout=400)[1]
    assert again.returncode == 0, said
    assert finished or "is dead; going on in its place" in said
    after = {file.path: file for file in files.listed(f"{url}/stages/extract/*.done.json")}
    assert all(after[path] == found for path, found in done.items())  # what was done is not done again
    assert json.loads(stored(url)["manifest.json"]) == right
    assert corpus(stored(url)) == corpus(stored(address("run")))


def test_a_second_build_refuses(store: dict[str, str]) -> None:
    url = address("locked")
    with held_in_store(url, 1.0), pytest.raises(FolderInUse, match="is writing here"), held_in_store(url, 1.0):
        pass
    with held_in_store(url, 1.0):  # neither left anything
        assert len(files.listed(f"{url}/lock/*")) == 1
    assert not files.listed(f"{url}/lock/*")


def test_a_lock_that_cannot_be_read_is_not_gone(store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    url = address("unread")
    with held_in_store(url, 1.0):

        def out(path: str) -> Any:
            raise OSError("503 slow down")

        monkeypatch.setattr(files, "open_binary", out)
        with (
            pytest.raises(files.StoreFailed, match="the lock of another build cannot be read"),
            held_in_store(url, 1.0),
        ):
            pass


def test_of_builds_that_begin_together_at_most_one_goes_on(store: dict[str, str]) -> None:
    url, inside, most = address("together"), [0], [0]

    def one() -> None:
        try:
            with held_in_store(url, 1.0):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(1)
                inside[0] -= 1
        except FolderInUse:
            pass

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 1
    assert not files.listed(f"{url}/lock/*")


def test_a_build_that_was_taken_for_dead_changes_nothing_more(store: dict[str, str], tmp_path: Path) -> None:
    url = address("paused")
    with held_in_store(url, 60) as check:
        mirror = Mirror(url, tmp_path, check)
        (tmp_path / "recipe.json").write_text("{}")
        mirror.push()
        files.delete([file.path for file in files.listed(f"{url}/lock/*")])  # what one that takes over does
        (tmp_path / "manifest.json").write_text("{}")
        with pytest.raises(FolderInUse, match="another may go on in its place"):
            mirror.push()
    assert sorted(stored(url)) == ["recipe.json"]


def test_a_build_that_stood_still_stops_though_its_object_is_there(
    store: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = address("late")
    with held_in_store(url, 10) as check:
        check()
        now = time.monotonic()
        monkeypatch.setattr(lock, "_now", lambda: now + 1e9)
        assert files.listed(f"{url}/lock/*")
        with pytest.raises(FolderInUse, match="no sign of life for 50 s"):
            check()


def test_marks_are_stored_after_their_files_and_removed_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    url = "s3://bucket/run"
    monkeypatch.setattr(files, "put", lambda data, path: told.append(f"+ {path.removeprefix(url)}"))
    monkeypatch.setattr(files, "delete", lambda paths: told.extend(f"- {path.removeprefix(url)}" for path in paths))
    names = ("manifest.json", "a/part-1.done.json", "a/part-1.parquet", "b/part-2.parquet")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    mirror = Mirror(url, tmp_path)
    mirror.push()
    assert sorted(told[:2]) == ["+ /a/part-1.parquet", "+ /b/part-2.parquet"]
    assert told[2:] == ["+ /a/part-1.done.json", "+ /manifest.json"]
    told.clear()
    mirror.push()
    assert not told
    for name in names:
        (tmp_path / name).unlink()
    mirror.push()
    assert told[0] == "- /a/part-1.done.json"
    assert len(told) == 4


def test_a_bucket_that_is_not_there_is_one_line(folder: Path, store: dict[str, str]) -> None:
    with pytest.raises(files.StoreFailed, match=r"s3://no-such-bucket/run/lock/.*NoSuchBucket"):
        build(folder / "recipe.toml", "s3://no-such-bucket/run")
