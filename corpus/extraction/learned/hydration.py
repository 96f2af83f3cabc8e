"""Text that only scripts carry: JSON-LD and the data that a client-rendered page is filled from.

Used where a page shows next to nothing, and for a product's description that is nowhere on the page.
"""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import orjson

THIN_WORDS = 60  # a page that shows fewer has its text elsewhere, if anywhere
THIN_PRODUCT_WORDS = 200  # with more, what a shop tells search engines of its product is rarely missed
MIN_WORDS = 20  # of a text worth having
MAX_BYTES = 4 << 20  # of one script
MAX_NODES = 200_000  # of its data
SCRIPT = re.compile(r"<script\b([^>]{0,500})>", re.IGNORECASE)
PRELOADED = re.compile(r"""data-preloaded=(?:"([^"]{100,4000000})"|'([^']{100,4000000})')""")
TAG = re.compile(r"<[^<>]{0,2000}>")
BREAK = re.compile(r"</?(?:p|br|div|li|h[1-6]|tr|ul|ol|blockquote|pre)\b[^<>]{0,500}>", re.IGNORECASE)
SPACE = re.compile(r"[ \t\r\f\v\xa0]+")
LINES = re.compile(r"\s*\n\s*")
# keys under which sites keep what a reader is meant to read
BODIES = frozenset(
    "articleBody text cooked body content reviewBody description recipeInstructions html bodyHtml body_html "
    "contentHtml article_body transcript answer acceptedAnswer storyText".split()
)
TYPES = frozenset("Product ProductGroup".split())


def text(html: str, visible: str) -> str | None:
    """A better text than the visible one, or None."""
    num_words = len(visible.split())
    if num_words >= THIN_PRODUCT_WORDS:
        return None
    if num_words < THIN_WORDS:
        found = "\n\n".join(_texts(html))
        return found if len(found.split()) > max(MIN_WORDS, 2 * num_words) else None
    described = _description(html)
    if described is not None and not _is_in(described, visible):
        return f"{visible}\n\n{described}"
    return None


def _texts(html: str) -> list[str]:
    """JSON-LD if it has any; else the largest texts of other data."""
    for sources in (_scripts(html, "ld+json"), _preloaded(html), _scripts(html, "/json")):
        found: dict[str, None] = {}
        for source in sources:
            for key, value in _strings(source):
                plain = _plain(value) if key in BODIES else ""
                if len(plain.split()) >= MIN_WORDS:
                    found[plain] = None
        if found:
            return [one for one in found if not any(one != other and one in other for other in found)]
    return []


def _description(html: str) -> str | None:
    if '"Product' not in html or "ld+json" not in html:
        return None
    for source in _scripts(html, "ld+json"):
        for node in _nodes(source):
            kind = node.get("@type")
            if isinstance(kind, str) and kind in TYPES and isinstance(node.get("description"), str):
                plain = _plain(node["description"])
                if len(plain.split()) >= MIN_WORDS:
                    return plain
    return None


def _is_in(text: str, visible: str) -> bool:
    """Whether most runs of five words of the text stand in the visible one."""
    words, page = text.lower().split(), " ".join(visible.lower().split())
    runs = [" ".join(words[i : i + 5]) for i in range(0, max(1, len(words) - 4), 5)]
    return sum(run in page for run in runs) > 0.3 * len(runs)


def _scripts(html: str, kind: str) -> Iterator[Any]:
    for match in SCRIPT.finditer(html):
        if kind in match[1]:
            end = html.find("</script", match.end(), match.end() + MAX_BYTES)
            if end > 0:
                yield from _parsed(html[match.end() : end])


def _preloaded(html: str) -> Iterator[Any]:
    """Discourse keeps each topic as JSON within JSON within an attribute."""
    match = PRELOADED.search(html) if "data-preloaded" in html else None
    for outer in _parsed(unescape(match[1] or match[2])) if match else ():
        for inner in outer.values() if isinstance(outer, dict) else ():
            if isinstance(inner, str) and '"cooked"' in inner:
                yield from _parsed(inner)


def _parsed(source: str) -> list[Any]:
    try:
        return [orjson.loads(source.strip().rstrip(";"))]
    except ValueError:  # raw line breaks in strings are the commonest fault
        try:
            return [orjson.loads(re.sub(r"[\x00-\x1f]+", " ", source).strip())]
        except ValueError:
            return []


def _nodes(source: Any) -> Iterator[dict[str, Any]]:
    held, seen = [source], 0
    while held and seen < MAX_NODES:
        node = held.pop()
        seen += 1
        if isinstance(node, dict):
            yield node
            held.extend(reversed(node.values()))
        elif isinstance(node, list):
            held.extend(reversed(node))


def _strings(source: Any) -> Iterator[tuple[str, str]]:
    for node in _nodes(source):
        for key, value in node.items():
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, str):
                    yield key, item


def _plain(value: str) -> str:
    """The text of a piece of HTML, or of text."""
    if "&" in value:
        value = unescape(value)
    if "<" in value:
        value = TAG.sub("", BREAK.sub("\n", value))
    return LINES.sub("\n", SPACE.sub(" ", unescape(value))).strip()
