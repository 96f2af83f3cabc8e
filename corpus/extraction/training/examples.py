"""Rows to learn from: one per block, each page weighing alike, whatever its length.

gold      blocks aligned to the page's gold text
short     a copy of an article of which only the beginning is left, all else intact
rail      such a copy with containers of other pages put in behind it
silver    pages without gold text, where two engines agree on a block, or a snippet says
"""

import dataclasses
import re
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from corpus.extraction import ExtractionError, Page, engine
from corpus.extraction.learned.features import features
from corpus.extraction.learned.measures import WORDS, measure
from corpus.extraction.learned.parse import well_formed
from corpus.extraction.learned.walk import Walked, walk
from corpus.extraction.training import augment
from corpus.extraction.training.align import labels, words
from corpus.extraction.training.folds import fold
from corpus.extraction.training.gold import GoldPage

F32 = npt.NDArray[np.float32]
MAX_BLOCKS = 150  # of a page, drawn by chance: more slow the training down and add nothing
SHORTENED = ("article",)  # kinds whose copies are cut: half a listing is not a short listing
WEIGHT = {"gold": 1.0, "short": 0.15, "rail": 0.08, "silver": 0.25}
RARE_KIND = 1.3  # of gold pages other than articles, which copies and silver pages never are
MIN_AGREEMENT = 0.7  # F1 of the two engines with each other; a page that they see differently teaches nothing
MIN_SNIPPETS = 3  # unless that many snippets say where the text is
MAX_RAILS = 3
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
    """Short copies of articles, with and without rails; rails come from pages of the same fold."""
    pool = [[(page, int(root)) for page in labelled if page.fold == k for root in augment.rails(page.walked, page.label)]
            for k in range(max((page.fold for page in labelled), default=-1) + 1)]  # fmt: skip
    made = []
    for page in labelled:
        rng = _draw(page.page, 1)
        keep = augment.shortened(page.walked, page.label, rng)
        if page.page.kind not in SHORTENED or keep.all():
            continue
        short = dataclasses.replace(
            page, walked=augment.subset(page.walked, keep), label=page.label[keep], trust=page.trust[keep]
        )
        if rng.random() < 0.5:
            made.append(example("short", short))
        made.append(example("rail", _with_rails(short, pool[page.fold], rng)))
    return made


def _with_rails(page: Labelled, pool: Sequence[tuple[Labelled, int]], rng: np.random.Generator) -> Labelled:
    for _ in range(int(rng.integers(1, MAX_RAILS + 1)) if pool else 0):
        after = augment.place_for_rail(page.walked, page.label, rng)
        other, root = pool[int(rng.integers(len(pool)))]
        if after < 0:
            break
        walked, is_new = augment.injected(page.walked, after, other.walked, root)
        label = np.zeros(len(is_new), np.float32)
        label[~is_new] = page.label
        page = dataclasses.replace(page, walked=walked, label=label, trust=np.ones(len(label), np.float32))
    return page


def _draw(page: GoldPage, purpose: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(page.id.encode()), purpose])
