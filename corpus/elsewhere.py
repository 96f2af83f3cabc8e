"""A build on another runner: whether one is asked for, what it must be told, and how far it is meanwhile.

Its workers share the run folder, or a store, with this process and nothing else: marks of finished parts are the only
word back.
"""

import argparse
import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from corpus.files import StoreFailed, is_remote
from corpus.parts import marked
from corpus.plan import Plan, Task
from corpus.recipe import RecipeError

_LOOK_SECONDS = 1.0  # between looks for finished parts
_LIST_SECONDS = 10.0  # in a store, where a look is a listing


def asked(beam_options: Sequence[str]) -> bool:
    """Whether the options name another runner than the one in this process, so that the pool here has no work."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runner", default="FnApiRunner")
    return str(parser.parse_known_args(list(beam_options))[0].runner) != "FnApiRunner"


def check_addresses(recipe: Path, planned: Plan) -> None:
    """Workers start in a folder of their own: a relative path would name another file there, or none."""
    for file in planned.inputs:
        if not is_remote(file.path) and not Path(file.path).is_absolute():
            raise RecipeError(
                f"{recipe}: sources.files: {file.path} is relative, and this runner's workers start in another folder; "
                "give the whole path or a store's address (s3://, gs://, hdfs://)"
            )


@contextlib.contextmanager
def looking(
    tasks: list[Task],
    finished: Callable[[Task], Path | None],
    tell: Callable[[dict[str, Any]], None],
    list_store: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Tell of parts as their marks appear: no other word comes back before the job ends."""
    left = list(tasks)
    stop = threading.Event()

    def look() -> None:
        for task in list(left):
            mark = finished(task)
            if mark is not None:
                left.remove(task)
                counts = marked(mark)
                rows = counts["rows"] if "rows" in counts else counts["docs"] + counts["ledger"]
                tell({**counts, "rows": rows, "part": task.part.name})

    def watch() -> None:
        while not stop.wait(_LIST_SECONDS if list_store else _LOOK_SECONDS):
            if list_store:
                with contextlib.suppress(StoreFailed):  # the next look may get through
                    list_store()
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        look()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what a job service logs of a failure, which is raised as well."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def gist(error: Exception) -> str:
    """One line of the tracebacks that a job service wraps in each other: what was raised, or what the network said."""
    text = str(error)
    said = re.findall(r'details = "(.*?)"', text) or re.findall(
        r"^((?!Traceback)[A-Za-z_][\w.]*: .*)$", text, re.MULTILINE
    )
    return str(said[-1]) if said else (text.strip().splitlines() or [repr(error)])[-1].strip()
