"""What an EPUB says of itself: its metadata, the order of its files and its table of contents.

Nothing is written to disk, so a hostile path in the archive finds nothing but other members of it.
"""

import dataclasses
import posixpath
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote

from lxml import etree

CONTAINER = "META-INF/container.xml"
DC = "{http://purl.org/dc/elements/1.1/}"
PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
MAX_PAGES = 20_000


class TooLarge(Exception):
    """The archive inflates to more than is allowed."""


class Broken(Exception):
    """The archive holds no book."""


@dataclasses.dataclass(slots=True)
class Package:
    title: str | None
    author: str | None
    language: str | None
    date: str | None
    rights: str | None
    pages: list[str]  # members of the archive, in reading order
    contents: dict[str, list[str]]  # page: titles of the chapters that begin in it


class Archive:
    """Reads members, and no more than `max_bytes` of them in all, whatever sizes the archive states."""

    def __init__(self, file: zipfile.ZipFile, max_bytes: int) -> None:
        self.file, self.left = file, max_bytes

    def read(self, name: str) -> bytes:
        """Raises KeyError, TooLarge and what zipfile raises."""
        with self.file.open(name) as member:
            data = member.read(self.left + 1)
        self.left -= len(data)
        if self.left < 0:
            raise TooLarge
        return data


def package(archive: Archive) -> Package:
    """Raises Broken where the container or the package file cannot be followed."""
    container = _xml(archive.read(CONTAINER))
    path = next((str(e.get("full-path")) for e in container.iter("{*}rootfile") if e.get("full-path")), None)
    if path is None:
        raise Broken("the container names no package file")
    root = _xml(archive.read(path))
    items = {str(e.get("id")): e for e in root.iter("{*}item") if e.get("href")}
    spine = next(root.iter("{*}spine"), None)
    if spine is None:
        raise Broken("the package has no spine")
    references = [str(e.get("idref")) for e in spine.iter("{*}itemref") if e.get("linear") != "no"][:MAX_PAGES]
    pages = [_member(path, items[r]) for r in references if r in items and items[r].get("media-type") in PAGES]
    return Package(
        title=_dc(root, "title"),
        author=", ".join(dict.fromkeys(_all_dc(root, "creator"))) or None,
        language=_dc(root, "language"),
        date=_dc(root, "date"),
        rights=_dc(root, "rights"),
        pages=list(dict.fromkeys(pages)),
        contents=_contents(archive, path, items, spine.get("toc")),
    )


def _xml(data: bytes) -> etree._Element:
    # no entities from outside, no network, and no tree beyond libxml2's own limits
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True, load_dtd=False)
    root = etree.fromstring(data, parser) if data.strip() else None
    if root is None:
        raise Broken("not XML")
    return root


def _member(package_path: str, item: etree._Element) -> str:
    return _resolve(package_path, str(item.get("href")))


def _resolve(base: str, href: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(href.split("#")[0])))


def _all_dc(root: etree._Element, name: str) -> Iterator[str]:
    for element in root.iter(DC + name):
        if text := _text(element):
            yield text


def _dc(root: etree._Element, name: str) -> str | None:
    return next(_all_dc(root, name), None)


def _text(element: etree._Element) -> str:
    return " ".join("".join(str(t) for t in element.itertext()).split())


def _contents(
    archive: Archive, path: str, items: dict[str, etree._Element], ncx_id: str | None
) -> dict[str, list[str]]:
    """From the navigation document (EPUB 3), else from the NCX (EPUB 2); empty where neither can be read."""
    nav = [item for item in items.values() if "nav" in str(item.get("properties", "")).split()]
    ncx = [items[ncx_id]] if ncx_id in items else []
    for item, entries in [(i, _nav_entries) for i in nav] + [(i, _ncx_entries) for i in ncx]:
        member = _member(path, item)
        found: dict[str, list[str]] = {}
        try:
            for href, title in entries(_xml(archive.read(member))):
                found.setdefault(_resolve(member, href), []).append(title)
        except (KeyError, Broken, etree.XMLSyntaxError):
            continue
        if found:
            return found
    return {}


def _nav_entries(root: etree._Element) -> Iterator[tuple[str, str]]:
    for nav in root.iter("{*}nav"):
        if nav.get("{http://www.idpf.org/2007/ops}type", "toc") == "toc":
            for link in nav.iter("{*}a"):
                if link.get("href") and (title := _text(link)):
                    yield str(link.get("href")), title


def _ncx_entries(root: etree._Element) -> Iterator[tuple[str, str]]:
    for point in root.iter("{*}navPoint"):
        content, label = point.find("{*}content"), point.find("{*}navLabel")
        if content is not None and label is not None and content.get("src") and (title := _text(label)):
            yield str(content.get("src")), title
