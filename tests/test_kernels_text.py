"""The shared pass agrees with Python's own str methods, on any text and any shape of column."""

import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filters.kernels import codepoints
from filters.kernels.text import Segments, segment, segments

SPACES = "".join(c for c in map(chr, range(0x3001)) if c.isspace())
TEXTS = st.lists(st.text(st.one_of(st.sampled_from("ab.é—日😀\0" + SPACES), st.characters(exclude_categories=["Cs"]))))


def pieces(s: Segments, row: int, part: str) -> list[str]:
    data = s.data.tobytes()
    if part == "words":
        spans = [(s.word_start[i], s.word_start[i] + s.word_bytes[i]) for i in range(s.words[row], s.words[row + 1])]
    else:
        first, last = {"lines": ("line_start", "line_end"), "stripped": ("line_first", "line_last")}[part]
        spans = [(getattr(s, first)[i], getattr(s, last)[i]) for i in range(s.lines[row], s.lines[row + 1])]
    return [data[a:b].decode() for a, b in spans]


@settings(deadline=None, max_examples=200)
@given(TEXTS)
@example(["", "\n", " \n", "a\r\nb\x1cc\u2028d\x85e\u3000f", "日本\u00a0語"])
def test_words_and_lines_are_those_of_python(texts: list[str]) -> None:
    s = segment(pa.array(texts, pa.large_string()))
    for row, text in enumerate(texts):
        assert pieces(s, row, "words") == text.split()
        assert pieces(s, row, "lines") == text.split("\n")
        assert pieces(s, row, "stripped") == [line.strip() for line in text.split("\n")]
        words, lines = slice(s.words[row], s.words[row + 1]), slice(s.lines[row], s.lines[row + 1])
        assert s.characters[row] == len(text)
        assert s.word_characters[words].tolist() == [len(word) for word in text.split()]
        assert s.line_characters[lines].tolist() == [len(line) for line in text.split("\n")]
        assert (s.word_flags[words] & codepoints.ALPHA > 0).tolist() == [any(map(str.isalpha, w)) for w in text.split()]
        assert (s.word_flags[words] & codepoints.ALNUM > 0).tolist() == [any(map(str.isalnum, w)) for w in text.split()]


@settings(deadline=None, max_examples=50)
@given(TEXTS)
def test_hashes_are_equal_where_texts_are(texts: list[str]) -> None:
    s = segment(pa.array(texts, pa.large_string()))
    for found, hashes in (
        ([w for t in texts for w in t.split()], s.word_hash),
        ([line for t in texts for line in t.split("\n")], s.line_hash),
    ):
        by_text = dict(zip(found, hashes.tolist(), strict=True))
        assert [by_text[piece] for piece in found] == hashes.tolist()
        assert len(set(by_text.values())) == len(by_text)


@pytest.mark.parametrize("name", ["isalpha", "isalnum", "isupper", "isdigit", "isspace"])
def test_flags_agree_with_python_on_every_code_point(name: str) -> None:
    bit = {"isalpha": codepoints.ALPHA, "isalnum": codepoints.ALNUM, "isupper": codepoints.UPPER}
    bit |= {"isdigit": codepoints.DIGIT, "isspace": codepoints.SPACE}
    python = np.fromiter(map(getattr(str, name), map(chr, range(sys.maxunicode + 1))), bool)
    assert np.array_equal(codepoints.class_flags() & bit[name] > 0, python)


def test_lower_case_agrees_with_python_where_it_is_one_code_point() -> None:
    lower = codepoints.lower_case()
    for code in range(sys.maxunicode + 1):
        python = chr(code).lower()
        if len(python) == 1 and not chr(code).istitle():
            assert lower[code] == ord(python)


def shapes(texts: list[str | None]) -> dict[str, Any]:
    large = pa.array(texts, pa.large_string())
    around = pa.array(["before", *texts, "after"], pa.large_string())
    return {
        "string": pa.array(texts, pa.string()),
        "sliced": around[1:-1],
        "one chunk": pa.chunked_array([large]),
        "many chunks": pa.chunked_array([large[:1], large[1:1], large[1:]]),
        "sliced string": pa.array(["é", *texts], pa.string())[1:],
    }


@pytest.mark.parametrize("shape", ["string", "sliced", "one chunk", "many chunks", "sliced string"])
def test_the_shape_of_a_column_does_not_matter(shape: str) -> None:
    texts = ["ein Wort", "", None, "zwei\nWörter und mehr", "a"]
    plain = segment(pa.array([text or "" for text in texts], pa.large_string()))
    found = segment(shapes(texts)[shape])
    for name in ("words", "word_hash", "word_characters", "lines", "line_hash", "characters"):
        assert np.array_equal(getattr(plain, name), getattr(found, name)), name


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_empty_columns(kind: pa.DataType) -> None:
    for column in (
        pa.array([], kind),
        pa.chunked_array([], kind),
        pa.array(["", None], kind),
        pa.array(["x"], kind)[1:],
    ):
        s = segments(column)
        assert len(s.characters) == len(column)
        assert len(s.word_hash) == 0
        assert s.lines[-1] == len(column)  # an empty text is one empty line


def test_filters_of_a_batch_share_one_pass() -> None:
    docs = pa.table({"text": pa.array(["one two", "three"], pa.large_string())})
    first = segments(docs["text"])
    assert segments(docs["text"]) is first
    assert segments(docs["text"][1:]) is not first
    assert segments(docs["text"][1:]).words.tolist() == [0, 1]


def test_the_memo_holds_its_column_so_that_addresses_are_not_reused() -> None:
    for i in range(50):
        text = f"word{i} " * (i % 3 + 1)
        assert segments(pa.array([text], pa.large_string())).words[-1] == i % 3 + 1
