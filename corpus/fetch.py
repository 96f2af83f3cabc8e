"""`fetch`: a run from a store into a folder, whole or in parts, compared with the hashes that it was built with."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from rich.progress import track

from corpus import files, schema
from corpus.failures import Failure
from corpus.parts import Damaged, check_intact, marked, row_groups
from corpus.store import Mirror
from corpus.terminal import console
from corpus.write import FOLDERS, Tally

ALL = (*FOLDERS, "stages")
_HEAD = ("recipe.json", "tombstones.json")  # by which a run is known again
_MANIFEST = "manifest.json"
_HASHED = {"docs": schema.DOCUMENT, "ledger": schema.LEDGER}


class NotFetched(Failure):
    """What was brought is not what was built, or there is nothing to bring."""


def fetch(url: str, folder: Path, only: Sequence[str] = ()) -> int:
    """Bring the run at `url`: all of it, or some of `ALL`; returns the bytes brought. Raises NotFetched, StoreFailed.

    Files that have the size that they have in the store are not brought again; every one of docs, ledger and stages is
    compared with its hash, whichever call brought it. The manifest comes last: without it a folder is no run.
    """
    url = url.rstrip("/")
    if not files.is_remote(url):
        raise NotFetched(f"{url}: is no address of a store, as s3://bucket/runs/web-1 is")
    if unknown := sorted(set(only) - set(ALL)):
        raise NotFetched(f"--only {unknown[0]}: a run has {', '.join(ALL)}")
    sizes = {file.path.removeprefix(f"{url}/"): file.size for file in files.listed(f"{url}/**")}
    if _MANIFEST not in sizes:
        raise NotFetched(f"{url}: no finished run; the same build command finishes it")
    _check_same(url, sizes, folder)
    wanted = sorted((n for n in sizes if _is_wanted(n, only or ALL)), key=lambda name: (name not in _HEAD, name))
    missing = [name for name in wanted if not _is_here(folder / name, sizes[name])]
    (folder / _MANIFEST).unlink(missing_ok=True)
    mirror = Mirror(url, folder)
    for name in track(missing, "fetch", console=console(), disable=not missing):
        mirror.fetch([name])
    _verify(orjson.loads(_bytes(url, _MANIFEST)), folder, only or ALL)
    mirror.fetch([_MANIFEST])
    return sum(sizes[name] for name in missing)


def _is_wanted(name: str, only: Sequence[str]) -> bool:
    """What belongs to the whole run is small and always brought; so are the marks that hold the hashes."""
    if name == _MANIFEST or name.startswith("lock/"):
        return False
    return "/" not in name or name.startswith("stages/write/") or name.partition("/")[0] in only


def _is_here(path: Path, size: int) -> bool:
    # What is known by its name alone may have another content of the same size.
    return path.exists() and path.stat().st_size == size and path.suffix != ".json"


def _check_same(url: str, found: Mapping[str, int], folder: Path) -> None:
    """Refuse a folder that holds anything but this run, or in which documents were taken down since."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    for name in _HEAD:
        here = (folder / name).read_bytes() if (folder / name).exists() else b""
        there = _bytes(url, name) if name in found else b""
        if here != there:
            raise NotFetched(f"{folder}: its {name} is not that of {url}; choose another folder")


def _bytes(url: str, name: str) -> bytes:
    with files.open_binary(f"{url}/{name}") as file:
        return file.read()


def _verify(manifest: dict[str, Any], folder: Path, only: Sequence[str]) -> None:
    """Compare what is here with the marks, and those with the manifest."""
    marks = {part: marked(folder / f"stages/write/part-{part}.done.json") for part in manifest["parts"]}
    for kind in _HASHED:
        total = sum(int(mark.get(f"{kind}_hash", "0"), 16) for mark in marks.values()) & ((1 << 128) - 1)
        if f"{total:032x}" != manifest[f"{kind}_hash"]:
            raise NotFetched(f"{folder}: the parts are not those of the manifest; a build changes the run: fetch later")
    try:
        for part, mark in marks.items():
            for kind in _HASHED.keys() & set(only):
                _check_content(folder / kind / f"part-{part}.parquet", kind, mark)
        for mark_file in sorted((folder / "stages").rglob("*.done.json")) if "stages" in only else ():
            check_intact(mark_file, *(mark_file.with_name(name) for name in marked(mark_file).get("hashes", {})))
    except Damaged as error:
        Path(error.path).unlink(missing_ok=True)
        told = "is not what was built (its hash is another one) and was removed; the same command brings it again"
        raise NotFetched(f"{error.path}: {told}") from None


def _check_content(path: Path, kind: str, mark: dict[str, Any]) -> None:
    """Raises Damaged where the documents of a file are not those that were written."""
    tally = Tally()
    for rows in _rows(path):
        tally.add(*(rows if kind == name else of.empty_table() for name, of in _HASHED.items()))
    if tally.counts()[f"{kind}_hash"] != mark[f"{kind}_hash"]:
        raise Damaged(str(path), "")


def _rows(path: Path) -> Iterator[pa.Table]:
    try:
        yield from row_groups(path)
    except (OSError, pa.ArrowException):
        raise Damaged(str(path), "") from None
