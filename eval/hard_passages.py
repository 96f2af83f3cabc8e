"""Where held-out text surprises a model most: each document's hardest passage, and what the model would say there."""

from collections.abc import Callable, Sequence

import numpy as np

from eval.document_losses import Floats, Scorer
from eval.documents import Document
from eval.errors import SAID_NOTHING, Error

TOKENS = 24  # of a passage: a sentence or half of one
_PROMPT = 400  # characters before it that are told
_PART = 256


def passages(
    scorer: Scorer, documents: Sequence[Document], most: int = 200, tell: Callable[[str], None] = lambda _: None
) -> list[Error]:
    """The hardest passage of each document, those that cost most above what their source usually costs per byte.

    `score`: bits above the usual. `wrong` is what the model says greedily behind the same text.
    """
    found: list[_Passage] = []
    nats, size = 0.0, 0
    rates: dict[str, list[float]] = {}
    for first in range(0, len(documents), _PART):
        tell(f"{first:,} of {len(documents):,} documents read for hard passages")
        part = documents[first : first + _PART]
        for document, losses in zip(part, scorer.texts([d.text for d in part]), strict=True):
            nats, size = float(losses.sum()), len(_bytes(document.text))
            if size:
                rates.setdefault(document.source, []).append(nats / size)
                found.append(_hardest(scorer, document, losses))
    usual = {source: float(np.median(values)) for source, values in rates.items()}
    found = [p for p in found if p.end > p.start]
    found.sort(key=lambda p: (-p.above(usual), p.document.id))
    worst = [p for p in found[:most] if p.above(usual) > 0]
    said = _greedy(scorer, worst)
    return [p.error(usual, wrong) for p, wrong in zip(worst, said, strict=True)]


class _Passage:
    """Tokens [first, last) of a document, as characters and as bytes, and what they cost."""

    def __init__(self, document: Document, ids: list[int], first: int, edges: tuple[int, int], nats: float) -> None:
        data = _bytes(document.text)
        self.document, self.ids, self.first, self.nats = document, ids, first, nats
        self.size = edges[1] - edges[0]
        self.start, self.end = (len(data[:edge].decode("utf-8", "ignore")) for edge in edges)

    def above(self, usual: dict[str, float]) -> float:
        """Bits beyond the usual of its source."""
        return (self.nats - self.size * usual[self.document.source]) / float(np.log(2))

    def error(self, usual: dict[str, float], wrong: str) -> Error:
        text = self.document.text.encode("utf-8", "replace").decode()
        prompt = text[max(0, self.start - _PROMPT) : self.start]
        slices = {"source": self.document.source, "lang": self.document.lang}
        return Error(
            "passage", "bits_per_byte", prompt if prompt.strip() else "(the text begins)",
            wrong if wrong.strip() else SAID_NOTHING, text[self.start : self.end],
            "bits above the usual of its source", self.above(usual), self.document.id, self.start, self.end, slices,
        )  # fmt: skip


def _hardest(scorer: Scorer, document: Document, losses: Floats) -> _Passage:
    """The run of TOKENS tokens that costs most; its prompt is never the whole text's beginning alone if it can help."""
    ids = scorer.encoded(document.text)
    spread = min(TOKENS, len(ids))
    sums = np.convolve(losses[: len(ids)], np.ones(spread), "valid")
    # the first tokens of a text are hard for everyone: no passage begins before the eighth where there is a later one
    begin = min(8, len(sums) - 1)
    first = begin + int(np.argmax(sums[begin:]))
    edges = np.concatenate([[0], np.cumsum(scorer.tokenizer.token_bytes[ids])])
    return _Passage(document, ids, first, (int(edges[first]), int(edges[first + spread])), float(sums[first]))


def _greedy(scorer: Scorer, worst: Sequence[_Passage]) -> list[str]:
    """What the model says behind each passage's beginning."""
    from trainer.generate import Sampling, generate

    end, room = scorer.tokenizer.end, max(1, scorer.length - TOKENS - 1)
    prompts = [[end, *p.ids[max(0, p.first - room) : p.first]] for p in worst]
    made = generate(scorer.model, prompts, Sampling(max_tokens=TOKENS, temperature=0, stop=(end,)))
    return [scorer.tokenizer.decode(ids) for ids in made]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
