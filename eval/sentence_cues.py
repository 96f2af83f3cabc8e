"""Signs of sentences out of order that need no model: cohesion, first mentions, quotation marks, openings.

Each is weak alone. They look at what a writer does without thinking: neighbours share words, a full name comes before
the short one, a text does not open with "However".
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eval.chance import splitmix
from eval.mentions import sentences

Floats = npt.NDArray[np.float64]
_MAX_SENTENCES = 40
_PERMUTATIONS = 200
_STEM = 6  # letters: inflections of a word are one
_CONTENT = re.compile(r"[^\W\d_]{4,}")
_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z][a-z]+(?: [A-Z][a-z]+)+")
_POINTING = re.compile(
    r"[\"'“‘(]*(?:he|she|it|they|him|her|his|its|their|this|these|those|that|such|but|however|also|and|then|so|or|yet"
    r"|thus|therefore|moreover|furthermore|meanwhile|afterwards|instead|nevertheless|both|another|other|others)\b",
    re.IGNORECASE,
)


def measure(texts: Sequence[str]) -> dict[str, Floats]:
    """NaN where a text has too few sentences to say."""
    split = [[text[a:b] for a, b in sentences(text)][:_MAX_SENTENCES] for text in texts]
    return {
        "cohesion": np.array([cohesion(said) for said in split]),
        "opening": np.array([opening(said) for said in split]),
        "name_order": np.array([name_order(text) for text in texts]),
        "quote_order": np.array([quote_order(text) for text in texts]),
    }


def cohesion(said: Sequence[str]) -> float:
    """How much nearer sentences that share words stand than in a random order, in standard deviations."""
    words = [{w[:_STEM].lower() for w in _CONTENT.findall(sentence)} for sentence in said]
    words = [found for found in words if found]
    if len(words) < 4:
        return float("nan")
    alike = np.array([[len(a & b) / np.sqrt(len(a) * len(b)) for b in words] for a in words])
    nearness = 1 / np.maximum(1, np.abs(np.subtract.outer(np.arange(len(words)), np.arange(len(words)))))
    np.fill_diagonal(nearness, 0)
    drawn = np.array([(alike[np.ix_(order, order)] * nearness).sum() for order in permutations(len(words))])
    spread = drawn.std()
    return float(((alike * nearness).sum() - drawn.mean()) / spread) if spread > 1e-9 else 0.0


def permutations(size: int) -> npt.NDArray[np.int64]:
    """int64[some, size]: the same for every text of that many sentences."""
    keys = splitmix(np.arange(_PERMUTATIONS * size, dtype=np.uint64) + np.uint64(size << 32))
    return np.argsort(keys.reshape(_PERMUTATIONS, size), axis=1, kind="stable")


def opening(said: Sequence[str]) -> float:
    """1 where the first sentence points back to one before it; the fewer other sentences do, the more that says."""
    if len(said) < 4:
        return float("nan")
    pointing = [bool(_POINTING.match(sentence)) for sentence in said]
    return float(pointing[0]) - sum(pointing[1:]) / (len(said) - 1)


def name_order(text: str) -> float:
    """Share of full names whose last word stands alone before the name does, of those where it stands alone at all."""
    early = late = 0
    for match in _NAME.finditer(text):
        last = match[0].split()[-1]
        alone = [m.start() for m in re.finditer(rf"(?<![A-Z][a-z] )\b{last}\b", text)]
        alone = [at for at in alone if not match.start() <= at < match.end() and not _in_name(text, at)]
        early += any(at < match.start() for at in alone)
        late += bool(alone) and min(alone) > match.start()
    return (early - late) / (early + late) if early + late else 0.0


def _in_name(text: str, at: int) -> bool:
    """Whether a capitalised word stands before it that does not begin a sentence."""
    found = re.search(r"[A-Z][a-z]+ $", text[max(0, at - 30) : at])
    start = max(0, at - 30) + found.start() if found else 0
    return start > 1 and text[start - 2] not in ".!?"


def quote_order(text: str) -> float:
    """Curly or straight quotation marks that open what is open or close what is closed, for each mark."""
    wrong = marks = 0
    is_open = False
    for match in re.finditer(r"[“”\"]", text):
        mark, before = match[0], text[match.start() - 1 : match.start()]
        opens = mark == "“" or (mark == '"' and (not before or before in " ([—-"))
        marks += 1
        wrong += opens == is_open
        is_open = opens
    return wrong / marks if marks else 0.0
