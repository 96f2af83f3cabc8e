"""A run in a store (s3://, gs://): each process works in a folder of its own, a mirror of what it needs of the run.

Files are pulled before a task and pushed after it, marks last, so an object without its mark is never trusted and a
killed build goes on anywhere. Nothing but the store is shared, and no other file asks where a run lies.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from corpus import files
from corpus.guard import beside
from corpus.parts import Damaged
from corpus.plan import Task
from corpus.scratch import Scratch

_CONNECTIONS = 8  # at a time; a request mostly waits
# What the process that plans a build reads itself. Of everything else it only asks whether it is there.
_SMALL = (".json", ".csv")
_READ_WHOLE = ("stages/dedup/part-", "stages/against/part-")
_MARK = ".done.json"
_MANIFEST = "manifest.json"

Stamp = tuple[int, int, int]


class Mirror:
    """A folder with some of a run's files, and which state of them the store has."""

    def __init__(self, url: str, folder: Path, check: Callable[[], None] = lambda: None) -> None:
        """`check` is called before anything is changed in the store, and may raise."""
        self.url = url
        self.folder = folder
        self._check = check
        self._stored: dict[str, Stamp] = {}

    def pull(self, patterns: Sequence[str], parts: set[str]) -> None:
        """Bring every object that matches, `{part}` being any of `parts`; one listing for each pattern."""
        [one] = parts if len(parts) == 1 else ["*"]
        named = [pattern.format(part=one) for pattern in patterns if parts or "{" not in pattern]
        found = [file for name in named for file in files.listed(f"{self.url}/{name}")]
        names = {self._name(file) for file in found}
        self.fetch(name for name in names if not _part(name) or _part(name) in parts)

    def look(self, parts: frozenset[str] = frozenset()) -> None:
        """Bring what is small and new, and the marks of `parts` again; for each large object lay down an empty file.

        What is gone from the store goes here too.
        """
        found = {self._name(file) for file in files.listed(f"{self.url}/**")}
        found = {name for name in found if not name.startswith("lock/")}
        for name in self._stored.keys() - found:
            (self.folder / name).unlink(missing_ok=True)
            del self._stored[name]
        new = found - self._stored.keys()
        whole = {name for name in new if name.endswith(_SMALL) or "/" not in name or name.startswith(_READ_WHOLE)}
        self.fetch(whole | {name for name in found if name.endswith(_MARK) and _part(name) in parts})
        for name in new - whole:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).touch()
            self._stored[name] = _stamp(self.folder / name)

    def push(self) -> None:
        """Make the store like the folder, as far as that was changed: removals, files, marks, and the manifest last."""
        here = {path.relative_to(self.folder).as_posix(): _stamp(path) for path in _under(self.folder)}
        gone = self._stored.keys() - here.keys()
        changed = [name for name, stamp in here.items() if self._stored.get(name) != stamp]
        if not gone and not changed:
            return
        self._check()
        marks = {name for name in gone if name.endswith(_MARK)}
        files.delete([f"{self.url}/{name}" for name in sorted(marks)])
        files.delete([f"{self.url}/{name}" for name in sorted(gone - marks)])
        for name in gone:
            del self._stored[name]
        for rank in range(3):
            _together(self._put, sorted(name for name in changed if _rank(name) == rank))
            self._stored |= {name: here[name] for name in changed if _rank(name) == rank}

    @contextlib.contextmanager
    def columns(self, wanted: Mapping[str, Sequence[str]]) -> Iterator[Path]:
        """A folder in which the Parquet files of this one have some columns: `wanted` says which, per folder of a run.

        They are read from the store as it is now, so that what is proved of them is proved of the stored run.
        """
        self.push()
        names = [f"{at}/{path.name}" for at in wanted for path in (self.folder / at).glob("part-*.parquet")]

        def cut(name: str) -> None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            columns = list(wanted[name.rpartition("/")[0]])
            with files.open_binary(f"{self.url}/{name}") as stream:
                source = pq.ParquetFile(stream)
                with pq.ParquetWriter(folder / name, source.read_row_groups([], columns).schema) as out:
                    for batch in source.iter_batches(columns=columns, use_threads=False):
                        out.write_batch(batch)

        with Scratch() as folder:
            _together(cut, [name for name in names if name.count(".") == 1])
            yield folder

    def _name(self, file: files.FoundFile) -> str:
        return file.path.removeprefix(f"{self.url}/")

    def fetch(self, names: Iterable[str]) -> None:
        """Bring these, by their names in the run."""
        fetched = sorted(names)
        _together(lambda name: files.fetch(f"{self.url}/{name}", self.folder / name), fetched)
        self._stored |= {name: _stamp(self.folder / name) for name in fetched}

    def _put(self, name: str) -> None:
        files.put(self.folder / name, f"{self.url}/{name}")


@dataclasses.dataclass(frozen=True)
class Away:
    """Work of a task on a run folder, done on a mirror of it: the files that it `reads` first, what it wrote after."""

    work: Callable[..., Any]
    first: tuple[Any, ...]  # its first arguments
    url: str
    run: Path  # where tasks and paths lie for the process that plans
    reads: tuple[str, ...]  # names in the run besides those of the item; {part} stands for each part in hand

    def do(self, item: Any, *rest: Any) -> Any:
        """Of `item` every task, and every path in the run, stands in the mirror for `work`; files of paths are brought.

        On the pool the last argument is a heartbeat: the folder lies beside it.
        """
        with _folder(rest) as folder:
            mirror = Mirror(self.url, folder)
            held = list(_inside(item))
            mirror.pull(self.reads, {task.part.name for task in held if isinstance(task, Task)})
            paths = {path for path in held if isinstance(path, Path) and path.is_relative_to(self.run)}
            mirror.fetch(path.relative_to(self.run).as_posix() for path in paths)
            try:
                result = self.work(*_moved(self.first, self.run, folder), _moved(item, self.run, folder), *rest)
            except Damaged as error:
                if not Path(error.mark).is_relative_to(folder):  # of an earlier run, which lies here
                    raise
                # Without its mark the part is made anew, by whoever comes next.
                name = Path(error.mark).relative_to(folder).as_posix()
                files.delete([f"{self.url}/{name}"])
                told = f"{self.url}/{Path(error.path).relative_to(folder).as_posix()}"
                raise Damaged(told, str(self.run / name)) from None
            mirror.push()
        return _moved(result, folder, self.run)


@contextlib.contextmanager
def _folder(arguments: Sequence[Any]) -> Iterator[Path]:
    heartbeat = arguments[-1] if arguments and isinstance(arguments[-1], Path) else None
    if heartbeat is None:
        with Scratch() as scratch:
            yield scratch
        return
    folder = beside(heartbeat)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _inside(item: Any) -> Iterator[Task | Path]:
    if isinstance(item, Task | Path):
        yield item
    elif isinstance(item, tuple | list):
        for inner in item:
            yield from _inside(inner)


def _moved(item: Any, old: Path, new: Path) -> Any:
    """The same with every task and path of the one folder in the other."""
    if isinstance(item, Task):
        return dataclasses.replace(item, run=new)
    if isinstance(item, Path):
        return new / item.relative_to(old) if item.is_relative_to(old) else item
    if isinstance(item, dict):
        return {key: _moved(value, old, new) for key, value in item.items()}
    return type(item)(_moved(inner, old, new) for inner in item) if isinstance(item, tuple | list) else item


def _part(name: str) -> str:
    """The part that a file belongs to; empty for what belongs to the run."""
    file = name.rpartition("/")[2]
    return file.removeprefix("part-").partition(".")[0] if file.startswith("part-") else ""


def _rank(name: str) -> int:
    return 2 if name == _MANIFEST else 1 if name.endswith(_MARK) else 0


def _under(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _stamp(path: Path) -> Stamp:
    """Another one for each file that took this one's place, whatever the clock says."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _together(work: Callable[[str], None], names: Sequence[str]) -> None:
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for _ in pool.map(work, names):  # raises what one of them raised
            pass
