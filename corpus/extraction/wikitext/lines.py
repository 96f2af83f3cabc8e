"""Lines of a page's text: lists and headings as other engines write them, and no markup that nobody closed.

What the walk over a page knows of a line reaches here in control characters, which no page has.
"""

import re
from collections.abc import Iterator

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff]")
ITEM, HEADING, BLOCK = "\x01", "\x02", "\x03"  # before each sign of a list; a heading's level; a line as it is written
# Signs of markup within text that shows them, out of the reach of what is done to lines.
_SIGNS = str.maketrans("[]{}'<>|_", "\x04\x05\x06\x07\x08\x0e\x0f\x10\x11")
_WRITTEN = {written: sign for sign, written in _SIGNS.items()}
QUOTES = re.compile("'{2,}")
SWITCH = re.compile(r"__([^\W_]+(?:_[^\W_]+){0,3})__")  # `__NOTOC__`, in the language of the wiki
# Left open, or closed only by a template: a line of a table or of a template's arguments is no text.
LEFT_OPEN = re.compile(r"[\s:]*(?:\{\||\|[-}+|]?|\{\{|\}\}|!.*!!)")
BRACKETS = re.compile(r"\[\[|\]\]|\{\{+|\}\}+")
TAG = re.compile(
    r"</?(?:ref|references|br|b|i|u|s|p|div|span|small|big|sup|sub|center|font|blockquote|table|tr|td|th|ul|ol|li|tt|"
    r"code|nowiki|noinclude|includeonly|onlyinclude|gallery|poem|cite|em|strong|del|ins|math|abbr|syntaxhighlight|"
    r"source|pre)(?:\s[^<>]{0,500})?/?>|<!--|-->",
    re.IGNORECASE,
)
EMPTY = re.compile(r"\(\s*[,;:\s]*\)")  # what is left where a template stood alone, as of a pronunciation
INNER = re.compile(r"(?<=\()[\s,;]+|\s+(?=\))")
STOP = re.compile(r" +([,.])(?=\s|$)")
SPACES = re.compile(r"[ \t\xa0]+")
GAPS = re.compile(r"\n{3,}")
WORD = re.compile(r"\w")
ITEMS = re.compile(f"(?:{ITEM}[*#:;])+")

Line = tuple[int, str]  # level of a heading, 0 for text


def protect(text: str) -> str:
    """Text that shows its signs as they are written."""
    return text.translate(_SIGNS)


def text_of(marked: str, markdown: bool) -> str:
    """The walk's characters as text."""
    lines = []
    for level, line in _filled(list(_lines(marked))):
        if level:
            lines += ["", f"{'#' * level} {line}" if markdown else line, ""]
        else:
            lines.append(line)
    return GAPS.sub("\n\n", "\n".join(lines)).strip("\n").translate(_WRITTEN)


def _lines(marked: str) -> Iterator[Line]:
    items: list[tuple[str, int]] = []
    for line in marked.split("\n"):
        if line.startswith(BLOCK):
            yield 0, line.replace(BLOCK, "")
            continue
        if line.startswith(HEADING):
            yield int(line[1]), _clean(line[2:])
            continue
        line = line.lstrip()
        found = ITEMS.match(line)
        signs = found[0].replace(ITEM, "") if found else ""
        if not signs:
            items = []
        text = _clean(line[found.end() :] if found else line)
        if signs and not WORD.search(text):  # a full stop behind a template
            text = ""
        yield 0, _bullet(signs, items) + text if text else ""


def _clean(line: str) -> str:
    """Without what nobody closed; empty where that is all."""
    line = line.replace(ITEM, "").replace(HEADING, "").replace(BLOCK, "")
    if LEFT_OPEN.match(line):
        return ""
    line = SWITCH.sub(lambda found: "" if found[1].isupper() else found[0], line)
    line = TAG.sub("", line)
    line = BRACKETS.sub("", line)
    while (shorter := BRACKETS.sub("", EMPTY.sub("", line))) != line:  # one may stand within another
        line = shorter
    line = QUOTES.sub(_apostrophe, line)
    return STOP.sub(r"\1", SPACES.sub(" ", INNER.sub("", line))).strip()


def _apostrophe(quotes: re.Match[str]) -> str:
    """As MediaWiki reads them: two are italics, three bold, five both; one too many is an apostrophe."""
    return "'" if len(quotes[0]) in (4, 6) else ""


def _bullet(signs: str, items: list[tuple[str, int]]) -> str:
    """The mark of a list's item. `items` counts those of the lists that are open, outermost first."""
    if not signs:
        return ""
    for depth, sign in enumerate(signs):
        if items[depth : depth + 1] and items[depth][0] != sign:
            del items[depth:]
        if depth == len(items):
            items.append((sign, 0))
    del items[len(signs) :]
    items[-1] = (signs[-1], items[-1][1] + 1)
    mark = {"*": "- ", "#": f"{items[-1][1]}. "}.get(signs[-1], "")
    return "  " * (len(signs) - 1) * bool(mark) + mark


def _filled(lines: list[Line]) -> list[Line]:
    """Without headings that have nothing below them but others of their kind (`See also`, once its links are gone)."""
    kept: list[Line] = []
    below = 0  # level of the kept heading behind; -1 where a text is
    for level, line in reversed(lines):
        if level and not (line and (below < 0 or below > level)):
            continue
        if line or not level:
            kept.append((level, line))
        if level:
            below = level
        elif line:
            below = -1
    return kept[::-1]
