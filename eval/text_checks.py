"""What can be said of a generated text without a model: each check is a number with a range and a direction.

No check is good or bad alone: each is to be read beside its value on what people wrote after the same prompts. `CHECKS`
lists those of one text; `distinct` and `self_bleu` are of many.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from eval.mentions import mentions, sentences

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_LETTERS = re.compile(r"[^\W\d_]{4,}")
_REFUSAL = re.compile(
    r"^\W*(?:i(?:'|’)?m sorry|sorry,? but|i apologi[sz]e|i can(?:no|')t |i can’t |i am (?:not able|unable)"
    r"|i(?:'|’)m unable|i won(?:'|’)t |as an ai\b|as a language model|unfortunately,? i can"
    r"|i must decline|i do not feel comfortable"
    r"|es tut mir leid|leider kann ich|je suis désolé|je ne peux pas|lo siento|no puedo )",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """Words and single signs; a run of ideographs is cut into its characters, as it has no spaces."""
    out: list[str] = []
    for word in _WORD.findall(text):
        out += list(word) if len(word) > 1 and "\u3040" <= word[0] <= "\u9fff" else [word]
    return out


def grams(items: Sequence[Hashable], n: int) -> list[tuple[Hashable, ...]]:
    return [tuple(items[at : at + n]) for at in range(len(items) - n + 1)]


def repeated_grams(text: str, n: int = 4) -> float:
    """rep-n: 1 - different n-grams / n-grams (Welleck et al. 2020). [0, 1); 0 for fewer than n words."""
    found = grams(words(text), n)
    return 1 - len(set(found)) / len(found) if found else 0.0


def longest_repeat(text: str) -> float:
    """Words of the longest span that occurs twice, as a share of all words. [0, 1); a loop comes near 1."""
    said = words(text)
    low, high = 0, max(0, len(said) - 1)
    while low < high:  # every shorter span of a repeated span is repeated too
        middle = (low + high + 1) // 2
        found = grams(said, middle)
        low, high = (middle, high) if len(set(found)) < len(found) else (low, middle - 1)
    return low / len(said) if said else 0.0


def compression(text: str) -> float:
    """Bytes after zlib, level 9, per byte before. Above 0; prose of 1,000 characters has 0.4 to 0.6, a loop below 0.1.

    Short texts reach more than 1 through zlib's header: compare texts of one length. NaN for an empty one.
    """
    data = text.encode("utf-8", "replace")
    return len(zlib.compress(data, 9)) / len(data) if data else math.nan


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """distinct-n: different n-grams per n-gram over all texts (Li et al. 2016). (0, 1]; NaN where there is none."""
    found = [gram for text in texts for gram in grams(words(text), n)]
    return len(set(found)) / len(found) if found else math.nan


def bleu(references: Sequence[Sequence[str]], candidate: Sequence[str], order: int = 4) -> float:
    """BLEU of one candidate of words against references, unsmoothed (Papineni et al. 2002). [0, 1]."""
    if not candidate or not references:
        return 0.0
    logs = 0.0
    for n in range(1, order + 1):
        mine = Counter(grams(candidate, n))
        most: Counter[tuple[Hashable, ...]] = Counter()
        for reference in references:
            most |= Counter(grams(reference, n))
        hits = sum((mine & most).values())
        if not hits:
            return 0.0
        logs += math.log(hits / sum(mine.values())) / order
    closest = min((abs(len(r) - len(candidate)), len(r)) for r in references)[1]
    return math.exp(logs + min(0.0, 1 - closest / len(candidate)))


def self_bleu(texts: Sequence[str], order: int = 4) -> float:
    """Mean BLEU of each text against the others (Zhu et al. 2018). [0, 1]; high where alike. NaN below two."""
    said = [words(text) for text in texts]
    if len(said) < 2:
        return math.nan
    return sum(bleu(said[:at] + said[at + 1 :], one, order) for at, one in enumerate(said)) / len(said)


def continuity(text: str) -> float:
    """Share of sentences that take up a name or a word of four letters from the two before. [0, 1]; NaN below two.

    A poor man's entity grid (Barzilay and Lapata 2008): low where a text jumps, near 1 where it goes in circles.
    """
    said = [text[start:end] for start, end in sentences(text)]
    if len(said) < 2:
        return math.nan
    sets = [{word.lower()[:6] for word in _LETTERS.findall(one)} - _COMMON for one in said]
    linked = [bool(sets[at] & set.union(*sets[max(0, at - 2) : at])) for at in range(1, len(sets))]
    return sum(linked) / len(linked)


_COMMON = frozenset(
    word[:6]
    for word in """this that with from have were been they their there which would could should about after before other
    than then them when where what some such into more most very also only over because these those will your while
    being each many much does said just like""".split()
)


def claims(text: str) -> dict[tuple[str, str], set[str]]:
    """(name, words between) -> dates and numbers said of it: "Ada was born in 1815" is (ada, was born in) -> 1815."""
    found: dict[tuple[str, str], set[str]] = {}
    known = mentions(text)
    starts = [start for start, _ in sentences(text)]
    for start in starts:
        # a name at the beginning of a sentence counts here: it is the subject that matters
        first = re.match(r"[^\W\d_][\w'’-]*(?: [^\W\d_a-z][\w'’-]*)*", text[start : start + 80])
        names = [(m.start, m.end, m.text) for m in known if m.kind == "entity"]
        if first and first[0][0].isupper():
            names.append((start, start + first.end(), first[0]))
        for _, end, name in names:
            value = next((m for m in known if m.start > end and m.kind != "entity"), None)
            between = text[end : value.start].split() if value else []
            if value and 1 <= len(between) <= 5 and not re.search(r"[.!?;\n]", text[end : value.start]):
                key = (name.casefold(), " ".join(between).casefold().rstrip(" ,:("))
                found.setdefault(key, set()).add(value.text.casefold())
    return found


def contradictions(text: str, prompt: str = "") -> float:
    """How often the same is said of the same name with two values, within the text or against the prompt. 0 and up.

    Finds only plain statements whose words agree; a list of true events ("won in 1999", "won in 2001") counts too.
    """
    asked = claims(prompt) if prompt else {}
    said = claims(text)
    return float(sum(len(values | asked.get(key, set())) > 1 for key, values in said.items()))


def echo(text: str, prompt: str) -> float:
    """Share of the text's 4-grams that stand in its prompt. [0, 1]; 0 where the text is shorter than 4 words."""
    found = grams([word.lower() for word in words(text)], 4)
    asked = set(grams([word.lower() for word in words(prompt)], 4))
    return sum(gram in asked for gram in found) / len(found) if found else 0.0


def refusal(text: str) -> float:
    """1 where the text opens with a phrase of refusal (en, de, fr, es), else 0."""
    return float(bool(_REFUSAL.match(text)))


def length_ratio(text: str, reference: str) -> float:
    """Characters of the text per character of what a person wrote. 0 and up; NaN without a reference."""
    return len(text) / len(reference) if reference else math.nan


@dataclass(frozen=True)
class Check:
    """A check of one text. `better` is a direction, or "human": as near as possible to what people write."""

    name: str
    low: float
    high: float
    better: Literal["lower", "higher", "human"]
    of: Callable[[str, str], float]  # (text, prompt)


CHECKS = (
    *(Check(f"rep_{n}", 0, 1, "human", lambda text, _, n=n: repeated_grams(text, n)) for n in (1, 2, 3, 4)),  # type: ignore[misc]
    Check("longest_repeat", 0, 1, "lower", lambda text, _: longest_repeat(text)),
    Check("compression", 0, math.inf, "human", lambda text, _: compression(text)),
    Check("continuity", 0, 1, "human", lambda text, _: continuity(text)),
    Check("contradictions", 0, math.inf, "lower", contradictions),
    Check("echo", 0, 1, "lower", echo),
    Check("refusal", 0, 1, "lower", lambda text, _: refusal(text)),
    Check("characters", 0, math.inf, "human", lambda text, _: float(len(text))),
)


def check(text: str, prompt: str = "") -> dict[str, float]:
    """Every check of one text."""
    return {one.name: one.of(text, prompt) for one in CHECKS}
