"""A wiki's page to text, node by node.

`strip_code` of mwparserfromhell keeps captions, categories, links to other languages and tables, and loses lists and
headings. Quotes of bold and italics are left to lines.py, which does not need them in pairs.
"""

import html
import re
from collections.abc import Iterator

import mwparserfromhell
from mwparserfromhell import nodes
from mwparserfromhell.wikicode import Wikicode

from corpus.extraction.wikitext.lines import BLOCK, CONTROLS, HEADING, ITEM, protect, text_of
from corpus.readers import Wikitext

UNSEEN_TAGS = frozenset(
    """ref references gallery timeline imagemap score templatedata graph mapframe maplink hiero inputbox categorytree
    table style script includeonly section indicator templatestyles""".split()
)
FORMULAS = frozenset("math chem ce".split())
BLOCKS = frozenset("pre source syntaxhighlight".split())
PARAGRAPHS = frozenset("p div center blockquote poem ul ol li dl dt dd h1 h2 h3 h4 h5 h6 hr".split())
# `[[fr:Titre]]` is a link to the page in French, at the margin; `[[wikt:word]]` and the like are links in the text
LANGUAGE = re.compile(r"(?!mw:|wmf:|doi:|rfc:)(?:[a-z]{2,3}(?:-[a-z]{2,10}){0,3}|simple):\S")
# names of files: their namespace has other names than a dump tells (`Bild:`, `Зображення:`)
FILE = re.compile(r"[^\s:]{2,40}:.{1,400}\.(?:jpe?g|png|svg|gif|tiff?|webp|ogg|ogv|oga|webm|pdf|djvu|mid|wav)", re.I)


def extract(page: Wikitext, form: str) -> str:
    """Paragraphs, headings, list items and link texts; `form` is text or markdown."""
    source = CONTROLS.sub("", page.source)
    code = mwparserfromhell.parse(source, skip_style_tags=True)
    return text_of("".join(_walk(code, page.unseen)), form == "markdown")


def _walk(code: Wikicode | None, unseen: frozenset[str]) -> Iterator[str]:
    for node in code.nodes if code is not None else ():
        if isinstance(node, nodes.Text):
            yield node.value
        elif isinstance(node, nodes.Wikilink):
            yield from _link(node, unseen)
        elif isinstance(node, nodes.ExternalLink):
            if node.title is not None or not node.brackets:
                yield from _walk(node.title if node.title is not None else node.url, unseen)
        elif isinstance(node, nodes.Heading):
            yield f"\n{HEADING}{node.level}{_line(node.title, unseen)}\n"
        elif isinstance(node, nodes.HTMLEntity):
            yield _entity(node)
        elif isinstance(node, nodes.Tag):
            yield from _tag(node, unseen)
        # templates, their arguments and comments show nothing that is written here


def _line(code: Wikicode, unseen: frozenset[str]) -> str:
    return " ".join("".join(_walk(code, unseen)).split())


def _link(link: nodes.Wikilink, unseen: frozenset[str]) -> Iterator[str]:
    title = str(link.title).strip()
    space = title.partition(":")[0].replace("_", " ").strip().lower() if ":" in title else ""
    if space in unseen or LANGUAGE.match(title) or FILE.fullmatch(title):
        return
    shown = _line(link.text, unseen) if link.text is not None else ""
    yield shown or _line(link.title, unseen).removeprefix(":")


def _entity(node: nodes.HTMLEntity) -> str:
    try:
        return protect(CONTROLS.sub("", str(node.normalize())))
    except (ValueError, OverflowError):  # `&#99999999;` is no character
        return ""


def _as_written(tag: nodes.Tag) -> str:
    return protect(CONTROLS.sub("", html.unescape(str(tag.contents or ""))))


def _tag(tag: nodes.Tag, unseen: frozenset[str]) -> Iterator[str]:
    markup = tag.wiki_markup
    name = str(tag.tag).strip().lower()
    if markup == "{|" or name in UNSEEN_TAGS:
        return
    if markup and markup in "*#:;":
        yield ITEM + markup
    elif name == "br":
        yield "\n"
    elif name in FORMULAS:
        yield protect(str(tag.contents or "").strip())
    elif name == "nowiki":
        yield _as_written(tag)
    elif name in BLOCKS:
        body = _as_written(tag).strip("\n")
        yield "\n\n" + "\n".join(BLOCK + line for line in body.split("\n")) + "\n\n"
    elif name in PARAGRAPHS or (markup or "").startswith("----"):
        yield "\n"
        if tag.contents is not None:
            yield from _walk(tag.contents, unseen)
            yield "\n"
    elif tag.contents is not None:
        yield from _walk(tag.contents, unseen)
