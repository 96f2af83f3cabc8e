"""What a reference model and the corpus say of texts: order of sentences, how much the prompt explains, support."""

import math
from collections.abc import Sequence

import numpy as np

from eval.chance import Chance
from eval.document_losses import Scorer
from eval.mentions import sentences
from eval.retrieval import Spans
from eval.suites import Suite
from eval.text_checks import words

_MIN_SENTENCES = 3


def order_scores(scorer: Scorer, texts: Sequence[str], shuffles: int = 3) -> list[float]:
    """Nats per byte of shuffled sentences less those of the order that stands; NaN below three sentences.

    Above 0: the reference finds the order likelier than others (Laban et al. 2021).
    """
    out = [math.nan] * len(texts)
    said = [[text[a:b] for a, b in sentences(text)] for text in texts]
    fit = [at for at, found in enumerate(said) if len(found) >= _MIN_SENTENCES]
    versions = [" ".join(order) for at in fit for order in (said[at], *shuffled(said[at], shuffles))]
    nats = [found.sum() for found in scorer.texts(versions)]
    for number, at in enumerate(fit):
        mine = nats[number * (shuffles + 1) : (number + 1) * (shuffles + 1)]
        size = len(texts[at].encode("utf-8", "replace"))
        out[at] = (float(np.mean(mine[1:])) - float(mine[0])) / size
    return out


def responsiveness(scorer: Scorer, prompts: Sequence[str], texts: Sequence[str]) -> list[float]:
    """log p(text given prompt) - log p(text) by the reference, nats per byte; NaN for an empty text."""
    behind = scorer.continuations(list(zip(prompts, texts, strict=True)))
    alone = scorer.continuations([("", text) for text in texts])
    sizes = [len(text.encode("utf-8", "replace")) for text in texts]
    return [
        float(b.nats.sum() - a.nats.sum()) / size if size else math.nan
        for a, b, size in zip(behind, alone, sizes, strict=True)
    ]


def support(corpus: Sequence[str], texts: Sequence[str]) -> list[float]:
    """Words of the longest span that also stands in the corpus, as a share of the text's words; NaN without words.

    Near 1: copied. Spans below five words count as 0.
    """
    spans = Spans(corpus)
    out = []
    for text in texts:
        total = len(words(text))
        found = spans.search(text, 1) if total else []
        out.append(min(1.0, found[0][1] / total) if found else 0.0 if total else math.nan)
    return out


def agreement(suite: Suite, chosen: dict[str, int]) -> list[float]:
    """Of each fact asked in several wordings, the share of pairs of wordings with the same answer. `chosen`: by item.

    Wordings of one fact are items of the slices `person` and `fact`, as the probes of `python -m eval facts` are.
    """
    said: dict[tuple[str, str], list[str]] = {}
    for item in suite.items:
        if {"person", "fact"} <= item.slices.keys() and item.id in chosen:
            key = (str(item.slices["person"]), str(item.slices["fact"]))
            said.setdefault(key, []).append(item.pairs()[chosen[item.id]][1])
    out = []
    for answers in said.values():
        pairs = [a == b for at, a in enumerate(answers) for b in answers[at + 1 :]]
        out += [sum(pairs) / len(pairs)] if pairs else []
    return out


def shuffled(said: Sequence[str], number: int) -> list[list[str]]:
    """Orders that depend on the sentences alone, as a set: the same whichever of them stood in the text."""
    known = sorted(said)
    return [Chance("order", number_of, *known).shuffled(known) for number_of in range(number)]
