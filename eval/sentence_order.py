"""Whether a model prefers a text's sentences in the order in which they stand to some shuffled orders.

Limits: a small model hardly looks beyond a sentence, so for one document this is a weak sign.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eval.chance import Chance
from eval.forwards import Reader
from eval.mentions import sentences

Floats = npt.NDArray[np.float64]
_MIN_SENTENCES = 4
_MAX_CHARACTERS = 3000


def order_scores(reader: Reader, texts: Sequence[str], shuffles: int = 2) -> Floats:
    """Bits per byte of seeded shuffles less those of the order that stands, float64[texts]; NaN for short texts.

    Near 0 or below: the order is no better than chance. Costs shuffles + 1 forwards.
    """
    out = np.full(len(texts), np.nan)
    said = [_sentences(text) for text in texts]
    fit = [number for number, found in enumerate(said) if len(found) >= _MIN_SENTENCES]
    versions = [" ".join(order) for number in fit for order in (said[number], *shuffled(said[number], shuffles))]
    bits = np.array([losses.bits_per_byte() for losses in reader.read(versions)]).reshape(len(fit), shuffles + 1)
    if fit:
        out[fit] = bits[:, 1:].mean(axis=1) - bits[:, 0]
    return out


def shuffled(said: Sequence[str], number: int) -> list[list[str]]:
    """Orders that depend on the sentences alone, as a set: the same whichever of them stood in the text."""
    known = sorted(said)
    return [Chance("order", number_of, *known).shuffled(known) for number_of in range(number)]


def _sentences(text: str) -> list[str]:
    return [text[a:b] for a, b in sentences(text[:_MAX_CHARACTERS])]
