"""Charsets: who is believed, and what cannot be read."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.charset import decode, is_binary
from corpus.extraction import ExtractionError

GERMAN = "Die Bäckerei öffnet früh, und über der Straße hängt schon ein großes Schild für Gäste."
RUSSIAN = "Поезд отправляется рано утром, и на вокзале уже собралось много людей с тяжёлыми сумками."
JAPANESE = "日本語の文章を書くのは難しいですが、毎日練習すれば少しずつ上手になります。" * 3


@pytest.mark.parametrize(
    ("data", "header", "charset", "text"),
    [
        (GERMAN.encode(), None, "utf-8", GERMAN),
        (GERMAN.encode(), "iso-8859-1", "utf-8", GERMAN),  # valid UTF-8 beats a header that lies
        (b"\xef\xbb\xbfabc", None, "utf-8", "abc"),
        (b"\xff\xfe" + GERMAN.encode("utf-16-le"), "utf-8", "utf-16-le", GERMAN),
        (GERMAN.encode("cp1252"), "ISO-8859-1", "cp1252", GERMAN),
        (GERMAN.encode("latin-1"), "latin-1", "cp1252", GERMAN),
        (RUSSIAN.encode("koi8-r"), "koi8-r", "koi8-r", RUSSIAN),
        (RUSSIAN.encode("cp1251"), None, "cp1251", RUSSIAN),
        (JAPANESE.encode("shift_jis"), None, "cp932", JAPANESE),
        (JAPANESE.encode("iso-2022-jp"), "iso-2022-jp", "iso2022_jp", JAPANESE),
        ("中文网页".encode("gb18030"), "gb2312", "gb18030", "中文网页"),
    ],
)
def test_who_is_believed(data: bytes, header: str | None, charset: str, text: str) -> None:
    assert decode(data, header) == (text, charset)


def test_the_meta_tag_is_read() -> None:
    page = f'<html><head><meta http-equiv="Content-Type" content="text/html; charset=koi8-r"></head>{RUSSIAN}'
    assert decode(page.encode("koi8-r")) == (page, "koi8-r")


def test_a_page_cut_within_a_letter_is_read() -> None:
    text, charset = decode((GERMAN * 20).encode()[:-1] + "ü".encode()[:1], "utf-8")
    assert charset == "utf-8"
    assert text.endswith("\ufffd")


@pytest.mark.parametrize(
    "data", [bytes(range(256)) * 9, b"%PDF-1.4\n" + bytes(900), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 9]
)
def test_binary_data_is_no_text(data: bytes) -> None:
    with pytest.raises(ExtractionError) as error:
        decode(data)
    assert error.value.reason == "bad_encoding"


def test_an_unknown_name_is_passed_over() -> None:
    assert decode("häuser und bäume und straßen".encode("cp1252"), "x-nonsense")[0] == "häuser und bäume und straßen"
    assert decode(b"plain", "rot13")[1] == "utf-8"


@given(st.binary(), st.none() | st.text(max_size=12))
def test_any_bytes_are_text_or_bad_encoding(data: bytes, header: str | None) -> None:
    try:
        reason, charset = "", decode(data, header)[1]
    except ExtractionError as error:
        reason, charset = error.reason, "utf-8"
    assert reason in ("", "bad_encoding")
    codecs.lookup(charset)


@given(st.text(min_size=1))
def test_utf_8_comes_back(text: str) -> None:
    data = text.encode("utf-8", "ignore")
    if b"\x1b" not in data and not is_binary(data):
        assert decode(data)[0].lstrip("\ufeff") == data.decode().lstrip("\ufeff")
