"""Metadata: what a page says of itself, and dates as people write them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.dates import iso_date
from corpus.metadata import scan

HEAD = """<!doctype html><html class="x" lang="en-GB"><head><title> Page &amp; Title </title>
<meta property="og:title" content="The &quot;Title&quot;"><META NAME="author" CONTENT='Jane Doe'>
<meta content="2023-05-06T07:08:09Z" property="article:published_time"/>
<meta property=og:site_name content=Example></head><body><h1>Heading</h1></body></html>"""


def test_meta_tags_in_any_writing() -> None:
    meta = scan(HEAD)
    assert (meta.title, meta.author, meta.date) == ('The "Title"', "Jane Doe", "2023-05-06")
    assert (meta.site, meta.language_hint) == ("Example", "en-gb")


def test_json_ld() -> None:
    page = (
        '<html><head></head><body><script type="application/ld+json">{"@type":"Article","datePublished":'
        '"2021-02-03T00:00:00+01:00","author":[{"@type":"Person","name":"Ann Other"}]}</script></body></html>'
    )
    meta = scan(page)
    assert (meta.author, meta.date) == ("Ann Other", "2021-02-03")


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title>Only\n  this</title>", "Only this"),
        ("<TITLE>Upper</TITLE>", "Upper"),
        ("<body><h1 class=x>A <em>fine</em> heading</h1>", "A fine heading"),
        ("<title></title><p>none", None),
        ("<title>" + "x" * 900 + "</title>", None),
        ("", None),
    ],
)
def test_titles(page: str, title: str | None) -> None:
    assert scan(page).title == title


def test_an_address_is_no_author() -> None:
    assert scan('<meta property="article:author" content="https://facebook.com/someone">').author is None


@pytest.mark.parametrize(
    ("written", "iso"),
    [
        ("2023-05-06T07:08:09Z", "2023-05-06"),
        ("20230506", "2023-05-06"),
        ("2023/5/6", "2023-05-06"),
        ("May 6, 2023", "2023-05-06"),
        ("6th May 2023", "2023-05-06"),
        ("Sat, 06 May 2023 10:00:00 GMT", "2023-05-06"),
        ("March, 1994", "1994-03"),
        ("2023-05", "2023-05"),
        ("2023", "2023"),
        ("03/04/2020", None),
        ("2023-13-45", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates(written: str, iso: str | None) -> None:
    assert iso_date(written) == iso


@given(st.text())
def test_nothing_raises(page: str) -> None:
    scan(page)
    scan(f"<html lang={page}><meta name=author content={page}><title>{page}</title>")
    iso_date(page)


@pytest.mark.parametrize(
    "piece", ["<meta ", "<title", "<h1", "<h1>", "<html ", "<time ", '"author":{', "<", '"author"']
)
def test_hostile_pages_take_no_time(piece: str) -> None:
    page = '<script type="application/ld+json">' + piece * (300_000 // len(piece))
    start = time.process_time()
    scan(page)
    assert time.process_time() - start < 2
