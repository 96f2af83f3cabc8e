"""Suites from the user's own documents: facts with a gap, the order of sentences, which continuation belongs.

Each document is asked for items by itself; which of them are taken is decided by a hash of the document's id, so that
adding documents changes few items. What was learnt and what was held out are told apart by the slice `split`.
"""

import dataclasses
from collections.abc import Callable, Sequence

from eval.chance import Chance, digest
from eval.documents import Document, split
from eval.mentions import KINDS, Mention, mentions, sentences
from eval.suites import Item, Suite, unique

MIN_DISTRACTORS = 3  # fewer make guessing too easy
_PER_DOCUMENT = 2  # items of one kind: more would weigh long documents and are not independent
_CONTEXT = 400  # characters before a gap: fits a window of 256 tokens of a small tokenizer
_TRIES = 20


@dataclasses.dataclass(frozen=True)
class Settings:
    """How suites are made."""

    validation: float = 0.03  # the share that the model's training held out
    items: int = 200  # at most, per kind and split
    distractors: int = 9
    seed: int = 0


def make(documents: Sequence[Document], kind: str, settings: Settings = Settings()) -> Suite:
    """One suite of a kind in MAKERS. An empty one has a note that says why."""
    learnt, held = split(documents, settings.validation)
    maker, scoring = MAKERS[kind]
    items: list[Item] = []
    notes = []
    for name, part in (("in_train", learnt), ("held_out", held)):
        found = maker(part, documents, settings)
        items += [dataclasses.replace(item, slices={**item.slices, "split": name}) for item in found]
        if not found:
            notes.append(f"no items {name}: {_why(part, kind)}")
    made_from = {"documents": len(documents), "held_out": len(held), **dataclasses.asdict(settings)}
    return Suite(kind, unique(items), scoring, made_from, tuple(notes))


def _why(part: Sequence[Document], kind: str) -> str:
    reasons = {
        "cloze": f"needs names, dates or numbers and at least {MIN_DISTRACTORS} others of the same kind elsewhere",
        "order": "needs texts of at least four sentences",
        "relevance": f"needs texts of two sentences or turns, and at least {MIN_DISTRACTORS} other documents",
    }
    return f"{len(part)} documents there; {reasons[kind]}" if part else "no documents there"


def _slices(document: Document) -> dict[str, str]:
    return {"source": document.source, "lang": document.lang}


def _by_hash(documents: Sequence[Document], settings: Settings, purpose: str) -> list[Document]:
    return sorted(documents, key=lambda document: digest(settings.seed, purpose, document.id))


def cloze(part: Sequence[Document], everyone: Sequence[Document], settings: Settings) -> list[Item]:
    """An entity, a date or a number to be found again after its context, among others of the same form."""
    pool = Pool(everyone, settings)
    found: dict[str, list[Item]] = {kind: [] for kind in KINDS}
    for document in _by_hash(part, settings, "cloze"):
        for kind in KINDS:
            if len(found[kind]) < settings.items:
                found[kind] += _gaps(document, kind, pool, settings)
        if all(len(items) >= settings.items for items in found.values()):
            break
    return [item for items in found.values() for item in items[: settings.items]]


class Pool:
    """Every answer of every kind and form, to draw distractors from."""

    def __init__(self, documents: Sequence[Document], settings: Settings) -> None:
        self._of: dict[str, list[Mention]] = {}
        shapes: dict[tuple[str, str], dict[str, None]] = {}
        # 2,000 documents hold far more than nine answers of a form; reading all of a large corpus would take minutes.
        for document in _by_hash(documents, settings, "pool")[:2000]:
            for mention in self.of(document):
                shapes.setdefault((mention.kind, mention.shape), {})[mention.text] = None
                shapes.setdefault((mention.kind, ""), {})[mention.text] = None
        self._shapes = {key: sorted(texts) for key, texts in shapes.items()}

    def of(self, document: Document) -> list[Mention]:
        if document.id not in self._of:
            self._of[document.id] = mentions(document.text)
        return self._of[document.id]

    def distractors(self, document: Document, mention: Mention, settings: Settings) -> list[str]:
        """Answers of the same kind, of the same form first, that the document does not mention."""
        mine, right = document.text.casefold(), mention.text.casefold()
        chosen: dict[str, str] = {}
        for shape in (mention.shape, ""):
            texts = self._shapes.get((mention.kind, shape), [])
            chance = Chance(settings.seed, "distractors", document.id, mention.start, shape)
            start = chance.below(len(texts)) if texts else 0
            for at in range(len(texts)):
                text = texts[(start + at * _stride(len(texts))) % len(texts)]
                folded = text.casefold()
                if folded not in mine and not folded.startswith(right):  # "18" always beats "1800": it is its beginning
                    chosen.setdefault(folded, text)
                if len(chosen) == settings.distractors:
                    return list(chosen.values())
        return list(chosen.values())


def _stride(size: int) -> int:
    """A step that visits every place of a list once, far from one neighbour to the next: neighbours are alike."""
    step = int(size * 0.618) or 1
    while _common_divisor(step, size) != 1:
        step += 1
    return step


def _common_divisor(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a


def _gaps(document: Document, kind: str, pool: Pool, settings: Settings) -> list[Item]:
    out: list[Item] = []
    known = [mention for mention in pool.of(document) if mention.kind == kind and _has_context(document, mention)]
    for mention in Chance(settings.seed, "gap", document.id, kind).sample(known, _TRIES):
        wrong = pool.distractors(document, mention, settings)
        if len(wrong) < MIN_DISTRACTORS:
            continue
        out.append(_gap(document, mention, wrong, settings))
        if len(out) == _PER_DOCUMENT:
            break
    return out


def _has_context(document: Document, mention: Mention) -> bool:
    """At least 12 bytes before: four ideographs or two words."""
    return len(document.text[max(0, mention.start - 20) : mention.start].strip().encode("utf-8", "replace")) >= 12


def _gap(document: Document, mention: Mention, wrong: Sequence[str], settings: Settings) -> Item:
    before = document.text[max(0, mention.start - _CONTEXT) : mention.start]
    if mention.start > _CONTEXT and " " in before[:40]:
        before = before[before.index(" ") + 1 :]  # no half word at the beginning
    prompt = before.rstrip(" ")
    space = " " if prompt != before else ""  # a tokenizer joins the space to the word that follows
    key = digest("cloze", document.id, mention.start)[:16]
    choices = Chance(settings.seed, "choices", key).shuffled([mention.text, *wrong])
    seen = mention.text.casefold() in prompt.casefold()
    slices = {**_slices(document), "answer_type": mention.kind, "answer_in_prompt": seen, "choices": len(choices)}
    texts = tuple(space + choice for choice in choices)
    return Item(key, "cloze", (prompt,), texts, choices.index(mention.text), slices, document.id)


def order(part: Sequence[Document], everyone: Sequence[Document], settings: Settings) -> list[Item]:
    """The true order of sentences among shuffles of blocks of 1, 2 and 4 (Laban et al. 2021)."""
    out: list[Item] = []
    for document in _by_hash(part, settings, "order"):
        out += _shuffles(document, settings)
        if len(out) >= settings.items:
            break
    return out[: settings.items]


def _shuffles(document: Document, settings: Settings) -> list[Item]:
    spans = list(sentences(document.text))
    first = Chance(settings.seed, "order", document.id).below(max(1, len(spans) - 11))
    said = [document.text[start:end] for start, end in spans[first : first + 12]]
    items = []
    for block in (1, 2, 4):
        blocks = [said[at : at + block] for at in range(0, len(said), block)]
        if len(blocks) < (4 if block == 1 else 2):
            continue
        wrong = _orders(blocks, Chance(settings.seed, "shuffle", document.id, block))
        if wrong:
            key = digest("order", document.id, block)[:16]
            right = " ".join(said)
            choices = Chance(settings.seed, "choices", key).shuffled([right, *wrong])
            slices = {**_slices(document), "block": block, "choices": len(choices)}
            items.append(Item(key, "order", ("",), tuple(choices), choices.index(right), slices, document.id))
    return items


def _orders(blocks: list[list[str]], chance: Chance) -> list[str]:
    """Up to three different wrong orders."""
    right = " ".join(text for block in blocks for text in block)
    found: dict[str, None] = {}
    for _ in range(_TRIES):
        text = " ".join(sentence for block in chance.shuffled(blocks) for sentence in block)
        if text != right:
            found[text] = None
        if len(found) == 3:
            break
    return list(found)


def relevance(part: Sequence[Document], everyone: Sequence[Document], settings: Settings) -> list[Item]:
    """Which of ten continuations, or answers in a conversation, belongs to a prompt."""
    halves = {document.id: _halves(document, settings) for document in _by_hash(everyone, settings, "pool")[:2000]}
    out: list[Item] = []
    pool = sorted((d for d in everyone if halves.get(d.id)), key=lambda document: document.id)
    for document in _by_hash(part, settings, "relevance"):
        halves.setdefault(document.id, _halves(document, settings))
        if halves[document.id]:
            out += _question(document, halves, pool, settings)
        if len(out) >= settings.items:
            break
    return out[: settings.items]


Half = tuple[str, str]


def _halves(document: Document, settings: Settings) -> Half | None:
    """(prompt, what truly follows)."""
    for (role, asked), (other, said) in zip(document.turns, document.turns[1:], strict=False):
        if role == "user" and other == "assistant" and asked.strip() and said.strip():
            return asked.strip()[-600:], said.strip()[:400]
    spans = list(sentences(document.text))
    if document.turns or len(spans) < 2:
        return None
    at = 1 + Chance(settings.seed, "half", document.id).below(len(spans) - 1)
    start, end = spans[at]
    before = document.text[max(0, start - 600) : start]
    prompt = before.rstrip()
    return prompt, before[len(prompt) :] + document.text[start : min(end, start + 200)]


def _question(
    document: Document, halves: dict[str, Half | None], pool: Sequence[Document], settings: Settings
) -> list[Item]:
    prompt, right = halves[document.id] or ("", "")
    near = [other for other in pool if other.source == document.source and other.lang == document.lang]
    near = near if len(near) > settings.distractors else list(pool)
    chance = Chance(settings.seed, "others", document.id)
    wrong: dict[str, None] = {}
    for other in chance.sample(near, settings.distractors + 5) if len(near) < 200 else _some(near, chance, settings):
        text = (halves[other.id] or ("", ""))[1]
        if text.strip() != right.strip() and text.strip() not in document.text:
            wrong[right[: len(right) - len(right.lstrip())] + text.lstrip()] = None
    if len(wrong) < MIN_DISTRACTORS:
        return []
    key = digest("relevance", document.id)[:16]
    choices = Chance(settings.seed, "choices", key).shuffled([right, *list(wrong)[: settings.distractors]])
    slices = {**_slices(document), "form": "chat" if document.turns else "text", "choices": len(choices)}
    return [Item(key, "relevance", (prompt,), tuple(choices), choices.index(right), slices, document.id)]


def _some(near: Sequence[Document], chance: Chance, settings: Settings) -> list[Document]:
    """A few of many, without shuffling them all."""
    return [chance.pick(near) for _ in range(settings.distractors + 5)]


Maker = Callable[[Sequence[Document], Sequence[Document], Settings], list[Item]]
MAKERS: dict[str, tuple[Maker, str]] = {
    "cloze": (cloze, "sum"),
    "order": (order, "sum"),  # all choices have the same sentences
    "relevance": (relevance, "pmi"),
}
