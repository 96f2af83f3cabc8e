"""One form for every text: repaired mojibake, NFC, plain newlines, no control characters.

Everything after this (hashes, line filters, deduplication) compares bytes, so what means the same must be the same.
Quotes, dashes, ligatures and width stay as they were written.
"""

import re
import unicodedata

import ftfy
import numpy as np
from ftfy.badness import is_bad
from ftfy.fixes import fix_c1_controls

from filters.kernels.compiled import U32
from filters.kernels.unusual import BLANKS, COMPOSED, GARBLED, NO_BREAK, RETURN, SURROGATE, UNCLEAN, look, trimmed

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
BLANK = " \t\n"
MAX_ROUNDS = 4  # mojibake of mojibake needs two; the last round only finds nothing to do


def normalise(text: str) -> tuple[str, int]:
    """The text and how many of its characters were removed or replaced. Idempotent: a second call changes nothing.

    More than one empty line in a row becomes one; blank space at line ends and around the text goes; no-break spaces
    and spaces of odd widths become plain ones.
    """
    repairs = 0
    for _ in range(MAX_ROUNDS):
        text, changed, again = _once(text)
        repairs += changed
        if not again:
            break
    return text, repairs


def _once(text: str) -> tuple[str, int, bool]:
    """Text, changes, and whether another round might find something.

    Not where only blank space went, but for a garbled line: whether it is one is judged with its spaces.
    """
    changed = deep = 0
    data = text.encode("utf-8", "surrogatepass")
    found = look(np.frombuffer(data, np.uint8))
    if found & RETURN:
        changed = text.count("\r\n")
        text = text.replace("\r\n", "\n")
        data = text.encode("utf-8", "surrogatepass")
        found = look(np.frombuffer(data, np.uint8))
    if found & UNCLEAN or (found & SURROGATE and REMOVED.search(text)):
        text, deep = _clean(text)
        data = text.encode("utf-8")
        found = look(np.frombuffer(data, np.uint8))
    garbled = bool(found & GARBLED) and _garbled(data, 0) is not None
    if garbled:
        text, more = _repair(data)
        deep += more
        found |= COMPOSED | BLANKS
    if found & COMPOSED and not unicodedata.is_normalized("NFC", text):
        composed = unicodedata.normalize("NFC", text)
        deep += max(1, abs(len(text) - len(composed)))
        text = composed
    spaces = text.count("\xa0") if found & (NO_BREAK | BLANKS) else 0
    if spaces:  # only now: one can be half of a garbled letter. fastText and others see no word end in it.
        text = text.replace("\xa0", " ")
    text, more = _trim(text, spaces > 0 or bool(found & BLANKS))
    changed += deep + spaces + more
    return text, changed, deep + spaces > 0 or (garbled and changed > 0)


def _clean(text: str) -> tuple[str, int]:
    changed = 0
    if any("\x80" <= c <= "\x9f" for c in set(text)):
        # bytes of windows-1252 that were read as latin-1: browsers show them as they were meant. UTF-8 that was read
        # as latin-1 has them too, and would be lost by that.
        lines = text.split("\n")
        repaired = "\n".join(line if line.isascii() else fix_c1_controls(_ungarbled(line)) for line in lines)
        changed = _not_ascii(text) if len(repaired) != len(text) else _differences(text, repaired)
        text = repaired
    text, replaced = NEWLINES.subn("\n", text)
    text, spaces = SPACES.subn(" ", text)
    text, removed = REMOVED.subn("", text)
    return text, changed + replaced + spaces + removed


def _ungarbled(line: str) -> str:
    repaired: str = ftfy.fix_encoding(line) if not line.isascii() and is_bad(line) else line
    return repaired


def _not_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _differences(a: str, b: str) -> int:
    return int(np.count_nonzero(_code_points(a) != _code_points(b)))


def _code_points(text: str) -> U32:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


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
            changed += _not_ascii(line)
        parts += (data[done:start].decode(), repaired)
        done = end
    return "".join(parts) + data[done:].decode(), changed


def _trim(text: str, blanks: bool) -> tuple[str, int]:
    before = len(text)
    text = trimmed(text.encode("utf-8")).decode("utf-8") if blanks else text.strip(BLANK)
    return text, before - len(text)
