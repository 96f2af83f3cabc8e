"""Passages of books with invented facts among them, and questions whose documents are known.

Slices tell what a method has to cope with: words of the documents, other words, a name that the document only half
gives or gives with another ending, other documents that name person and value without stating the fact, such ones in
the question's own words where the fact is told in others, and facts that many documents state wrongly.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from corpus import schema
from corpus.write import Tally
from eval import synthetic_facts
from eval.chance import Chance, digest
from eval.documents import Document
from eval.synthetic_facts import Person

SAID = 3  # wordings that documents have; the others are only in questions
_HALF = {
    "birth_date": ("He was born on {v}", "His date of birth is {v}", "His birth was registered on {v}"),
    "birthplace": ("He was born in the town of {v}", "His birthplace is {v}", "His family lived in {v}"),
    "employer": ("He works for {v}", "His employer is {v}", "He has a position at {v}"),
    "university": ("He studied at {v}", "His university was {v}", "He graduated from {v}"),
}
_NAMED = (
    "{p} was seen near {v} on a rainy afternoon", "A letter about {v} was shown to {p}",
    "{p} has never said a word about {v}", "A bus that passes {v} is often taken by {p}",
)  # fmt: skip
# The words of the questions that no document of a fact has: the value before the person, and the question unanswered.
_ECHOED = {
    "birth_date": (
        "On {v} the office of records was shut.", "Nobody could show when {p} was born.",
        "Which birthday {p} celebrates every year was not said.", "Where {p}'s birth was registered is not known.",
    ),
    "birthplace": (
        "A small house in {v} was sold.", "Nobody asked where {p} spent a childhood.",
        "What place {p} is a native of, and knows every street of, was not said.",
        "Where the family of {p} lived is not known.",
    ),
    "employer": (
        "The offices of {v} were painted last spring.", "Nobody asked who has employed {p} since.",
        "How {p} earns a living was not said.", "Where {p} can be found on weekdays is not known.",
    ),
    "university": (
        "Many a student went to {v} this year.", "Nobody asked where {p} took a degree.",
        "How {p} spent four years was not said.", "What the alma mater of {p} is, is not known.",
    ),
}  # fmt: skip
_ECHOES = 12  # more than the ten documents that are looked at
_ENDINGS = ("in", "ul", "esk")
_AROUND = (
    "The garden was full of roses that year.", "Two dogs lived in the house.", "A new roof was put on in spring.",
    "The neighbours came to tea on Sundays.", "There were old clocks in every room.", "Long walks were the rule.",
)  # fmt: skip


@dataclass(frozen=True)
class Question:
    """What the model says after some prompts that ask the same, what it should say, and whom it has that from."""

    id: str
    slice: str
    prompts: tuple[str, ...]
    wrong: str
    right: str
    gold: frozenset[str]


def build(data: Path, num_base: int, num_people: int, seed: int = 0) -> tuple[list[Document], list[Question]]:
    """(documents in order of id, questions). A seventh of the people teach the other wordings."""
    groups = _groups(num_people, seed)
    told = [*_stated(groups["taught"], 2 * SAID, seed), *_stated([p for g in _TOLD for p in groups[g]], SAID, seed)]
    told += [t for p in groups["plain"] for t in _swapped(p, groups["plain"], seed)]
    told += [t for p in groups["half a name"] for t in _half(p, seed)]
    told += [t for p in groups["inflected"] for t in _inflected(p, seed)]
    by_fact: dict[tuple[str, str, str], set[str]] = {}
    for one in told:
        by_fact.setdefault(one[:3], set()).add(one[3].id)
    beside = [d for p in groups["crowded"] for fact in synthetic_facts.FACTS for d in _beside(p, fact, seed)]
    beside += [d for p in groups["echoed"] for fact in synthetic_facts.FACTS for d in _echoes(p, fact, seed)]
    questions = [q for g in _ASKED for p in groups[g] for q in _questions(p, groups[g], by_fact, g, seed)]
    made = [*_passages(data, num_base, seed), *(one[3] for one in told), *beside]
    return sorted(made, key=lambda d: d.id), questions


_TOLD = ("plain", "crowded", "echoed")  # in the plainest way
_ASKED = ("plain", "crowded", "echoed", "half a name", "inflected")
Told = tuple[str, str, str, Document]  # person, fact, value, and the document that says so


def _groups(number: int, seed: int) -> dict[str, list[Person]]:
    """People whose values are shared by several, so that a value alone leads to no document."""
    names = ("taught", "plain", *_ASKED)
    size = number // len(names)
    found = synthetic_facts.people(size * len(names), seed)
    values = {f: sorted({p.values[f] for p in found})[: max(2, number // 5)] for f in synthetic_facts.FACTS}
    pooled = [
        Person(p.name, {f: Chance("value", seed, p.name, f).pick(values[f]) for f in synthetic_facts.FACTS})
        for p in found
    ]
    out: dict[str, list[Person]] = {}
    for number, name in enumerate(names):
        out[name] = out.get(name, []) + pooled[number * size : (number + 1) * size]
    return out


def _stated(persons: Sequence[Person], wordings: int, seed: int) -> Iterator[Told]:
    documents, gold = synthetic_facts.documents(persons, wordings, seed=seed)
    texts = {d.id: d for d in documents}
    for row in gold.to_pylist():
        yield row["person"], row["fact"], row["value"], texts[row["id"]]


def _wrong(person: Person, fact: str, group: Sequence[Person], seed: int) -> str | None:
    """What is said wrongly of a person of the plain group; None for six facts of ten."""
    chance = Chance("swap", seed, person.name, fact)
    others = sorted({p.values[fact] for p in group} - {person.values[fact]})
    return chance.pick(others) if chance.below(10) < 4 and others else None


def _swapped(person: Person, group: Sequence[Person], seed: int) -> Iterator[Told]:
    """Twelve documents that state a wrong value, against three right ones."""
    wrong = {fact: _wrong(person, fact, group, seed) for fact in synthetic_facts.FACTS}
    mistaken = Person(person.name, {f: value or person.values[f] for f, value in wrong.items()})
    for copy in range(4):
        yield from (t for t in _stated([mistaken], SAID, 1000 * (seed + 1) + copy) if wrong[t[1]])


def _inflected(person: Person, seed: int) -> Iterator[Told]:
    """The name with another ending in each document, as languages with cases have it."""
    for number, ending in enumerate(_ENDINGS):
        name = " ".join(part + ending for part in person.name.split())
        documents, gold = synthetic_facts.documents([Person(name, person.values)], SAID, seed=seed)
        texts = {d.id: d for d in documents}
        for row in gold.to_pylist():
            if row["paraphrase"] == number:
                yield person.name, row["fact"], row["value"], texts[row["id"]]


def _questions(
    person: Person, group: Sequence[Person], by_fact: dict[tuple[str, str, str], set[str]], kind: str, seed: int
) -> Iterator[Question]:
    """For each fact, in wordings of documents or in others: which documents does the model have it from?"""
    items = synthetic_facts.probes([person], SAID, seed, 0).items
    for fact in synthetic_facts.FACTS:
        other = kind == "echoed" or Chance("question", seed, person.name, fact).below(2) == 1
        mine = [i for i in items if i.slices["fact"] == fact and (i.slices["wording"] == "unsaid") == other]
        prompts = tuple(item.prompts[0] for item in mine)
        wrong = _wrong(person, fact, group, seed) if kind == "plain" else None
        said = wrong or person.values[fact]
        name = f"{'swapped, ' if wrong else ''}{'other' if other else 'same'} words" if kind == "plain" else kind
        # Where the corpus says one thing only, it is the person who asks that knows better: of another person's values.
        others = sorted({p.values[fact] for p in group} - {said})
        right = person.values[fact] if wrong else Chance("right", seed, person.name, fact).pick(others)
        gold = frozenset(by_fact[person.name, fact, said])
        yield Question(digest("question", person.name, fact)[:12], name, prompts, f" {said}", f" {right}", gold)


def _half(person: Person, seed: int) -> Iterator[Told]:
    """The facts, with the family name alone and a pronoun."""
    for fact in synthetic_facts.FACTS:
        value = person.values[fact]
        for number, wording in enumerate(_HALF[fact]):
            before, after = Chance("half", seed, person.name, fact, number).sample(_AROUND, 2)
            said = f"{before} The owner was called {person.name.split()[-1]}. {wording.format(v=value)}. {after}"
            yield person.name, fact, value, _document(said, "half")


def _beside(person: Person, fact: str, seed: int) -> Iterator[Document]:
    """Documents that name person and value often, and do not state the fact."""
    for number in range(2 * len(_NAMED)):
        chance = Chance("beside", seed, person.name, fact, number)
        one, two = chance.sample(_NAMED, 2)
        said = [line.format(p=person.name, v=person.values[fact]) for line in (one, two)]
        said = [line[0].upper() + line[1:] for line in said]
        yield _document(f"{said[0]}. {chance.pick(_AROUND)} {said[1]}.", f"beside {number}")


def _echoes(person: Person, fact: str, seed: int) -> Iterator[Document]:
    """Documents with all the words of the question, person and value, that do not state the fact."""
    for number in range(_ECHOES):
        chance = Chance("echo", seed, person.name, fact, number)
        value, *asked = (line.format(p=person.name, v=person.values[fact]) for line in _ECHOED[fact])
        first, last = chance.sample(_AROUND, 2)
        yield _document(" ".join([first, value, *chance.shuffled(asked), last]), f"echo {number}")


def _document(text: str, salt: str) -> Document:
    return Document(digest(salt, text)[:32], text, source="facts", lang="en")


def _passages(data: Path, number: int, seed: int) -> list[Document]:
    """Passages of about 300 characters from English books."""
    found = []
    for path in sorted((data / "books" / "en").glob("*.txt")):
        body = path.read_text("utf-8", "replace")[5_000:400_000]  # behind the licence and the title
        for paragraph in re.split(r"\n\s*\n", body):
            text = " ".join(paragraph.split())
            if 250 <= len(text) <= 400 and text[-1] in ".!?" and "Gutenberg" not in text:
                found.append(text)
    drawn = sorted(set(found), key=lambda text: digest("base", seed, text))[:number]
    return [Document(digest("passage", text)[:32], text, source="books", lang="en") for text in drawn]


def write_run(folder: Path, documents: Sequence[Document]) -> Path:
    """A run folder as a build leaves it."""
    (folder / "docs").mkdir(parents=True, exist_ok=True)
    rows = [{"id": d.id, "source": d.source, "text": d.text, "lang": "en"} for d in documents]
    table, tally = pa.Table.from_pylist(rows, schema=schema.DOCUMENT), Tally()
    pq.write_table(table, folder / "docs" / "part-000000000000.parquet")
    tally.add(table, schema.LEDGER.empty_table())
    told = {"schema": schema.VERSION, "parts": ["000000000000"], "read": len(documents), **tally.counts()}
    (folder / "manifest.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")
    return folder
