"""C4's page rules: sentences, filler, brackets and listed words."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from filters.c4 import C4


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        (" \n ", 0),
        ("no end mark", 1),
        ("One. Two! Three?", 3),
        ("One. two three. Four", 2),
        ('He said "go." Then (he went.) And more', 3),
        ("J. Smith and A. Jones met.", 1),
        ("Wait... What? Nothing… Really", 4),
        ("One.\nTwo.\u00a0Three.  ", 3),
        ("これは本です。あれは「本。」そう", 3),
        ("यह एक है। वह दो है।", 2),
        ("Version 3.5 of a.b.c is out.", 1),
        ("A. B. C.", 0),
    ],
)
def test_sentences(text: str, sentences: int) -> None:
    assert C4().measure(pa.table({"text": [text]}))["sentences"].to_pylist() == [sentences]


def test_counts_of_filler_and_brackets() -> None:
    docs = pa.table({"text": ["Lorem IPSUM {a} {b}", "clean", None]})
    found = C4().measure(docs).to_pylist()
    assert [row["lorem_ipsum"] for row in found] == [1, 0, 0]
    assert [row["curly_brackets"] for row in found] == [2, 0, 0]
    assert [row["characters"] for row in found] == [19, 5, 0]


def test_bad_words_stand_between_non_word_characters(tmp_path: Path) -> None:
    words = tmp_path / "en.txt"
    words.write_text("# a comment\nbad\nso (bad)\n\nÄrger\n", encoding="utf-8")
    texts = ["bad", "A BAD one", "badly", "über_bad", "ébad", "bad!", "so (bad)", "ärger.", "bärger", "xbad bad", "no"]
    found = C4(bad_words=(str(words),)).measure(pa.table({"text": texts}))["bad_words"].to_pylist()
    plain = re.compile(r"(?:\W|^)(bad|so \(bad\)|ärger)(?:\W|$)")
    assert [count > 0 for count in found] == [bool(plain.search(text.lower())) for text in texts]
    assert found[-1] == 0


def test_lists_of_scripts_without_spaces_match_inside_words(tmp_path: Path) -> None:
    words = tmp_path / "ja.txt"
    words.write_text("悪\n", encoding="utf-8")
    docs = pa.table({"text": ["最悪だ。", "良い。"]})
    assert C4(bad_words=(str(words),)).measure(docs)["bad_words"].to_pylist() == [1, 0]


def test_a_missing_or_empty_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.txt"):
        C4(bad_words=(str(tmp_path / "nowhere.txt"),))
    empty = tmp_path / "empty.txt"
    empty.write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"empty\.txt holds no word"):
        C4(bad_words=(str(empty),))
