"""Tasks in processes that may die: blame falls on the document in hand, on the task only when there is none."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from corpus.guard import READING, Heartbeat
from corpus.workers import Skip, WorkerDied, Workers


def work(task: dict[str, Any], skip: Skip, heartbeat: Path) -> dict[str, Any]:
    """Tasks of ten documents; some of them kill."""
    with contextlib.closing(Heartbeat(heartbeat)) as beat:
        return documents(task, skip, beat)


def documents(task: dict[str, Any], skip: Skip, beat: Heartbeat) -> dict[str, Any]:
    if task.get("dies outside"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "raises" in task:
        raise ValueError(task["raises"])
    for position in [*range(10), *task.get("reads", ())]:
        if position not in skip:
            with beat.document(position, 1.0):
                if position in task.get("kills", ()):
                    os.kill(os.getpid(), task.get("signal", signal.SIGSEGV))
                while position in task.get("hangs", ()):
                    pass
    return {"name": task["name"], "skip": skip, "pid": os.getpid()}


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    pool = Workers(2)
    yield pool
    pool.close()


def test_every_task_gives_one_result(workers: Workers) -> None:
    results = list(workers.run(work, [{"name": n} for n in range(20)]))
    assert sorted(result["name"] for result in results) == list(range(20))
    assert os.getpid() not in {result["pid"] for result in results}
    assert not workers.active


def test_a_task_goes_on_without_the_documents_that_killed_it(workers: Workers) -> None:
    tasks = [{"name": "bad", "kills": [2, 7], "hangs": [4]}, {"name": "good"}]
    skips = {result["name"]: result["skip"] for result in workers.run(work, tasks)}
    assert {position: reason for position, (reason, _) in skips["bad"].items()} == {
        2: "extract_crash",
        4: "extract_timeout",
        7: "extract_crash",
    }
    assert skips["good"] == {}


def test_a_reader_that_ends_its_worker_is_blamed_but_not_for_a_kill(workers: Workers) -> None:
    reads = {"name": "bad", "reads": [READING, READING + 1], "kills": [READING + 1]}
    [result] = workers.run(work, [{**reads, "signal": signal.SIGABRT}])
    assert result["skip"] == {READING + 1: ("extract_crash", "the worker was ended by SIGABRT")}
    with pytest.raises(WorkerDied):
        list(workers.run(work, [{**reads, "signal": signal.SIGKILL}]))


def test_a_worker_that_dies_outside_any_document_is_tried_again_and_then_told(workers: Workers) -> None:
    with pytest.raises(WorkerDied, match=r"died 3 times .*exit status -9"):
        list(workers.run(work, [{"name": "x", "dies outside": True}]))
    assert [result["name"] for result in workers.run(work, [{"name": "after"}])] == ["after"]


def test_an_error_of_the_task_is_raised_as_it_is(workers: Workers) -> None:
    with pytest.raises(ValueError, match="no such column"):
        list(workers.run(work, [{"name": "x", "raises": "no such column"}]))


def lingering(task: str, skip: Skip, heartbeat: Path) -> None:
    Path(task).write_text(str(os.getpid()))
    while True:
        time.sleep(1)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word that a parent died is Linux's")
def test_workers_end_with_the_process_that_started_them_even_if_it_is_killed(tmp_path: Path) -> None:
    code = "import sys, test_corpus_workers as t; list(t.Workers(1).run(t.lingering, [sys.argv[1]]))"
    parent = subprocess.Popen([sys.executable, "-c", code, tmp_path / "pid"], cwd=Path(__file__).parent)
    try:
        worker = int(_soon(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    finally:
        parent.kill()
        parent.wait()
    assert _soon(lambda: not Path(f"/proc/{worker}").exists())


def _soon(ask: Callable[[], Any]) -> Any:
    for _ in range(600):
        if found := ask():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come within a minute")
