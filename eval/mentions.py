"""Entities, dates and numbers in a text, found by their form: no model, no language's grammar, only what is written.

Limits: an entity is a run of capitalised words, so German nouns count and scripts without case have none.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

KINDS = ("entity", "date", "number")
_MONTHS = """january february march april may june july august september october november december
januar februar märz mai juni juli oktober dezember janvier février mars avril juin juillet août septembre octobre
novembre décembre enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre gennaio
febbraio aprile maggio giugno luglio settembre ottobre dicembre januari februari maart mei augustus janeiro fevereiro
março maio junho julho setembro outubro dezembro""".split()
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_MONTH = "(?:" + "|".join(sorted(set(_MONTHS), key=lambda word: (-len(word), word))) + ")"
# Ideographs stand beside digits without a space; Latin letters beside them are names of versions and models.
_LATIN = "[A-Za-z_\u00c0-\u024f]"
_ALONE = r"(?<![\dA-Za-z_\u00c0-\u024f.,:/-])"
_DATE = re.compile(
    rf"\b\d{{4}}-\d\d-\d\d\b|\b\d{{1,2}}\.? (?:de )?{_MONTH},?(?: de)? \d{{4}}\b|\b{_MONTH} \d{{1,2}},? \d{{4}}\b"
    rf"|\b{_MONTH} \d{{4}}\b|\d{{4}}年(?:\d{{1,2}}月(?:\d{{1,2}}日)?)?"
    rf"|{_ALONE}(?:1\d|20)\d\d(?!{_LATIN}|[\d:/-]|[.,]\d)",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?<![\w.,:/-])\d{1,3}(?:[,.]\d{3})+(?:\.\d+)?(?!\w)|(?<![\w.,:/-])\d+(?:\.\d+)?(?![\w:/-]|[.,]\d)"
)
_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_INSIDE = frozenset("of de van von der la del di du da the".split())  # may stand within a name
# Capitalised for another reason than being a name.
_PLAIN = frozenset(
    """i the a an this that these those it he she we they you his her its our their my your in on at by for from to of
    and but or if when while as with after before since because there here what who how why where which not no yes
    mr mrs ms dr note example see also""".split()
)
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+(?=\S)|(?<=[。！？])|\n+")


@dataclass(frozen=True)
class Mention:
    """Code points [start, end) of a text."""

    kind: str
    start: int
    end: int
    text: str

    @property
    def shape(self) -> str:
        """What a stand-in must look like to be no giveaway: digits as 0, letters of dates as a, words of a name."""
        if self.kind == "entity":
            return str(len(self.text.split()))
        return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d", "0", self.text))


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """[start, end) of each sentence or line, without the white space between them."""
    start = 0
    for border in _SENTENCE.finditer(text):
        yield from _trimmed(text, start, border.start())
        start = border.end()
    yield from _trimmed(text, start, len(text))


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    if piece.strip():
        yield start + len(piece) - len(piece.lstrip()), end - (len(piece) - len(piece.rstrip()))


def mentions(text: str) -> list[Mention]:
    """Mentions in order of place; none overlaps another."""
    found = [Mention("date", m.start(), m.end(), m[0]) for m in _DATE.finditer(text)]
    taken = {at for mention in found for at in range(mention.start, mention.end)}
    numbers = (Mention("number", m.start(), m.end(), m[0]) for m in _NUMBER.finditer(text))
    found += [m for m in numbers if not taken & set(range(m.start, m.end))]
    found += [m for m in _entities(text) if not taken & set(range(m.start, m.end))]
    return sorted(found, key=lambda mention: mention.start)


def _entities(text: str) -> Iterator[Mention]:
    for start, end in sentences(text):
        run: list[re.Match[str]] = []
        for word in _WORD.finditer(text, start, end):
            joins = bool(run) and text[run[-1].end() : word.start()] == " "
            if run and not joins:
                yield from _entity(text, run, start)
                run = []
            if word[0][0].isupper() or (run and word[0] in _INSIDE):
                run.append(word)
            else:
                yield from _entity(text, run, start)
                run = []
        yield from _entity(text, run, start)


def _entity(text: str, run: list[re.Match[str]], sentence: int) -> Iterator[Mention]:
    while run and run[-1][0].lower() in _INSIDE:
        run = run[:-1]
    while run and run[0][0].lower() in _PLAIN:
        run = run[1:]
    if not run or (len(run) == 1 and (run[0].start() == sentence or run[0][0].lower() in {*_MONTHS, *_DAYS})):
        return  # the first word of a sentence is capitalised whatever it is
    said = text[run[0].start() : run[-1].end()]
    if len(said) > 2 and len(run) <= 6:
        yield Mention("entity", run[0].start(), run[-1].end(), said)
