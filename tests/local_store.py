"""An S3-compatible store on this machine, for tests: moto's server, of the extra `dev`."""

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

BUCKET = "crawl"
_MISSING = [name for name in ("boto3", "moto", "flask") if importlib.util.find_spec(name) is None]


@contextlib.contextmanager
def local_store(folder: Path) -> Iterator[dict[str, str]]:
    """Environment variables of a process that finds the store; it holds `BUCKET`. Skips where there can be none."""
    if _MISSING:
        pytest.skip(f"no local S3 store: {', '.join(_MISSING)} not installed (pip install -e '.[dev]')")
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
    except OSError as error:
        pytest.skip(f"no port can be opened here: {error}")
    at = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                put(f"{at}/{BUCKET}", b"")
                break
            if time.monotonic() > until:
                pytest.skip("moto's server did not answer within 60 s")
            time.sleep(0.2)
        yield {
            "AWS_ENDPOINT_URL": at, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def reached(store: dict[str, str]) -> Iterator[None]:
    """Let this process find the store, and forget it after."""
    from apache_beam.io.aws.clients.s3.boto3_client import Client

    from corpus.files import _share_client

    _share_client()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.items():
            patch.setenv(name, value)
        patch.setattr(Client, "first", None)
        yield


def put(url: str, data: bytes) -> None:
    """Store an object, or make a bucket, without a library."""
    request = urllib.request.Request(url, data, {"Content-Type": "application/octet-stream"}, method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def environment(store: dict[str, str]) -> dict[str, str]:
    """Of a command that finds the store and this checkout."""
    return {**os.environ, **store, "PYTHONPATH": str(Path(__file__).parent.parent)}
