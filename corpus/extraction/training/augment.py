"""Pages that the gold lacks: short articles, and articles among rails of teasers taken from other pages.

Gold pages are long (median 6,500 characters); a model trained on them alone keeps the rail of a short one. A copy of a
page is made on its arrays: blocks are taken out, or another page's container is put in, and every range is kept true.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.extraction.learned import names
from corpus.extraction.learned.walk import Blocks, Elements, Walked

Labels = npt.NDArray[np.float32]
_KIN = np.array(names.kin_bits(), np.uint64)
_LONG_BYTES = 80
MIN_RAIL, MAX_RAIL = 5, 80  # blocks of a container that serves as a rail


def shortened(walked: Walked, label: Labels, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which blocks stay when only the first few long gold blocks do; all that is not gold stays."""
    length = walked.blocks.end - walked.blocks.start
    gold = label >= 0.5
    long = np.flatnonzero(gold & (length >= _LONG_BYTES))
    keep = np.ones(len(gold), np.bool_)
    if len(long) < 3:
        return keep
    some = int(rng.integers(1, 6)) if rng.random() < 0.7 else len(long) // 3
    last = long[min(max(some, 1), len(long)) - 1]
    keep[last + 1 :] = ~gold[last + 1 :]
    return keep


def subset(walked: Walked, keep: npt.NDArray[np.bool_]) -> Walked:
    """The page without some of its blocks."""
    e, b = walked.elements, walked.blocks
    index = np.concatenate([[0], np.cumsum(keep)]).astype(np.int32)
    elements = e._replace(first=index[e.first], last=index[e.last])
    return walked._replace(elements=elements, blocks=Blocks(*(column[keep] for column in b)))


def rails(walked: Walked, label: Labels) -> npt.NDArray[np.int64]:
    """Containers of this page that can stand beside another page's article: several blocks, many of them linked."""
    e, b = walked.elements, walked.blocks
    size = e.last - e.first
    links = np.concatenate([[0], np.cumsum(b.link)])
    length = np.concatenate([[0], np.cumsum(b.end - b.start)])
    share = (links[e.last] - links[e.first]) / np.maximum(length[e.last] - length[e.first], 1)
    mean = (length[e.last] - length[e.first]) / np.maximum(size, 1)
    gold = np.concatenate([[0], np.cumsum(label)])
    foreign = gold[e.last] - gold[e.first] < 0.1 * size  # a listing's own cards would teach that cards are no content
    fits = (size >= MIN_RAIL) & (size <= MAX_RAIL) & (share > 0.15) & (mean > 20) & foreign
    same_as_parent = (e.first == e.first[e.parent]) & (e.last == e.last[e.parent])
    return np.flatnonzero(fits & ~same_as_parent)


def place_for_rail(walked: Walked, label: Labels, rng: np.random.Generator) -> int:
    """An element after which a rail goes: one of the ancestors of the last gold block, or of the first one, or -1."""
    e, b = walked.elements, walked.blocks
    gold = np.flatnonzero((label >= 0.5) & (b.end - b.start >= _LONG_BYTES))
    if not len(gold):
        return -1
    at = int(b.element[gold[-1]])
    chain = []
    while at > 0 and names.NAMES[e.tag[at] - 1 if e.tag[at] else 0] not in ("body", "html"):
        chain.append(at)
        at = int(e.parent[at])
    # just after the last paragraph up to after the whole column
    return chain[int(rng.integers(0, min(4, len(chain))))] if chain else -1


def injected(walked: Walked, after: int, other: Walked, root: int) -> tuple[Walked, npt.NDArray[np.bool_]]:
    """The page with a container of another page put in behind one of its elements, and which blocks are new."""
    e, b = walked.elements, walked.blocks
    inside = _subtree(other.elements, root)
    first, last = int(other.elements.first[root]), int(other.elements.last[root])
    num, at, base = last - first, int(e.last[after]), len(e.tag)
    parent = int(e.parent[after])
    ancestors = _ancestors(e, parent)
    mine_first = np.where(e.first >= at, e.first + num, e.first)
    mine_last = np.where(e.first >= at, e.last + num, e.last)
    mine_first[ancestors] = e.first[ancestors]
    mine_last[ancestors] = e.last[ancestors] + num
    new = _moved(other.elements, inside, e, parent, base, at - first)
    elements = Elements(
        *(np.concatenate([mine, theirs]) for mine, theirs in zip(
            e._replace(first=mine_first, last=mine_last), new, strict=True
        ))
    )  # fmt: skip
    index = np.zeros(len(other.elements.tag), np.int32)
    index[inside] = base + np.arange(len(inside))
    shift = len(walked.text)
    o = other.blocks
    theirs = o._replace(start=o.start + shift, end=o.end + shift, element=index[o.element])
    blocks = Blocks(
        *(np.concatenate([mine[:at], column[first:last], mine[at:]]) for mine, column in zip(b, theirs, strict=True))
    )
    is_new = np.zeros(len(blocks.start), np.bool_)
    is_new[at : at + num] = True
    text = np.concatenate([walked.text, other.text])
    return walked._replace(elements=elements, blocks=blocks, text=text), is_new


def _subtree(e: Elements, root: int) -> npt.NDArray[np.int64]:
    inside = np.zeros(len(e.tag), np.bool_)
    inside[root] = True
    for i in range(root + 1, len(e.tag)):
        inside[i] = inside[e.parent[i]]
    return np.flatnonzero(inside)


def _ancestors(e: Elements, of: int) -> list[int]:
    chain = [of]
    while chain[-1] > 0:
        chain.append(int(e.parent[chain[-1]]))
    return chain


def _moved(e: Elements, inside: npt.NDArray[np.int64], host: Elements, parent: int, base: int, by: int) -> Elements:
    """Elements of another page under a new parent: what they inherit is computed anew."""
    index = {int(old): base + i for i, old in enumerate(inside)}
    part: Any = Elements(*(column[inside].copy() for column in e))
    for i, old in enumerate(inside):
        up = index.get(int(e.parent[old]), parent) if i else parent
        part.parent[i] = up
        above = (part, up - base) if i else (host, parent)
        part.kin[i] = _KIN[part.tag[i]] | above[0].kin[above[1]]
        part.cues[i] = part.cue[i] | above[0].cues[above[1]]
    return part._replace(first=part.first + np.int32(by), last=part.last + np.int32(by))
