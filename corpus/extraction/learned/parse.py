"""Hostile or broken HTML to well-formed HTML, by the HTML standard's own algorithm (Lexbor), in bounded time."""

from selectolax.lexbor import LexborHTMLParser


def well_formed(html: str) -> bytes:
    """The parser's serialisation: every tag closed, attributes quoted."""
    # An <iframe/> that nothing closes swallows the page, in <noscript> too, which browsers do not parse.
    html = html.replace("<iframe", "<i-frame").replace("</iframe", "</i-frame")
    return (LexborHTMLParser(html.encode("utf-8", "replace")).html or "").encode("utf-8", "replace")
