"""Rows to learn from: one per block, each page weighing alike, whatever its length.

gold      blocks aligned to the page's gold text
short     a copy of an article of which only the beginning is left, all else intact
layout    pages drawn around the paragraphs of an article, with rails of teasers of others
silver    pages without gold text, where two engines agree on a block, or a snippet says
"""

import dataclasses
import re
import zlib
from collections.abc import Sequence
from html import unescape

import numpy as np
import numpy.typing as npt

from corpus.extraction import ExtractionError, Page, engine
from corpus.extraction.learned.arrays import Walked
from corpus.extraction.learned.features import features
from corpus.extraction.learned.measures import WORDS, measure
from corpus.extraction.learned.parse import well_formed
from corpus.extraction.learned.walk import walk
from corpus.extraction.training import augment, layouts
from corpus.extraction.training.align import labels, words
from corpus.extraction.training.folds import fold
from corpus.extraction.training.gold import GoldPage

F32 = npt.NDArray[np.float32]
MAX_BLOCKS = 150  # of a page, drawn by chance: more slow the training down and add nothing
SHORTENED = ("article",)  # kinds whose copies are cut: half a listing is not a short listing
WEIGHT = {"gold": 1.0, "short": 0.06, "layout": 0.22, "silver": 0.25}
RARE_KIND = 1.3  # of gold pages other than articles, which copies and silver pages never are
MIN_AGREEMENT = 0.7  # F1 of the two engines with each other; a page that they see differently teaches nothing
MIN_SNIPPETS = 3  # unless that many snippets say where the text is
SPACE = re.compile(r"\s+")
MARKS = b"\1\2\3"


@dataclasses.dataclass(frozen=True)
class Example:
    """A page, or a copy of one, as rows."""

    kind: str
    fold: int
    rows: F32
    label: F32
    weight: F32


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A page walked and aligned."""

    page: GoldPage
    walked: Walked
    label: F32
    trust: F32

    @property
    def fold(self) -> int:
        return fold(self.page.url)


def gold(page: GoldPage) -> Labelled | None:
    walked = walk(well_formed(page.html))
    if not len(walked.blocks.start) or page.text is None:
        return None
    label = labels([words(text) for text in block_texts(walked)], words(page.text))
    return Labelled(page, walked, label, np.ones(len(label), np.float32))


def silver(page: GoldPage) -> Labelled | None:
    """Labels of a page without gold text; None where nothing is sure enough."""
    walked = walk(well_formed(page.html))
    if not len(walked.blocks.start):
        return None
    texts = block_texts(walked)
    blocks = [words(text) for text in texts]
    by = [labels(blocks, words(_text(name, page))) for name in ("trafilatura", "fast")]
    label = (0.65 * by[0] + 0.35 * by[1]).astype(np.float32)
    trust = np.abs(2 * label - 1)
    num_said = _apply_snippets(page, texts, label, trust)
    size = np.array([len(block) for block in blocks])
    agreement = 2 * (size * np.minimum(*by)).sum() / max(1.0, (size * (by[0] + by[1])).sum())
    if agreement < MIN_AGREEMENT and num_said < MIN_SNIPPETS:
        return None
    return Labelled(page, walked, label, trust)


def _text(name: str, page: GoldPage) -> str:
    try:
        return engine(name).extract(Page(page.html, page.url, "utf-8")).text
    except ExtractionError:
        return ""


def _apply_snippets(page: GoldPage, texts: Sequence[str], label: F32, trust: F32) -> int:
    inside, outside = ([SPACE.sub(" ", s) for s in snippets] for snippets in (page.inside, page.outside))
    said = 0
    for k, text in enumerate(SPACE.sub(" ", text) for text in texts):
        is_in = any(snippet in text for snippet in inside)
        if is_in or any(snippet in text for snippet in outside):
            label[k], trust[k] = is_in, 2
            said += 1
    return said


def block_texts(walked: Walked) -> list[str]:
    data = walked.text.tobytes()
    spans = zip(walked.blocks.start.tolist(), walked.blocks.end.tolist(), strict=True)
    return [data[start:end].translate(None, MARKS).decode("utf-8", "replace") for start, end in spans]


def example(kind: str, labelled: Labelled) -> Example:
    """Rows of a page, thinned by a draw that depends on the page alone."""
    measured = measure(labelled.walked)
    rows = features(labelled.walked, measured)
    size = measured.value[:, WORDS]
    share = np.minimum(1, size / max(1.0, float((size * labelled.label).sum())))
    weight = labelled.trust * share * WEIGHT[kind]
    if kind == "gold" and labelled.page.kind not in SHORTENED:
        weight = weight * RARE_KIND
    if len(rows) > MAX_BLOCKS:
        keep = np.sort(_draw(labelled.page, 0).choice(len(rows), MAX_BLOCKS, replace=False))
        weight = weight[keep] * (len(rows) / MAX_BLOCKS)
        return Example(kind, labelled.fold, rows[keep], labelled.label[keep], weight.astype(np.float32))
    return Example(kind, labelled.fold, rows, labelled.label, weight.astype(np.float32))


def copies(labelled: Sequence[Labelled]) -> list[Example]:
    """Short copies of articles, what surrounds them intact."""
    made = []
    for page in labelled:
        keep = augment.shortened(page.walked, page.label, _draw(page.page, 1))
        if page.page.kind in SHORTENED and not keep.all():
            walked = augment.subset(page.walked, keep)
            made.append(example("short", Labelled(page.page, walked, page.label[keep], page.trust[keep])))
    return made


def drawn(labelled: Sequence[Labelled]) -> list[Example]:
    """Pages drawn around articles; teasers come from articles of the same fold."""
    told = [(page, story) for page in labelled if page.page.kind in SHORTENED and (story := _story(page))]
    made = []
    for page, story in told:
        rng = _draw(page.page, 2)
        others = [other for held, other in told if held.fold == page.fold and held is not page]
        if others:
            html, body = layouts.page(story, others, rng)
            new = gold(dataclasses.replace(page.page, html=html, text="\n".join(body)))
            if new is not None:
                made.append(example("layout", new))
    return made


def _story(page: Labelled) -> layouts.Story | None:
    title = SPACE.sub(" ", page.walked.title.tobytes().decode("utf-8", "replace")).strip()[:150]
    return layouts.story(unescape(title), page.page.text or "")


def _draw(page: GoldPage, purpose: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(page.id.encode()), purpose])
