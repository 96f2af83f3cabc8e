"""What tests of the pipeline share: tiny inputs, and recipes over them."""

import gzip
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, settings

from corpus import recipe as recipes
from corpus.recipe import Recipe

# The suite says the same of the same code, every time. To look for new counter-examples, --hypothesis-profile=default
# draws others; what it finds becomes an @example.
# And no test asserts time.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

_NOUNS = """river letter mill bridge window house map office road quarry baker town price salt rain harbour ship spring
brother garden engine lantern market field stone teacher winter answer kitchen paper soldier valley number story
forest clock island question summer doctor village mountain morning evening station captain""".split()
_VERBS = """carried counted showed wrote argued followed opened remembered crossed painted sold measured forgot found
answered repaired watched borrowed promised described left kept lost turned raised""".split()
_WAYS = """slowly twice in silence before noon with great care again for the last time without a word at night
that year near the old wall""".split()
_LINKS = ("and", "but", "because", "while", "although", "until")


def prose(seed: int, sentences: int = 14) -> str:
    """Unlike texts that every heuristic lets pass; the same for the same seed."""
    pick = random.Random(seed).choice

    def clause() -> str:
        return f"the {pick(_NOUNS)} of the {pick(_NOUNS)} {pick(_VERBS)} that {pick(_NOUNS)} {pick(_WAYS)}"

    said = [
        f"{clause()} {pick(_LINKS)} {clause()} with the {pick(_NOUNS)} to be {pick(_VERBS)}." for _ in range(sentences)
    ]
    return "\n".join(sentence[0].upper() + sentence[1:] for sentence in said)


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
