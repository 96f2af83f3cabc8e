"""The JSON lines reader: keys, turns, and lines that are no objects."""

import gzip
import json
from pathlib import Path

import orjson
import pytest
import zstandard

from corpus.readers import Record, Settings, jsonl


def read(path: Path, data: bytes, settings: Settings = Settings(), target: int = 1 << 30) -> list[Record]:  # noqa: B008
    path.write_bytes(data)
    parts = jsonl.splits(str(path), len(data), target)
    return [record for split in parts for record in jsonl.read(split, settings)]


def one(tmp_path: Path, line: bytes, settings: Settings = Settings()) -> Record:  # noqa: B008
    [record] = read(tmp_path / "a.jsonl", line + b"\n", settings)
    return record


def test_keys_are_named_by_the_settings(tmp_path: Path) -> None:
    row = {
        "body": "Hi.",
        "link": "http://a.example/",
        "title": "T",
        "id": 7,
        "license": "CC0",
        "date": "2020",
        "n": [1],
    }
    record = one(tmp_path, json.dumps(row).encode(), Settings(text_key="body", url_key="link"))
    assert (record.text, record.url, record.title, record.origin) == ("Hi.", "http://a.example/", "T", "7")
    assert (record.license, record.date, record.extra, record.failure) == ("CC0", "2020", {"n": [1]}, None)


def test_turns_are_kept_and_rendered(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": [{"text": "Yes."}]}]}
    record = one(tmp_path, json.dumps(row).encode())
    assert record.text == "user: Hi?\n\nassistant: Yes."
    assert record.turns == [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}]
    shared = one(tmp_path, b'{"messages": [{"from": "human", "value": "Hi?"}]}')
    assert shared.text == "human: Hi?"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "cut o', "broken_record"),
        (b"[1, 2]", "broken_record"),
        (b"[" * 100_000, "broken_record"),
        (b'{"text": "\xff\xfe"}', "bad_encoding"),
        (b'{"id": 1}', "no_text"),
        (b'{"text": "  "}', "no_text"),
        (b'{"text": 5}', "no_text"),
        (b'{"messages": []}', "no_text"),
    ],
)
def test_a_bad_line_is_one_failure(tmp_path: Path, line: bytes, reason: str) -> None:
    found = read(tmp_path / "a.jsonl", b'{"text": "before"}\n' + line + b'\n{"text": "behind"}\n')
    assert [r.text for r in found if not r.failure] == ["before", "behind"]
    assert [r.failure[0] for r in found if r.failure] == [reason]


def test_lone_surrogates_and_odd_numbers_are_read(tmp_path: Path) -> None:
    record = one(tmp_path, b'{"text": "a\\ud800b \\ud83d\\ude00", "x": NaN, "y": 123456789012345678901234567890}')
    assert record.text == "a\ufffdb \U0001f600"
    assert orjson.dumps(record.extra)


def test_extra_can_always_be_written_as_json(tmp_path: Path) -> None:
    deep = b'{"text": "t", "deep": ' + b"[" * 500 + b"]" * 500 + b"}"
    assert orjson.dumps(one(tmp_path, deep).extra)


def test_long_lines_are_skipped_without_reading_them_whole(tmp_path: Path) -> None:
    data = b'{"text": "' + b"x" * 5000 + b'"}\n{"text": "next"}\n'
    found = read(tmp_path / "a.jsonl", data, Settings(max_record_bytes=1000))
    assert [(r.failure or ("",))[0] for r in found] == ["too_large", ""]
    assert found[1].text == "next"


def test_positions_are_offsets_or_numbers_of_lines(tmp_path: Path) -> None:
    data = b'\n{"text": "a"}\n\n{"text": "b"}'
    assert [r.position for r in read(tmp_path / "a.jsonl", data)] == [1, 16]
    assert [r.position for r in read(tmp_path / "a.jsonl.gz", gzip.compress(data))] == [1, 3]
    assert [r.position for r in read(tmp_path / "a.jsonl.zst", zstandard.compress(data))] == [1, 3]


def test_compression_is_known_by_content_and_never_cut(tmp_path: Path) -> None:
    data = b"".join(b'{"text": "line %d"}\n' % i for i in range(500))
    assert len(read(tmp_path / "a.jsonl", gzip.compress(data), target=100)) == 500


def test_a_byte_order_mark_is_no_part_of_the_line(tmp_path: Path) -> None:
    assert one(tmp_path, b'\xef\xbb\xbf{"text": "a"}').text == "a"
