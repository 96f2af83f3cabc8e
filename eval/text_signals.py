"""What a text shows without a model: language, repetition, offence, garbled words, characters, compressibility.

Filters of the corpus room are measured anew with their defaults, since a run may have used other settings than those
that the detector learned with. Nothing here looks at line ends: layout differs between sources more than badness does.
"""

import re
import unicodedata
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters.bias import Bias
from filters.language import Language
from filters.quality import Quality
from filters.repetition import Repetition

Floats = npt.NDArray[np.float64]
_ODD = re.compile(r"[^\x00-\x7f]")
# Letters of Western Europe and the marks of careful typing: these may stand in a word or beside it.
_FINE = re.compile(r"[À-ÖØ-öø-ÿŒœŠšŽžĀ-ž‘’“”–—…•·«»€£°×§©®™½¼¾²³\u00a0\u00ad]")
_GARBLED = re.compile(r"[A-Za-z][?\ufffd][A-Za-z]|\ufffd|[ÃÂâÐÑ][\u0080-\u00bf€™œ‚„†‡‰‹›]")
_WORD = re.compile(r"\S+")
_Measure = Callable[[str], float]


def measure(texts: Sequence[str]) -> dict[str, Floats]:
    """One number per text and signal; finite."""
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    found: dict[str, Floats] = {}
    language = Language().measure(table)
    found["language_score"] = _column(language, "score")
    found["language_other"] = other_language(language["lang"].to_pylist(), texts)
    repeated = Repetition().measure(table)
    for name in ("top_2_gram", "top_4_gram", "repeated_5_grams", "repeated_10_grams"):
        found[name] = _column(repeated, name)
    quality = Quality().measure(table)
    found["mean_word_length"] = _column(quality, "mean_word_length")
    found["alphabetic_words"] = _column(quality, "alphabetic_words")
    found["offensive"] = _column(Bias().measure(table), "offensive_per_1000_words")
    for name in _PER_TEXT:
        found[name] = np.array([_PER_TEXT[name](text) for text in texts], np.float64)
    return found


def _column(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].to_numpy(), np.float64)


def other_language(languages: Sequence[str], texts: Sequence[str]) -> Floats:
    """1 where a text's language is not the commonest of these texts (counted by text, the first by name of equals)."""
    known = [language for language, text in zip(languages, texts, strict=True) if text.strip()]
    if not known:
        return np.zeros(len(texts))
    usual = min(set(known), key=lambda name: (-known.count(name), name))
    return np.array([float(name != usual and bool(t.strip())) for name, t in zip(languages, texts, strict=True)])


def garbled_words(text: str) -> float:
    """Share of words that hold what careful text does not: replacement marks, box drawing, letters of two scripts."""
    words = _WORD.findall(text)
    return sum(map(_garbled, words)) / len(words) if words else 0.0


def _garbled(word: str) -> bool:
    if _GARBLED.search(word):
        return True
    odd = [c for c in _ODD.findall(word) if not _FINE.match(c)]
    if not odd:
        return False
    # A word of another script is that script's, and one of signs alone (a bullet, a tick, a rule) is no word. Letters
    # of two scripts, or signs among letters, are what a wrong encoding leaves.
    if any(c.isascii() and c.isalnum() for c in word):
        return True
    return any(c.isalpha() for c in word) and any(unicodedata.category(c)[0] in "SC" for c in odd)


def compressed(text: str) -> float:
    """Bytes after zlib for each byte before, of the first 4,000 bytes; short texts compress less."""
    data = text.encode("utf-8", "replace")[:4000]
    return len(zlib.compress(data, 6)) / len(data) if data else 1.0


def _share(of: re.Pattern[str]) -> _Measure:
    return lambda text: len(of.findall(text)) / max(1, len(text))


_PER_TEXT: dict[str, _Measure] = {
    "garbled_words": garbled_words,
    "compressed": compressed,
    "non_ascii": _share(_ODD),
    "digits": _share(re.compile(r"\d")),
    "capitals": _share(re.compile(r"[A-Z]")),
    "exclamations": _share(re.compile(r"!")),
    "page_marks": _share(re.compile(r"[|»©$%>*]")),
    "code_marks": _share(re.compile(r"[_=(){}\[\]#;/\\]")),
}
