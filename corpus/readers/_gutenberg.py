"""Project Gutenberg's licence around a book, and what its header says of the book.

The wording changed many times since 1991; the patterns were checked on 57 files of 2004 to 2024 (tests) and written
for the "small print" of the nineties as well.
"""

import dataclasses
import re

from corpus.dates import iso_date

FLAGS = re.IGNORECASE | re.MULTILINE
START = re.compile(
    r"^[ \t]*\*{3}[ \t]?START OF TH(?:E|IS) PROJECT GUTENBERG E-?(?:BOOK|TEXT)[^*]{0,300}?(?:\*{3}|\n\n)"
    r"|^[ \t]*\*?END[ \t]?\*?[ \t]?THE SMALL PRINT!.{0,80}$",
    FLAGS,
)
END = re.compile(r"^[ \t]*\*{3}[ \t]?END OF TH(?:E|IS) PROJECT GUTENBERG E-?(?:BOOK|TEXT)", FLAGS)
FAREWELL = re.compile(r"^[ \t]*End of (?:the |this )?Project Gutenberg(?:'s|’s| e-?book| e-?text| edition)", FLAGS)
LICENCE = re.compile(r"^[ \t]*START: FULL LICENSE[ \t]*$", FLAGS)
# what volunteers put between the header and the book: one paragraph, or two
CREDIT = re.compile(
    r"(?:produced by|e-?text prepared by|this e-?(?:text|book) was (?:produced|prepared|transcribed)|prepared by"
    r"|transcribed (?:from|by)|updated editions will|credits:|\(this file was produced|html version by"
    r"|credits :|scanned by|distributed proofreaders)",
    re.IGNORECASE,
)
FIELD = re.compile(
    r"^(Title|Author|Language|Release Date|Posting Date|Translator)[ \t]*:[ \t]*(.+(?:\n[ \t]{4,}\S.*)*)", FLAGS
)
FURTHEST_START = 30_000  # characters; the small print was 12,000 long
LANGUAGES = {
    "english": "en",
    "french": "fr",
    "german": "de",
    "spanish": "es",
    "italian": "it",
    "portuguese": "pt",
    "dutch": "nl",
    "latin": "la",
    "finnish": "fi",
    "swedish": "sv",
    "danish": "da",
    "norwegian": "no",
    "polish": "pl",
    "russian": "ru",
    "hungarian": "hu",
    "greek": "el",
    "chinese": "zh",
    "japanese": "ja",
    "catalan": "ca",
    "esperanto": "eo",
}


@dataclasses.dataclass(slots=True)
class Header:
    title: str | None = None
    author: str | None = None
    date: str | None = None  # of the release, ISO 8601
    language_hint: str | None = None


def body(text: str) -> tuple[int, int]:
    """The span of the book itself within `text`, without blank space around it; all of it where nothing is found."""
    start = _start(text)
    end = _end(text, start)
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())


def header(text: str) -> Header:
    """The fields above the start of the book; empty where there is no Gutenberg header."""
    start = START.search(text, 0, FURTHEST_START)
    if not start:
        return Header()
    fields = {m[1].lower(): " ".join(m[2].split()) for m in reversed(list(FIELD.finditer(text, 0, start.start())))}
    date = fields.get("release date") or fields.get("posting date") or ""
    language = fields.get("language", "").lower()
    return Header(
        fields.get("title"),
        fields.get("author"),
        iso_date(date.split("[")[0]),
        LANGUAGES.get(language, language or None),
    )


def _start(text: str) -> int:
    match = START.search(text, 0, FURTHEST_START)
    if not match:
        return 0
    position = match.end()
    for _ in range(3):
        paragraph_end = text.find("\n\n", len(text) - len(text[position:].lstrip()))
        paragraph = text[position:paragraph_end].strip()
        if paragraph_end < 0 or not CREDIT.match(paragraph) or len(paragraph) > 800:
            break
        position = paragraph_end
    return position


def _end(text: str, start: int) -> int:
    match = END.search(text, start) or FAREWELL.search(text, start) or LICENCE.search(text, start)
    if not match:
        return len(text)
    # the farewell stands a few lines above the line of asterisks
    farewell = FAREWELL.search(text, max(start, match.start() - 600), match.start())
    return farewell.start() if farewell else match.start()
