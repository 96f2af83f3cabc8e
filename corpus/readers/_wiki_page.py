"""What a dump says of its wiki, and the XML of one page.

A page is parsed by itself, without the document around it: no declaration of an entity can reach it, so there is
nothing to expand and nothing to fetch.
"""

import dataclasses
import html
import re
from urllib.parse import quote
from xml.parsers import expat

BASE = re.compile(r"<base>\s*(https?://[^<\s]{1,2000})\s*</base>")
PREFIX = re.compile(r".*(?:/|[?&]title=)")
LANGUAGE = re.compile(r"<mediawiki\s[^>]{0,2000}?xml:lang=[\"']([a-zA-Z0-9-]{1,40})[\"']")
NAMESPACE = re.compile(r"<namespace\s+key=[\"'](-?\d{1,9})[\"'][^>]{0,200}>([^<]{1,200})</namespace>")
MAIN = "0"
UNSEEN = {"-2": "media", "6": "file", "14": "category"}  # keys of namespaces whose links show no text
UNQUOTED = ";@$!*(),/~:"  # as MediaWiki leaves them in an address
MAX_DEPTH = 16  # MediaWiki's own pages have 4
MAX_ELEMENTS = 1_000_000  # expat keeps every name that it meets
KEPT = frozenset(
    {"title", "ns", "id", "redirect", "text"}
    | {f"revision/{name}" for name in ("id", "timestamp", "model", "format", "text")}
)


class Broken(Exception):
    """No page in well-formed XML."""


@dataclasses.dataclass(frozen=True)
class Site:
    """A wiki, as the head of its dump describes it; a dump without one has pages all the same."""

    prefix: str | None  # of a page's address
    language: str | None
    namespaces: dict[str, str]  # name in lower case: key
    unseen: frozenset[str]  # names in lower case of namespaces whose links show no text

    def address(self, title: str) -> str | None:
        return self.prefix + quote(title.replace(" ", "_"), safe=UNQUOTED) if self.prefix else None

    def namespace(self, title: str) -> str:
        """Of a page that does not state its own, as in old dumps."""
        return self.namespaces.get(title.partition(":")[0].strip().lower(), MAIN) if ":" in title else MAIN


def site(head: str) -> Site:
    """Never raises; what is not said is not known."""
    base, language = BASE.search(head), LANGUAGE.search(head)
    names = {html.unescape(name).lower(): key for key, name in NAMESPACE.findall(head)}
    prefix = PREFIX.match(html.unescape(base[1])) if base else None
    unseen = {"image", *UNSEEN.values(), *(name for name, key in names.items() if key in UNSEEN)}
    return Site(prefix[0] if prefix else None, language[1].lower() if language else None, names, frozenset(unseen))


def fields(data: bytes) -> dict[str, str]:
    """Texts by the names of their elements, `revision/text` among them; of several revisions those of the last.

    Raises UnicodeDecodeError, Broken.
    """
    data.decode("utf-8")  # expat would only say `not well-formed`
    reading = _Reading()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text, parser.buffer_size = True, 1 << 16
    parser.StartElementHandler, parser.EndElementHandler = reading.start, reading.end
    parser.CharacterDataHandler = reading.characters
    try:
        for piece in (b"<page>", data, b"</page>"):
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise Broken(f"not well-formed: {error}") from None
    return {name: "".join(texts) for name, texts in reading.found.items()}


class _Reading:
    """What expat has met so far of a page."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}
        self._path: list[str] = []
        self._texts: list[str] | None = None  # of the element in hand, if it is one to keep
        self._elements = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._path) == MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise Broken(f"more than {MAX_DEPTH} levels or {MAX_ELEMENTS} elements")
        self._path.append(name)
        here = "/".join(self._path[1:])
        if here == "revision":
            self.found = {key: texts for key, texts in self.found.items() if not key.startswith("revision")}
        self._texts = [] if here in KEPT else None
        if self._texts is not None:
            self.found[here] = self._texts
            if here == "redirect":
                self._texts.append(attributes.get("title", ""))

    def end(self, name: str) -> None:
        self._path.pop()
        self._texts = None

    def characters(self, text: str) -> None:
        if self._texts is not None:
            self._texts.append(text)
