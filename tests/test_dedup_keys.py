"""Keys: equal where documents are the same page or the same text, and a function of the document alone."""

import dataclasses

import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.dedup import Settings, keys
from filters import measured_settings

DOCS = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("text", pa.large_string()),
        ("date", pa.string()),
        ("source", pa.string()),
        ("score", pa.float64()),
    ]
)


def table(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist([{"id": str(i), "source": "web", **row} for i, row in enumerate(rows)], schema=DOCS)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://www.Example.com/A/b/", "example.com/A/b"),
        ("http://example.com:80/A/b#part", "example.com/A/b"),
        ("https://user:pw@example.com:443/A/b?utm_source=x&UTM_medium=y&ref=z", "example.com/A/b"),
        ("https://example.com/A/b?b=2&a=1&fbclid=q", "example.com/A/b?a=1&b=2"),
        ("HTTP://EXAMPLE.COM", "example.com/"),
        ("http://example.com?x=1", "example.com/?x=1"),
        ("http://example.com:8080/", "example.com:8080/"),
        ("https://example.com:80/", "example.com:80/"),
        ("http://example.com/#!/page/2", "example.com/#!/page/2"),
        ("http://[::1/x", "[::1/x"),
        ("http:///x", None),
        ("file:///home/book.txt", None),
        ("books/en/book.txt", None),
        ("", None),
        (None, None),
    ],
)
def test_normalised_url(url: str | None, expected: str | None) -> None:
    assert keys.normalised_url(url) == expected


@given(st.text(st.sampled_from("aB1/?&=#!:@.%_-é"), max_size=30))
def test_normalising_an_address_twice_changes_nothing(rest: str) -> None:
    once = keys.normalised_url("http://host/" + rest)
    assert once is not None
    assert keys.normalised_url("http://" + once) == once


@given(st.lists(st.text(st.sampled_from("aBé \t\n\u00a0\u2003\u3000\u2028\u0085漢İ"), max_size=12), max_size=5))
@settings(deadline=None)
def test_exact_hash_is_of_lowered_text_with_single_spaces(texts: list[str]) -> None:
    lowered = pa.compute.utf8_lower(pa.array(texts, pa.large_string())).to_pylist()
    plain = [" ".join(text.split()) for text in lowered]
    expected = [xxhash.xxh3_128_digest(text.encode()) if text else None for text in plain]
    assert keys.exact_hashes(pa.array(texts, pa.large_string())).to_pylist() == expected


def test_columns() -> None:
    docs = table(
        {"text": "One two three four five six", "url": "http://a.com/", "score": 0.5, "date": "2020-01-01"},
        {"text": "one  two\nthree four FIVE six", "url": "https://www.a.com", "score": float("nan"), "source": "book"},
        {"text": "kürz", "source": "unknown"},
        {"text": None},
    )
    found = keys.keys(docs, Settings(source_priority=("book", "web")))
    assert found.schema == keys.schema(Settings())
    rows = found.to_pylist()
    assert rows[0]["url"] == rows[1]["url"] is not None
    assert rows[0]["exact"] == rows[1]["exact"] is not None
    assert rows[0]["bands"] == rows[1]["bands"]
    assert len(rows[0]["bands"]) == 14
    assert rows[0]["record"] != rows[1]["record"]
    assert [row["bands"] is None for row in rows] == [False, False, True, True]
    assert [row["exact"] is None for row in rows] == [False, False, False, True]
    assert [row["score"] for row in rows] == [0.5, None, None, None]
    assert [row["length"] for row in rows] == [27, 28, 4, 0]
    assert [row["source_rank"] for row in rows] == [1, 0, 2, 1]
    assert rows[0]["date"] == "2020-01-01"


def test_rows_depend_on_their_document_alone() -> None:
    texts = ["Ünïcode one two three four five", "plain one two three four", None, "x", ""]
    docs = table(*({"text": text, "url": f"http://h/{i}"} for i, text in enumerate(texts)))
    whole = keys.keys(docs, Settings())
    single = [keys.keys(docs.slice(i, 1), Settings()) for i in range(docs.num_rows)]
    assert pa.concat_tables(single).equals(whole)
    assert keys.keys(docs.slice(0, 0), Settings()).schema == whole.schema


def test_score_is_optional_and_near_can_be_off() -> None:
    docs = table({"text": "one two three four five"}).drop_columns(["score"])
    found = keys.keys(docs, Settings(near=False, bands=3))
    assert found.schema == keys.schema(Settings(bands=3))
    assert found["score"].to_pylist() == found["bands"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shingle_words": 0}, "shingle_words: 0 is not"),
        ({"bands": 0}, "bands: 0 is not"),
        ({"rows": -1}, "rows: -1 is not"),
        ({"num_permutations": 0}, "num_permutations: 0 is not"),
        ({"min_jaccard": 0.0}, "min_jaccard: 0.0 is not above 0"),
        ({"threshold": 1.5}, "threshold: 1.5 is not above 0"),
        ({"keep": ("best",)}, "keep: 'best' is not one of score, length, date_newest, date_oldest, source"),
        ({"keep": ("score", "score")}, "keep: score, score names something twice"),
        ({"keep": ("date_newest", "date_oldest")}, "not both"),
        ({"source_priority": ("a", "a")}, "source_priority: a, a names something twice"),
    ],
)
def test_settings_name_the_key(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**values)  # type: ignore[arg-type]


def test_threshold_derives_bands_and_rows() -> None:
    from datasketch import MinHashLSH

    derived = Settings(threshold=0.8, num_permutations=128)
    lsh = MinHashLSH(threshold=0.8, num_perm=128)
    assert (derived.bands, derived.rows) == (lsh.b, lsh.r)
    assert dataclasses.replace(derived, min_jaccard=0.9).bands == lsh.b


def test_keys_serve_every_replay() -> None:
    docs = table({"text": "one two three four five", "url": "http://a/"}, {"text": "six"})
    other = Settings(url=False, exact=False, min_jaccard=0.9, keep=("source",))
    assert keys.keys(docs, other).equals(keys.keys(docs, Settings()))
    changing = {"near", "shingle_words", "bands", "rows", "source_priority"}
    assert set(measured_settings(Settings())) == changing  # type: ignore[arg-type]
