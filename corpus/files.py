"""Finding, opening and storing files, here or in a bucket.

Local paths use plain Python, so that reading a folder does not load Beam; `gs://`, `s3://`, `hdfs://` … go
through `apache_beam.io.filesystems`, the only library here that knows them all.
"""

import contextlib
import copy
import dataclasses
import fnmatch
import glob
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from corpus.failures import Failure
from corpus.parts import replacing

WILD = "*?["
_BLOCK_BYTES = 4 << 20


class NoStore(Failure):
    """A kind of store that Beam cannot reach as it is installed here."""


class StoreFailed(Failure):
    """What a store said in place of doing what it was asked."""


@dataclasses.dataclass(frozen=True, order=True)
class FoundFile:
    path: str
    size: int  # bytes
    modified: float  # seconds since 1970; 0.0 where the store does not say


def is_remote(path: str) -> bool:
    return "://" in path


def find(pattern: str) -> list[FoundFile]:
    """Files that match a glob, sorted by path; a folder stands for every file under it.

    `**` crosses folders. Hidden files are left out, as in a shell. Raises FileNotFoundError naming the pattern.
    """
    found = sorted(_find_remote(pattern) if is_remote(pattern) else _find_local(pattern))
    if not found:
        raise FileNotFoundError(f"no file matches {pattern!r}")
    return found


def open_binary(path: str) -> BinaryIO:
    """A seekable file of bytes, never decompressed on the way. Raises FileNotFoundError."""
    if not is_remote(path):
        return open(path, "rb")  # the caller closes it
    beam = _filesystems(path)
    from apache_beam.io.filesystem import CompressionTypes

    return cast(BinaryIO, beam.open(path, compression_type=CompressionTypes.UNCOMPRESSED))


def size(path: str) -> int:
    """Bytes. Raises FileNotFoundError."""
    return find(glob.escape(path))[0].size if is_remote(path) else os.path.getsize(path)


def listed(pattern: str) -> list[FoundFile]:
    """What matches in a store, sorted by path; a folder is no match. Empty where nothing does. Raises StoreFailed."""
    with _told(pattern):
        return sorted(_match(pattern))


def fetch(path: str, to: Path) -> None:
    """Copy an object to a file, whole or not at all. Raises FileNotFoundError, StoreFailed."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with _told(path), replacing(to) as temporary, open_binary(path) as source, temporary.open("wb") as sink:
        shutil.copyfileobj(source, sink, _BLOCK_BYTES)


def put(data: Path | bytes, path: str) -> None:
    """Store a file, or some bytes, under a name; a store shows an object whole or not at all. Raises StoreFailed."""
    from apache_beam.io.filesystem import CompressionTypes

    with _told(path):
        sink = _filesystems(path).create(path, compression_type=CompressionTypes.UNCOMPRESSED)
        if isinstance(data, bytes):
            sink.write(data)
        else:
            with data.open("rb") as source:
                shutil.copyfileobj(source, sink, _BLOCK_BYTES)
        sink.close()


def delete(paths: Sequence[str]) -> None:
    """Remove objects; those that are gone already are no error. Raises StoreFailed."""
    if paths:
        with _told(paths[0]):
            _filesystems(paths[0]).delete(list(paths))


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """What a store's own library raises, in one line that names the object."""
    try:
        yield
    except (Failure, FileNotFoundError):
        raise
    except Exception as error:
        raise StoreFailed(f"{path}: {type(error).__name__}: {' '.join(str(error).split())}") from error


def _find_local(pattern: str) -> Iterator[FoundFile]:
    # a file's own name may hold brackets, so what exists is never read as a glob
    paths = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
    for path in paths:
        if os.path.isdir(path):
            # `x/**` names the folders too, and their files are in the match already
            yield from _under(path) if not pattern.endswith("**") else ()
        else:
            yield _local(path)


def _under(folder: str) -> Iterator[FoundFile]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in names:
            path = os.path.join(parent, name)
            if not name.startswith(".") and os.path.isfile(path):
                yield _local(path)


def _local(path: str) -> FoundFile:
    stat = os.stat(path)
    return FoundFile(Path(path).as_posix(), stat.st_size, stat.st_mtime)


def _find_remote(pattern: str) -> Iterator[FoundFile]:
    yield from _match(pattern)
    if not any(c in pattern for c in WILD):  # it may be a folder; stores have none, only names that begin alike
        yield from _match(pattern.rstrip("/") + "/**")


def _match(pattern: str) -> Iterator[FoundFile]:
    for result in _filesystems(pattern).match([pattern]):
        for m in result.metadata_list:
            name = m.path.rsplit("/", 1)[-1]
            if name and not fnmatch.fnmatch(name, ".*"):
                yield FoundFile(m.path, m.size_in_bytes, float(m.last_updated_in_seconds or 0.0))


def _filesystems(path: str) -> Any:
    """Beam's filesystems, ready for `path`. Raises NoStore.

    Endpoint and keys come from the store's own environment variables (AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS
    ...): every process finds those, whatever started it, and no key stands in a recipe or a job's options.
    """
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    if FileSystems._pipeline_options is None:  # outside a pipeline nobody has set them, and S3 refuses None
        FileSystems.set_options(PipelineOptions([]))
    try:
        FileSystems.get_filesystem(path)
    except ValueError:
        scheme = path.partition("://")[0]
        extra = {"s3": "s3", "gs": "dataflow"}.get(scheme)
        fix = f"install the extra {extra!r}" if extra else "give s3://, gs:// or hdfs://"
        raise NoStore(f"{path}: {scheme}:// cannot be read here; {fix}") from None
    if path.startswith("s3://"):
        _share_client()
    return FileSystems


def _share_client() -> None:
    """Beam makes a client of S3 for each request: 0.13 s of processor time. boto3 lets threads share one."""
    from apache_beam.io.aws.clients.s3.boto3_client import Client

    if hasattr(Client, "first"):
        return
    make, making = Client.__init__, threading.Lock()

    def share(self: Any, options: Any) -> None:
        with making:
            if Client.first is None:
                make(self, options)
                Client.first = copy.copy(self)
        self.__dict__.update(Client.first.__dict__)  # each has a stream of its own, and none yet

    Client.first, Client.__init__ = None, share
