"""Bytes of a page to text, when nobody can be trusted about the encoding.

The order (BOM, valid UTF-8, HTTP header, meta tag, guess) is by reliability: bytes that are valid UTF-8 by
chance are rarer than servers that lie.
"""

import codecs
import re

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

from corpus.extraction import ExtractionError

BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([a-zA-Z0-9_:.-]{2,40})""", re.IGNORECASE)
XML = re.compile(rb"""^\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([a-zA-Z0-9_:.-]{2,40})""")
HEAD_BYTES = 4096  # the HTML standard looks for the meta tag in the first 1024; real pages put it later
CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13, 27}) + b"\x7f"
MAX_CONTROLS = 0.02  # share of the first bytes; images, PDF and archives have 5 % and more
# browsers read these as their supersets (encoding.spec.whatwg.org); Python's own are narrow
SUPERSETS = {"gbk": "gb18030", "gb2312": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-11": "cp874"}
MAX_REPLACED = 0.001  # share of characters that may be U+FFFD; a page cut within a letter has one


def decode(data: bytes, http_charset: str | None = None) -> tuple[str, str]:
    """The text and the charset that it was decoded with. Raises ExtractionError("bad_encoding")."""
    for bom, name in BOMS:
        if data.startswith(bom):
            return _tolerant(data[len(bom) :], name), name
    if is_binary(data):
        raise ExtractionError("bad_encoding", "binary data, not text")
    if b"\x1b" not in data:  # ISO-2022 is made of ASCII bytes, so it would pass for UTF-8
        try:
            return data.decode("utf-8"), "utf-8"
        except UnicodeDecodeError:
            pass
    return _guess(data, http_charset)


def is_binary(data: bytes) -> bool:
    """Whether the first 4096 bytes hold too many control characters to be text in an ASCII-compatible charset."""
    head = data[:HEAD_BYTES]
    return len(head) - len(head.translate(None, CONTROLS)) > MAX_CONTROLS * len(head)


def _guess(data: bytes, http_charset: str | None) -> tuple[str, str]:
    names = list(dict.fromkeys(_candidates(data, http_charset)))
    for name in names:
        try:
            return data.decode(name), name
        except (UnicodeDecodeError, LookupError):
            continue
    for name in names:  # nothing fits exactly: the most trusted one that fits all but a few bytes
        try:
            return _tolerant(data, name), name
        except (ExtractionError, LookupError):
            continue
    raise ExtractionError("bad_encoding", f"not {', '.join(names)}")


def _candidates(data: bytes, http_charset: str | None) -> list[str]:
    head = data[:HEAD_BYTES]
    said = [http_charset or ""]
    said += [m[1].decode("ascii") for m in (XML.search(head), META.search(head)) if m]
    said += [detect_encoding(data) or "", "utf-8"]
    return [name for name in map(_codec, said) if name]


def _codec(name: str) -> str | None:
    """Python's codec for a name as browsers read it: `latin1` is windows-1252 there."""
    name = name.strip(" \"'").lower()
    # `latin-1` and `utf_8` are no names of the web, but Python's authors send them
    html5 = name and (map_encoding_to_html5(name, False) or map_encoding_to_html5(re.sub("[-_ ]", "", name), False))
    try:
        return codecs.lookup(SUPERSETS.get(html5, html5)).name if html5 else None
    except LookupError:
        return None


def _tolerant(data: bytes, name: str) -> str:
    text = data.decode(name, errors="replace")
    replaced = text.count("\ufffd")
    if replaced > 1 + MAX_REPLACED * len(text):
        raise ExtractionError("bad_encoding", f"{replaced} characters are not {name}")
    return text
