"""One form for every text: repaired mojibake, NFC, plain newlines, no control characters.

Everything after this (hashes, line filters, deduplication) compares bytes, so what means the same must be the same.
Quotes, dashes, ligatures and width stay as they were written.
"""

import re
import unicodedata

import ftfy
from ftfy.badness import is_bad
from ftfy.fixes import fix_c1_controls

# Looking for the rare on UTF-8 bytes: 500 MB/s, where a character class over non-ASCII text reads 20 MB/s.
CONTROLS = bytes(set(range(32)) - {9, 10}) + b"\x7f"
# C1, byte order marks, and of U+20xx the line separators and the spaces of odd widths
RARE = re.compile(rb"\xc2[\x80-\x9f]|\xef\xbb\xbf|\xe2(?:\x80[\x80-\x8a\xa8\xa9\xaf]|\x81\x9f)")
# ftfy's own test reads 6 MB/s. These sequences are what UTF-8 that was read as windows-1252, or as windows-1251, must
# contain: a lead byte and as many continuation bytes as it asks for, so that an é before an ellipsis is none.
CONTINUATION = rb"(?:\xc2[\x80-\xbf]|\xe2[\x80\x82\x84].|\xc5[\x92-\xbe]|\xc6\x92|\xcb[\x86\x9c])"
CYRILLIC = rb"(?:\xc2[\xa0-\xbf]|\xd0[\x82-\x8f]|\xd1[\x90-\x9f]|\xd2[\x90\x91]|\xe2[\x80\x82\x84].)"
# Each pattern begins with one fixed byte, which lets `re` skip to it (500 MB/s; a choice of two reads 28 MB/s).
MOJIBAKE = (
    re.compile(
        rb"\xc3(?:[\x82-\x9f]%b|[\xa0-\xaf]%b{2}|[\xb0-\xb4]%b{3}" % (CONTINUATION, CONTINUATION, CONTINUATION)
        + rb"|\x83 |\xa2\xe2\x82\xac)",  # a no-break space that became a space; a quote whose last byte was lost
        re.DOTALL,
    ),
    re.compile(
        rb"\xd0(?:[\xa0\xa1]%b\xd0[\xa0\xa1]%b|\xb2(?:\xd0\x82|\xe2\x80[\x9a\x9e]))" % (CYRILLIC, CYRILLIC), re.DOTALL
    ),
)
NEWLINES = re.compile("\r|[\x0b\x0c\x1c-\x1e\u2028\u2029]")
REMOVED = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
SPACES = re.compile("[\u2000-\u200a\u202f\u205f]")
TRAILING = re.compile("[ \t]+\n")
BLANK_LINES = re.compile("\n{3,}")
BLANK = " \t\n"
MAX_ROUNDS = 4  # mojibake of mojibake needs two; the last round only finds nothing to do


def normalise(text: str) -> tuple[str, int]:
    """The text and how many of its characters were removed or replaced. Idempotent: a second call changes nothing.

    More than one empty line in a row becomes one; blank space at line ends and around the text goes; no-break spaces
    and spaces of odd widths become plain ones.
    """
    repairs = 0
    for _ in range(MAX_ROUNDS):
        text, changed = _once(text)
        repairs += changed
        if not changed:
            break
    return text, repairs


def _once(text: str) -> tuple[str, int]:
    before = len(text)
    if "\r\n" in text:
        text = text.replace("\r\n", "\n")
    changed = before - len(text)
    data = text.encode("utf-8", "surrogatepass")
    if _needs_cleaning(data, text):
        text, more = _clean(text)
        changed += more
        data = text.encode("utf-8")
    if not text.isascii():
        if _garbled(data, 0):
            text, more = _repair(data)
            changed += more
        if not unicodedata.is_normalized("NFC", text):
            composed = unicodedata.normalize("NFC", text)
            changed += max(1, abs(len(text) - len(composed)))
            text = composed
    text, more = _trim(text)
    return text, changed + more


def _needs_cleaning(data: bytes, text: str) -> bool:
    if len(data.translate(None, CONTROLS)) != len(data) or (not text.isascii() and RARE.search(data)):
        return True
    return b"\xed" in data and REMOVED.search(text) is not None  # surrogates; Hangul begins with the same byte


def _clean(text: str) -> tuple[str, int]:
    changed = 0
    if any("\x80" <= c <= "\x9f" for c in set(text)):
        # bytes of windows-1252 that were read as latin-1: browsers show them as they were meant. UTF-8 that was read
        # as latin-1 has them too, and would be lost by that.
        repaired = "\n".join(fix_c1_controls(_ungarbled(line)) for line in text.split("\n"))
        changed = sum(c > "\x7f" for c in text) if len(repaired) != len(text) else _differences(text, repaired)
        text = repaired
    text, replaced = NEWLINES.subn("\n", text)
    text, spaces = SPACES.subn(" ", text)
    text, removed = REMOVED.subn("", text)
    return text, changed + replaced + spaces + removed


def _ungarbled(line: str) -> str:
    repaired: str = ftfy.fix_encoding(line) if not line.isascii() and is_bad(line) else line
    return repaired


def _differences(a: str, b: str) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))


def _garbled(data: bytes, start: int) -> re.Match[bytes] | None:
    found = [match for pattern in MOJIBAKE if (match := pattern.search(data, start))]
    return min(found, key=re.Match.start, default=None)


def _repair(data: bytes) -> tuple[str, int]:
    """Line by line: one garbled line in a sound page would otherwise be lost, as ftfy repairs all or nothing."""
    changed, done = 0, 0
    parts: list[str] = []
    while found := _garbled(data, done):
        start = data.rfind(b"\n", 0, found.start()) + 1
        end = data.find(b"\n", found.end())
        end = len(data) if end < 0 else end
        line = data[start:end].decode()
        repaired = _ungarbled(line)
        if repaired != line:
            changed += sum(c > "\x7f" for c in line)
        parts += (data[done:start].decode(), repaired)
        done = end
    return "".join(parts) + data[done:].decode(), changed


def _trim(text: str) -> tuple[str, int]:
    # only now: a no-break space can be half of a garbled letter. fastText and others see no word end in it.
    spaces = text.count("\xa0")
    if spaces:
        text = text.replace("\xa0", " ")
    before = len(text)
    if " \n" in text or "\t\n" in text:
        text = TRAILING.sub("\n", text)
    if "\n\n\n" in text:
        text = BLANK_LINES.sub("\n\n", text)
    text = text.strip(BLANK)
    return text, spaces + before - len(text)
