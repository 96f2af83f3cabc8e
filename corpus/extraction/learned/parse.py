"""Hostile or broken HTML to well-formed HTML, by the HTML standard's own algorithm (Lexbor), in bounded time."""

from selectolax.lexbor import LexborHTMLParser

from corpus.extraction.learned.tame import tamed

MAX_CHARS = 10_000_000  # what comes after is not read


def well_formed(html: str) -> bytes:
    """The parser's serialisation: every tag closed, attributes quoted."""
    # An <iframe/> that nothing closes swallows the page, in <noscript> too, which browsers do not parse.
    html = html[:MAX_CHARS].replace("<iframe", "<i-frame").replace("</iframe", "</i-frame")
    return (LexborHTMLParser(tamed(html.encode("utf-8", "replace"))).html or "").encode("utf-8", "replace")
