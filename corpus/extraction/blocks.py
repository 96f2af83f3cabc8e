"""The learned engine: a block classifier over containers, texts and neighbours, trained on hand-checked pages.

More exact than trafilatura on every kind of page but products, where they tie, and several times as fast
(benchmarks/RESULTS.md).
"""

import numpy as np
import numpy.typing as npt

from corpus.extraction import Extracted, ExtractionError, Page
from corpus.extraction.learned import hydration, model
from corpus.extraction.learned.arrays import HIDDEN, NO_WIDTH, Walked
from corpus.extraction.learned.features import features
from corpus.extraction.learned.forest import Forest, probabilities
from corpus.extraction.learned.machine import readable
from corpus.extraction.learned.measures import DIGITS, LENGTH, WORDS, Measures, measure
from corpus.extraction.learned.parse import well_formed
from corpus.extraction.learned.release import version
from corpus.extraction.learned.render import render, texts
from corpus.extraction.learned.select import best
from corpus.extraction.learned.walk import walk
from corpus.extraction.learned.wholes import levelled
from corpus.metadata import scan

__all__ = ["FORMATS", "extract", "main_text", "version", "warm"]
FORMATS = ("text", "markdown")
MAX_DATE = 40  # characters


def warm() -> None:
    """Read the model and compile the kernels, 20 seconds on a machine that never did."""
    main_text("<p>a</p>", model.shipped(), markdown=True)


def extract(page: Page) -> Extracted:
    """Headings, lists, tables, quotations and code keep their shape. Raises ExtractionError."""
    text, confidence = main_text(page.html, model.shipped(), page.format == "markdown")
    found = hydration.text(page.html, text)
    if found is not None:
        text = found
    if not text:
        raise ExtractionError("no_text", "no main content found")
    meta = scan(page.html)
    return Extracted(
        text, meta.title, meta.author, meta.date, meta.site, meta.language_hint, meta.description, confidence
    )


def main_text(html: str, forest: Forest, markdown: bool = False) -> tuple[str, float]:
    """The text of the blocks of highest expected F1, and that F1."""
    walked = walk(well_formed(html))
    if not len(walked.blocks.start):
        return "", 0.0
    measured = measure(walked)
    judged = probabilities(forest, features(walked, measured))
    probability = levelled(walked, judged, measured.value[:, WORDS])
    probability[_unseen(walked, measured)] = 0
    chosen, confidence = best(probability, measured.value[:, WORDS])
    return render(walked, chosen, _pieces(walked, chosen, markdown), markdown), confidence


def _unseen(walked: Walked, measured: Measures) -> npt.NDArray[np.bool_]:
    """Blocks without width, and hidden dates, which machines read."""
    flags = walked.elements.flags[walked.blocks.element]
    length, digits = measured.value[:, LENGTH], measured.value[:, DIGITS]
    date = (digits >= 4) & (digits >= 0.3 * length) & (length <= MAX_DATE)
    unseen: npt.NDArray[np.bool_] = (flags & NO_WIDTH != 0) | (flags & HIDDEN != 0) & date
    return unseen


def _pieces(walked: Walked, chosen: npt.NDArray[np.bool_], markdown: bool) -> list[str]:
    pieces = texts(walked, chosen, markdown)
    code = walked.blocks.pre[chosen].tolist()
    return [text if is_code else readable(text) for text, is_code in zip(pieces, code, strict=True)]
