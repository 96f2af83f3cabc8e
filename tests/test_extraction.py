"""What holds for every engine, and what each makes of a page."""

import io
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.extraction import Extracted, ExtractionError, Page, engine, engines

SENTENCES = [
    "The harbour was quiet when the first boats came in, and nobody spoke for a while.",
    "Later in the morning the market opened, and the noise of the town came back at once.",
    "By noon the fish were sold, the nets were hung up to dry, and the men went home to sleep.",
    "Nobody could remember a summer as dry as this one, not even the old keeper of the lighthouse.",
]
ARTICLE = "".join(f"<p>{sentence}</p>" for sentence in SENTENCES * 3)
PAGE = f"""<!doctype html><html lang="en"><head><title>Harbour</title><meta name="author" content="A. Writer">
<script>var secret = "script";</script><style>p {{ color: red }}</style></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About us</a></li></ul></nav>
<article><h1>Harbour</h1>{ARTICLE}
<ul><li>A list item about the boats.</li><li>Another item about nets.</li></ul></article>
<div class="comments"><p>Nice article, thanks for it!</p></div>
<footer><p>Copyright 2020, all rights reserved, imprint and so on.</p></footer></body></html>"""


@pytest.fixture(params=engines())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def extract(name: str, html: str) -> Extracted:
    return engine(name).extract(Page(html, "http://a.example/", "utf-8"))


def outcome(name: str, html: str) -> tuple[str, str]:
    """(reason of failure or nothing, text)"""
    try:
        text = extract(name, html).text
    except ExtractionError as error:
        return error.reason, ""
    text.encode("utf-8")
    return "", text


def test_all_engines_are_listed() -> None:
    assert engines() == ["blocks", "fast", "trafilatura"]


def test_the_version_names_the_library(name: str) -> None:
    library, version = engine(name).version().split(" ")
    assert library in ("blocks", "trafilatura", "resiliparse")
    assert version[0].isdigit()


def test_main_text_without_what_surrounds_it(name: str) -> None:
    text = extract(name, PAGE).text
    assert all(sentence in text for sentence in SENTENCES)
    assert name == "fast" or "A list item about the boats." in text  # resiliparse drops short lists
    for noise in ("secret", "color", "About us", "Copyright"):
        assert noise not in text


def test_paragraphs_are_lines(name: str) -> None:
    lines = [line.strip() for line in extract(name, PAGE).text.split("\n")]
    assert sum(line in SENTENCES for line in lines) >= len(SENTENCES)


def test_metadata_is_the_same_for_all(name: str) -> None:
    page = extract(name, PAGE)
    assert (page.title, page.author, page.language_hint) == ("Harbour", "A. Writer", "en")


@pytest.mark.parametrize("html", ["", " ", "<html><body></body></html>", "<script>x</script>", "\x00", "<!-- -->"])
def test_a_page_without_text_says_so(name: str, html: str) -> None:
    with pytest.raises(ExtractionError) as error:
        extract(name, html)
    assert error.value.reason == "no_text"


@given(
    html=st.text()
    | st.lists(st.sampled_from(["<p>", "</p>", "<div>", "a b", "<table>", "<td>", "&#xD800;", "\ud800", "<"])).map(
        "".join
    )
)
@settings(max_examples=60, deadline=None)
def test_any_html_is_text_or_no_text(html: str) -> None:
    assert all(outcome(each, html)[0] in ("", "no_text") for each in engines())


def test_deep_pages_do_no_harm(name: str) -> None:
    deep = "<div>" * 5_000 + f"<p>{SENTENCES[0]}</p>" + "</div>" * 5_000
    assert outcome(name, f"<html><body>{deep}{ARTICLE}</body></html>")[0] in ("", "no_text")


def test_the_declared_encoding_is_ignored_for_decoded_text(name: str) -> None:
    html = '<?xml version="1.0" encoding="iso-8859-1"?>' + PAGE.replace("quiet", "très calme")
    assert "très calme" in extract(name, html).text


def test_nothing_is_logged(name: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        with pytest.raises(ExtractionError):
            extract(name, "<html></html>")
    finally:
        logging.getLogger().removeHandler(handler)
    assert stream.getvalue() == ""


def test_real_pages() -> None:
    folder = Path(__file__).parents[2] / "shared" / "data" / "web" / "html_sample"
    paths = sorted(folder.glob("*.html"))[:20]
    if not paths:
        pytest.skip("shared/data is not here")
    for each in engines():
        texts = [outcome(each, path.read_bytes().decode("utf-8", "replace"))[1] for path in paths]
        found = sum(len(text) > 100 for text in texts)
        assert found >= 0.8 * len(paths), each
