"""What tests of the pipeline share: tiny inputs, and recipes over them."""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from corpus import recipe as recipes
from corpus.recipe import Recipe

_SENTENCES = (
    "The river carried the letters past the mill and nobody on the bridge looked down at them.",
    "She had counted the windows of that house twice, and each time there was one more than before.",
    "Of all the maps in the office, only the oldest showed where the road to the quarry had been.",
    "A baker who rises at three has seen more of the town than the people who govern it.",
    "They argued about the price of salt until the rain came, and then they argued about the rain.",
    "He wrote to his brother that the harbour was quiet and that the ships had not come with the spring.",
)


def prose(seed: int, sentences: int = 14) -> str:
    """Unlike texts that every heuristic lets pass; the same for the same seed."""
    said = []
    for number in range(sentences):
        sentence = _SENTENCES[(seed + number * (1 + seed % 5)) % len(_SENTENCES)]
        said.append(f"In year {seed * 31 + number * 7}, by account {seed}-{number}: {sentence}")
    return "\n".join(said)


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def warc_member(url: str, html: str, status: str = "200 OK", content_type: str = "text/html; charset=utf-8") -> bytes:
    """One gzip member with one response record, as crawlers write them."""
    http = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n\r\n".encode() + html.encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2020-01-01T00:00:00Z\r\n"
        f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{abs(hash(url)) % 10**12:012d}>\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
    ).encode()
    return gzip.compress(head + http + b"\r\n\r\n", mtime=0)


@pytest.fixture
def make_recipe(tmp_path: Path) -> Callable[..., Recipe]:
    """A recipe from keyword tables; sources default to one JSONL file."""

    def make(**raw: Any) -> Recipe:
        raw.setdefault("steps", ["repetition", "quality"])
        raw.setdefault("sources", [{"name": "texts", "kind": "jsonl", "files": [str(tmp_path / "*.jsonl")]}])
        return recipes.parse(raw, "test.toml")

    return make
