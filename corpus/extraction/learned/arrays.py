"""What a page becomes: arrays of elements and of blocks, their text, and the counters of the pass that fills them."""

from typing import Any, NamedTuple

from filters.kernels.compiled import I32, U8, U64

# Marks in the text around inline markup, for Markdown; control characters of the page itself become spaces.
CODE, STRONG, EMPHASIS = 1, 2, 3
# bits of an element
HIDDEN, ARIA_HIDDEN, NO_WIDTH, HREF, FRAGMENT = 1, 2, 4, 8, 16

MAX_DEPTH = 4096  # of elements; deeper ones count as their ancestor
MAX_BLOCKS = 50_000  # what comes after is left out: 80 MB of features
# indices of counters
N_ELEMENTS, N_BLOCKS, N_TEXT, TOP, HIDING, OPEN, WRITTEN, SPACE, BREAKS, LINK, LINKS, LINK_BYTES = range(12)
IN_PRE, IN_STRONG, STRONG_BYTES, IMAGES, INPUTS, TITLE_START, TITLE_END = range(12, 19)
NUM_COUNTERS = 19
# columns of the arrays that compiled code fills: of elements, of their bits, of blocks
TAG, PARENT, LOOK, FLAGS, FIRST, LAST, IMAGES_BEFORE, IMAGES_AFTER, E_COLUMNS = range(9)
KIN, F_COLUMNS = 4, 5  # 0 and 1 are an element's own words, 2 and 3 those of it and its ancestors
START, END, ELEMENT, LINKED, NUM_LINKS, BOLD, PREFORMATTED, B_COLUMNS = range(8)


class Elements(NamedTuple):
    """One entry per element, parents before children; 0 is the document."""

    tag: U8
    parent: I32
    look: I32  # hash of tag and class: siblings that look alike are a list
    cue: U64  # [element, 2]: words of its own class, id and role
    cues: U64  # [element, 2]: those of it and its ancestors below <body>
    kin: U64  # tags of it and its ancestors
    flags: U8
    first: I32  # blocks [first, last)
    last: I32
    images: I32  # images before its start and end, so that their number within is a difference
    images_end: I32


class Blocks(NamedTuple):
    """One entry per block: text[start:end] in UTF-8, white space collapsed except in <pre>."""

    start: I32
    end: I32
    element: I32  # the block-level element that holds it
    link: I32  # bytes within links
    links: I32
    strong: I32
    cue: U64  # [block, 2]: words of its inline elements' classes
    pre: U8


class Walked(NamedTuple):
    elements: Elements
    blocks: Blocks
    text: U8
    title: U8
    counters: Any
