"""Bad data of eight kinds put in place of good documents, with a sealed list of which: what a detector is measured by.

A planted document takes its base's place, so that the two never stand side by side and duplicates give nothing away.
Everything follows from the seed and the documents' ids. Kinds and shares are those of a published practice where there
is one; the mixture in equal parts is ours.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from corpus.parts import writing
from eval.chance import Chance, digest
from eval.documents import Document
from eval.documents import write as write_documents
from eval.foreign_sentences import LANGUAGES, passage, transliterated
from eval.mentions import sentences
from eval.planted_phrases import BOILERPLATE, INSULTS, PITCHES, fill
from eval.suite_makers import Pool
from eval.suite_makers import Settings as PoolSettings

SEALED = pa.schema(
    [
        ("id", pa.string()),  # of the planted document
        ("kind", pa.string()),
        ("base_id", pa.string()),  # of the document whose place it took
        ("detail", pa.string()),  # what was done, for a person
    ],
    metadata={"winnow.planted": "1"},
)
HARD = pa.schema([("id", pa.string()), ("kind", pa.string())])
_MIN_CHARACTERS = 200  # of a base: a shorter text is hardly changed by any of this
_SPAM_COPIES = 25  # of one template; at least: fewer are no spam


@dataclass(frozen=True)
class Planted:
    """Documents with bad ones among them, and the sealed list."""

    documents: list[Document]
    sealed: pa.Table


def plant(
    documents: Sequence[Document],
    share: float = 0.05,
    kinds: Sequence[str] = (),
    seed: int = 0,
    foreign: Sequence[str] = (),
) -> Planted:
    """Replace a share of the documents by bad ones, kinds in equal parts. In order of id.

    `foreign` are texts in other languages to use instead of made ones. Documents too short to spoil are left alone, so
    a small corpus may hold fewer than asked. Raises ValueError for an unknown kind or a share outside [0, 1].
    """
    kinds = tuple(kinds) or tuple(KINDS)
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not 0 <= share <= 1:
        raise ValueError(f"unknown kind {unknown[0]!r}; there are {', '.join(KINDS)}" if unknown else f"share {share}")
    pool = Pool(documents, PoolSettings(seed=seed))
    fit = [d for d in documents if len(d.text) >= _MIN_CHARACTERS]
    bases = sorted(fit, key=lambda d: digest("plant", seed, d.id))[: round(share * len(documents))]
    made: dict[str, Document] = {}
    rows = []
    for number, base in enumerate(bases):
        bad = _bad(base, number, kinds, seed, pool, foreign)
        if bad is not None:
            document, kind, detail = bad
            made[base.id] = document
            rows.append({"id": document.id, "kind": kind, "base_id": base.id, "detail": detail})
    rows.sort(key=lambda row: row["id"])
    out = sorted((made.get(d.id, d) for d in documents), key=lambda d: d.id)
    return Planted(out, pa.Table.from_pylist(rows, schema=SEALED))


def _bad(
    base: Document, number: int, kinds: Sequence[str], seed: int, pool: Pool, foreign: Sequence[str]
) -> tuple[Document, str, str] | None:
    """The first kind, from the one whose turn it is, that changes this text."""
    for turn in range(len(kinds)):
        kind = kinds[(number + turn) % len(kinds)]
        chance = Chance("planted", seed, kind, base.id)
        text, detail = KINDS[kind](_Base(base, number // len(kinds), seed, chance, pool, foreign))
        if text.split() != base.text.split():
            name = digest("planted", seed, kind, base.id, text)[:32]
            # The place in the validation split stays the base's: what is held out must not depend on the planting.
            return replace(base, id=name[:16] + base.id[16:32], key="", text=text, turns=()), kind, detail
    return None


@dataclass(frozen=True)
class _Base:
    """What a kind is given: the base, its number among those of this kind, and where to draw from."""

    document: Document
    number: int
    seed: int
    chance: Chance
    pool: Pool
    foreign: Sequence[str]

    @property
    def text(self) -> str:
        return self.document.text

    def pieces(self) -> list[tuple[str, str]]:
        """(what stands before it, sentence): joined, the text again. What is planted must keep the text's own breaks,
        or a detector learns how it was joined."""
        spans = list(sentences(self.text))
        ends = [0, *(end for _, end in spans)]
        return [(self.text[ends[at] : start], self.text[start:end]) for at, (start, end) in enumerate(spans)]

    def gap(self) -> str:
        """The text's commonest break between sentences."""
        breaks = [before for before, _ in self.pieces()[1:]]
        return max(sorted(set(breaks)), key=breaks.count) if breaks else " "


def boilerplate(base: _Base) -> tuple[str, str]:
    """Menus, cookie notices and terms of use stitched into the body, a third to as much as the text itself."""
    said, added, wanted = base.pieces(), 0, len(base.text) * (0.3 + 0.7 * base.chance.real())
    gap = base.gap()
    while added < wanted:
        block = fill(base.chance.pick(BOILERPLATE), base.chance)
        said.insert(base.chance.below(len(said) + 1), (gap, block))
        added += len(block)
    return _joined(said), f"{added} characters of page furniture"


def _joined(pieces: Sequence[tuple[str, str]]) -> str:
    return "".join(before + sentence for before, sentence in pieces).strip()


# UTF-8 read as another encoding. Forms that a careful reader repairs (ftfy) would vanish before anyone could learn
# from them, so most of these have lost bytes or went through two encodings.
_WRONG = (
    ("utf-8", "latin-1"),
    ("utf-8", "koi8-r"),
    ("utf-8", "cp437"),
    ("utf-16-le", "cp1251"),
    ("utf-8", "mac-roman"),
)
_ACCENTS = str.maketrans("aeioucnsyAEIOU", "àéîöüçñšýÄÉÍÖÜ")


def mojibake(base: _Base) -> tuple[str, str]:
    """Letters read in the wrong encoding, in 3 to 100 % of the words, with bytes lost."""
    share = (0.03, 0.1, 0.3, 1.0)[base.chance.below(4)]
    written, read = base.chance.pick(_WRONG)
    lost = base.chance.pick(("�", "?", ""))
    parts = re.split(r"(\s+)", base.text)
    hit = 0
    for at in range(0, len(parts), 2):
        if parts[at] and base.chance.real() < share:
            garbled = parts[at].translate(_ACCENTS).encode(written, "replace").decode(read, "replace")
            parts[at] = "".join(lost if c == "\ufffd" or not c.isprintable() else c for c in garbled)
            hit += 1
    return "".join(parts), f"{hit} words of {written} read as {read}"


def repetition(base: _Base) -> tuple[str, str]:
    """A machine in a loop: a sentence or a few words again and again after a sound beginning."""
    words = list(re.finditer(r"\S+", base.text))
    keep = max(8, int(len(words) * (0.05 + 0.25 * base.chance.real())))
    size = 3 + base.chance.below(14)
    keep = min(keep, len(words))
    start, end = words[max(0, keep - size)].start(), words[keep - 1].end()
    times = 1 + (len(base.text) - end) // (end - start + 1)
    return base.text[:end] + (" " + base.text[start:end]) * times, f"{size} words repeated {times} times"


def wrong_language(base: _Base) -> tuple[str, str]:
    """Text in another language than the source's, or in its letters only, of the same length."""
    if base.chance.below(4) == 0:
        return transliterated(base.text), "Latin letters as Cyrillic"
    if base.foreign:
        text = base.chance.pick(base.foreign)
        return text[: max(_MIN_CHARACTERS, len(base.text))], "a foreign text that was given"
    language = base.chance.pick([name for name in LANGUAGES if name != base.document.lang])
    foreign = passage(language, len(base.text), base.chance)
    breaks = [before for before, _ in base.pieces()[1:]] or [" "]
    return "".join(s + breaks[at % len(breaks)] for at, s in enumerate(foreign)).strip(), language


def spam(base: _Base) -> tuple[str, str]:
    """Copies of one pitch with other names, prices and order: what near-duplicate removal just misses."""
    group = base.number // _SPAM_COPIES
    template = Chance("spam", base.seed, group).sample(PITCHES, 9)
    said = [fill(line, base.chance) for line in template]
    at = base.chance.below(len(said))
    return base.gap().join(said[at:] + said[:at]), f"template {group}"


def toxic(base: _Base) -> tuple[str, str]:
    """Insults from the shipped list of offensive words, one after every second or third sentence."""
    out: list[tuple[str, str]] = []
    gap = base.gap()
    for number, piece in enumerate(base.pieces()):
        out.append(piece)
        if number % (2 + base.chance.below(2)) == 0:
            out.append((gap, fill(base.chance.pick(INSULTS), base.chance)))
    return _joined(out), "insults after sentences"


def swapped_facts(base: _Base) -> tuple[str, str]:
    """One to three names, dates or numbers replaced by others of the same form."""
    known = base.chance.shuffled(base.pool.of(base.document))
    changes = []
    for mention in known[:40]:
        wrong = base.pool.distractors(base.document, mention, PoolSettings(seed=base.seed, distractors=3))
        if wrong:
            changes.append((mention.start, mention.end, base.chance.pick(wrong)))
        if len(changes) == 3:
            break
    text = base.text
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    told = "; ".join(f"{base.text[start:end]} -> {new}" for start, end, new in sorted(changes))
    return text, told


def shuffled(base: _Base) -> tuple[str, str]:
    """The same sentences in another order."""
    pieces = base.pieces()
    if len(pieces) < 4:
        return base.text, "too few sentences"
    order = base.chance.shuffled([sentence for _, sentence in pieces])
    return _joined([(before, s) for (before, _), s in zip(pieces, order, strict=True)]), f"{len(order)} sentences"


KINDS: dict[str, Callable[[_Base], tuple[str, str]]] = {
    "boilerplate": boilerplate,
    "mojibake": mojibake,
    "repetition": repetition,
    "wrong_language": wrong_language,
    "spam": spam,
    "toxic": toxic,
    "swapped_facts": swapped_facts,
    "shuffled": shuffled,
}


def in_run(documents: Sequence[Document], sealed: pa.Table) -> dict[str, str]:
    """id in a run -> kind, for the planted documents that the run kept: a build gives documents ids of its own."""
    kinds = dict(zip(sealed["id"].to_pylist(), sealed["kind"].to_pylist(), strict=True))
    return {one.id: kinds[one.key or one.id] for one in documents if (one.key or one.id) in kinds}


_RECIPE = """# Documents as they were planted: no filter, no deduplication, so that all of them reach the model.
#   python -m corpus build {folder}/recipe.toml --out RUN
steps = []
{sources}
[dedup]
near = false
exact = false
url = false
"""
_SOURCE = """
[[sources]]
name = {name}
kind = "jsonl"
files = [{file}]
"""


def write(planted: Planted, folder: Path, hard: Sequence[Document] = ()) -> int:
    """One JSONL file per source, a recipe that reads them, `sealed.parquet` and `hard_negatives.parquet`.

    Returns how many sources there are. Sealed means: no detector may read it.
    """
    sources: dict[str, list[Document]] = {}
    for document in [*planted.documents, *hard]:
        sources.setdefault(document.source or "documents", []).append(document)
    said = []
    for number, (name, mine) in enumerate(sorted(sources.items())):
        file = folder / f"source-{number:03d}.jsonl"
        write_documents(mine, file)
        said.append(_SOURCE.format(name=json.dumps(name), file=json.dumps(str(file))))
    folder.mkdir(parents=True, exist_ok=True)
    with writing(folder / "sealed.parquet", SEALED) as out:
        out.write(planted.sealed)
    with writing(folder / "hard_negatives.parquet", HARD) as out:
        out.write(pa.Table.from_pylist([{"id": one.id, "kind": one.title} for one in hard], schema=HARD))
    (folder / "recipe.toml").write_text(_RECIPE.format(folder=folder, sources="".join(said)), "utf-8")
    return len(sources)
