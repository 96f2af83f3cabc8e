"""Where the chapters of a plain text begin, in English, French, German, Spanish, Italian and Portuguese.

Books say it in a line of its own; so does their table of contents, whose lines follow each other without a text.
"""

import dataclasses
import re

NUMBER = (
    r"(?:[IVXLC]{1,8}|\d{1,3}"
    r"|(?:the )?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last)"
    r"|(?:twenty|thirty|forty|fifty|sixty)?[- ]?(?:one|two|three|four|five|six|seven|eight|nine)"
    r"|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty"
    r"|premi[eè]re?|second[eo]?|deuxi[eè]me|troisi[eè]me|quatri[eè]me|cinqui[eè]me|sixi[eè]me|dernier"
    r"|primer[oa]?|primeir[oa]|prim[oa]|segund[oa]|terz[oa]|tercer[oa]?|terceir[oa]|quart[oa]|cuart[oa]|quint[oa]|[uú]nico"
    r"|erste[rs]?|zweite[rs]?|dritte[rs]?|vierte[rs]?|f[uü]nfte[rs]?|sechste[rs]?|siebte[rs]?|achte[rs]?|neunte[rs]?|zehnte[rs]?)"
)
KIND = (
    r"(?:chapter|book|part|volume|act|stave|letter|canto|section|scene"
    r"|chapitre|livre|partie|tome|acte|lettre|sc[eè]ne|chant"
    r"|cap[ií]tulo|libro|parte|acto|carta|jornada|tomo"
    r"|capitolo|atto|volume|lettera"
    r"|livro|ato"
    r"|kapitel|buch|teil|aufzug|akt|brief|gesang)"
)
# in capitals a title may follow as it is; else a mark must part it: `Part one of the plan was simple` is a sentence
CAPITALS = r"(?-i:CHAPTER|BOOK|PART|CHAPITRE|LIVRE|PARTIE|CAP[IÍ]TULO|LIBRO|PARTE|CAPITOLO|KAPITEL|BUCH|TEIL|ACT|ACTE)"
KEYWORD = re.compile(
    rf"^[ \t_]{{0,40}}(?:(?:{KIND}[ \t]+{NUMBER}|{NUMBER}[ \t]+{KIND})(?:[.:—–\])_-]+.{{0,80}}|[ \t]*)"
    rf"|{CAPITALS}[ \t]+(?-i:[IVXLC]{{1,8}}|\d{{1,3}})[ \t].{{1,80}})$",
    re.IGNORECASE | re.MULTILINE,
)
NUMERAL = re.compile(
    r"^[ \t]{0,40}(?:[IVXLC]{1,8}|\d{1,3})(?:\.?(?:[—–-]{1,2}.{1,60})?|\.[ \t]+[A-ZÀ-Ý“\"'‘].{1,60})$", re.MULTILINE
)
WORD = re.compile(
    rf"^[ \t_]{{0,40}}(?:{KIND}[ \t]+{NUMBER}|{NUMBER}[ \t]+{KIND})(?:[.:—–\])_-]+.{{0,80}}|[ \t]*)$",
    re.IGNORECASE | re.MULTILINE,
)
NUMERAL = re.compile(r"^[ \t]{0,40}(?:[IVXLC]{1,8}|\d{1,3})\.?(?:[—–-]{1,2}.{1,60})?$", re.MULTILINE)
WORD = re.compile(r"[^\W_]+")
ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
MIN_BODY = 250  # characters; less than this between two headings is a table of contents
MIN_CONTENTS = 3  # lines of it in a row
MIN_COUNTED = 3
MAX_TITLE = 120


@dataclasses.dataclass(slots=True)
class Heading:
    label: str  # its first two words in lower case, without marks: what tells it again
    start: int
    end: int


def chapters(text: str) -> list[tuple[str, int, int]]:
    """(title, start, end) in code points; a chapter begins with its heading and ends where the next begins.

    Empty where fewer than two headings were found.
    """
    found = _without_contents(_headings(KEYWORD, text), text)
    counted = _counted(_without_contents(_headings(NUMERAL, text), text))
    if len(counted) > 2 * len(found):  # parts have names, and chapters only numbers
        found = sorted(found + counted, key=lambda heading: heading.start)
    if len(found) < 2:
        return []
    ends = [h.start for h in found[1:]] + [len(text)]
    return [(_title(text, h), h.start, end) for h, end in zip(found, ends, strict=True)]


def _headings(pattern: re.Pattern[str], text: str) -> list[Heading]:
    """Lines after an empty line; those of a table of contents may follow each other."""
    found: list[Heading] = []
    for match in pattern.finditer(text):
        start = match.start()
        after_heading = bool(found) and found[-1].end + 1 == start
        if start == 0 or text.endswith("\n\n", 0, start) or after_heading:
            found.append(Heading(" ".join(WORD.findall(match[0].lower())[:2]), start, match.end()))
    return found


def _without_contents(found: list[Heading], text: str) -> list[Heading]:
    ends = [h.start for h in found[1:]] + [len(text)]
    short = [len(text[h.end : end].strip()) < MIN_BODY for h, end in zip(found, ends, strict=False)]
    kept: list[Heading] = []
    run = 0  # headings without a text, up to this one
    for i, heading in enumerate(found):
        if short[i]:
            run += 1
            continue
        again = any(h.label == heading.label for h in found[i + 1 :])
        if run < MIN_CONTENTS:
            kept += found[i - run : i]
        # the last line of a table of contents has a text behind it, the preface, and comes again as a heading
        if run < MIN_CONTENTS - 1 or not again:
            kept.append(heading)
        run = 0
    return kept


def _counted(found: list[Heading]) -> list[Heading]:
    """Bare numbers are headings only where they count 1, 2, 3: pages and lists do not get far."""
    best: list[Heading] = []
    for heading in found:
        if _value(heading.label) == len(best) + 1:
            best.append(heading)
    return best if len(best) >= MIN_COUNTED else []


def _value(label: str) -> int:
    number = re.match(r"[ivxlc]+|\d+", label)
    if not number:
        return 0
    if number[0].isdigit():
        return int(number[0])
    values = [ROMAN[c] for c in number[0].upper()]
    return sum(-v if v < after else v for v, after in zip(values, [*values[1:], 0], strict=True))


def _title(text: str, heading: Heading) -> str:
    """The heading, and the line right below it, which is where the name of a numbered chapter often stands."""
    line = text[heading.start : heading.end].strip(" \t_")
    below = text[heading.end + 1 : text.find("\n", heading.end + 1)].strip(" \t_")
    alone = text.startswith("\n\n", heading.end + 1 + len(text[heading.end + 1 :].split("\n", 1)[0]))
    if below and alone and len(below) <= 60:
        line = f"{line} {below}"
    return " ".join(line.split())[:MAX_TITLE]
