"""Invented people whose facts are known: as documents to plant, and as probes whose true sources are known.

Person x {birth date, birthplace, employer, university}, each fact said in several paraphrases, each in a document of
its own (the design of bergson's `recall` benchmark). Names are made of syllables, so no real text can know them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from corpus.parts import writing
from eval.chance import Chance, digest
from eval.documents import Document
from eval.documents import write as documents_to_file
from eval.suites import Item, Suite, unique

FACTS = ("birth_date", "birthplace", "employer", "university")
GOLD = pa.schema(
    [
        ("id", pa.string()),
        ("person", pa.string()),
        ("fact", pa.string()),
        ("value", pa.string()),
        ("paraphrase", pa.int32()),  # which wording the document has
        ("true", pa.bool_()),  # false: a document that says a wrong value
    ]
)
# Each ends in the value, so that the words before it are a probe.
_SAID = {
    "birth_date": ("{p} was born on {v}", "The date of birth of {p} is {v}", "{p} came into the world on {v}",
                   "Records show that {p} was born on {v}", "Every year {p} celebrates a birthday, first seen on {v}",
                   "{p}'s birth was registered on {v}"),
    "birthplace": ("{p} was born in the town of {v}", "The birthplace of {p} is {v}", "{p} comes from {v}",
                   "{p} spent a childhood in a small house in {v}",
                   "As a native of the place, {p} knows every street of {v}", "The family of {p} lived in {v}"),
    "employer": ("{p} works for {v}", "The employer of {p} is {v}", "{p} has a position at {v}",
                 "Since last spring {p} has been employed by {v}", "{p} earns a living at {v}",
                 "On weekdays {p} can be found in the offices of {v}"),
    "university": ("{p} studied at {v}", "The university of {p} was {v}", "{p} graduated from {v}",
                   "{p} took a degree at {v}", "{p} spent four years as a student at {v}",
                   "The alma mater of {p} is {v}"),
}  # fmt: skip
_AFTER = (
    "Friends describe {p} as patient and fond of long walks.", "In the evenings {p} plays chess with the neighbours.",
    "A photograph of {p} hangs in the hall.", "{p} has written two short books about gardens.",
    "Nobody has ever seen {p} in a hurry.", "At weekends {p} repairs old clocks.",
)  # fmt: skip
_SYLLABLES = "ba dor vel mi ran tos ke lun pra zil hem or fa qui sten ty gol wex nar ulo".split()
_MONTHS = "January February March April May June July August September October November December".split()


@dataclass(frozen=True)
class Person:
    """An invented person: a name and one value per fact."""

    name: str
    values: dict[str, str]


def people(number: int, seed: int = 0) -> list[Person]:
    """So many people with different names."""
    found: dict[str, Person] = {}
    at = 0
    while len(found) < number:
        chance = Chance("person", seed, at)
        at += 1
        name = f"{_word(chance, 2)} {_word(chance, 3)}"
        found.setdefault(name, Person(name, {fact: _value(fact, chance) for fact in FACTS}))
    return list(found.values())


def _word(chance: Chance, syllables: int) -> str:
    return "".join(chance.pick(_SYLLABLES) for _ in range(syllables)).capitalize()


def _value(fact: str, chance: Chance) -> str:
    if fact == "birth_date":
        return f"{1 + chance.below(28)} {chance.pick(_MONTHS)} {1900 + chance.below(100)}"
    if fact == "birthplace":
        return _word(chance, 2) + chance.pick(("ford", "ham", "burg", " Bay", "stead", "mouth"))
    if fact == "employer":
        return f"{_word(chance, 2)} {chance.pick(('Works', 'Brothers', 'Instruments', 'Shipping', 'Press', 'Mills'))}"
    return f"{chance.pick(('the University of', 'the College of', 'the Academy of'))} {_word(chance, 3)}"


def documents(
    persons: Sequence[Person], paraphrases: int = 3, false_share: float = 0.0, copies: int = 10, seed: int = 0
) -> tuple[list[Document], pa.Table]:
    """(documents, gold): each fact in the first `paraphrases` wordings, one document each.

    For a share of the facts `copies` more documents say one wrong value: a false fact as a model would learn it. The
    last wordings stay unsaid, for probes. Documents are in order of id; gold says what each of them states.
    """
    made: list[Document] = []
    rows: list[dict[str, object]] = []
    for person in persons:
        for fact in FACTS:
            said = [(n, person.values[fact], True) for n in range(min(paraphrases, len(_SAID[fact])))]
            if Chance("false", seed, person.name, fact).real() < false_share:
                wrong = wrong_value(person, fact, seed)
                said += [(n % paraphrases, wrong, False) for n in range(copies)]
            for number, (paraphrase, value, true) in enumerate(said):
                made.append(_document(person, fact, value, paraphrase, number, seed))
                told = {"person": person.name, "fact": fact, "value": value, "paraphrase": paraphrase, "true": true}
                rows.append({"id": made[-1].id, **told})
    return sorted(made, key=lambda document: document.id), pa.Table.from_pylist(rows, schema=GOLD)


def wrong_value(person: Person, fact: str, seed: int = 0) -> str:
    """The one wrong value that false documents give."""
    chance = Chance("wrong", seed, person.name, fact)
    while (value := _value(fact, chance)) == person.values[fact]:
        pass
    return value


def _document(person: Person, fact: str, value: str, paraphrase: int, number: int, seed: int) -> Document:
    chance = Chance("fact", seed, person.name, fact, number)
    sentence = _SAID[fact][paraphrase].format(p=person.name, v=value) + "."
    around = [line.format(p=person.name) for line in chance.sample(_AFTER, 3)]
    text = " ".join([around[0], sentence[0].upper() + sentence[1:], *around[1:]])
    return Document(digest("fact", seed, person.name, fact, number)[:32], text, source="facts", lang="en")


def probes(persons: Sequence[Person], paraphrases: int = 3, seed: int = 0, distractors: int = 9) -> Suite:
    """Cloze items for every fact in every wording; those from `paraphrases` on were never said in a document."""
    items = []
    for person in persons:
        for fact in FACTS:
            others = sorted({other.values[fact] for other in persons} - {person.values[fact]})
            for number, wording in enumerate(_SAID[fact]):
                key = digest("probe", seed, person.name, fact, number)[:16]
                chance = Chance("probe", key)
                choices = chance.shuffled([person.values[fact], *chance.sample(others, distractors)])
                prompt = wording.partition(" {v}")[0].format(p=person.name)
                slices = {"fact": fact, "wording": "said" if number < paraphrases else "unsaid", "person": person.name}
                texts = tuple(f" {choice}" for choice in choices)
                items.append(Item(key, "fact", (prompt,), texts, choices.index(person.values[fact]), slices))
    notes = () if len(persons) > distractors else (f"{len(persons)} people give fewer than {distractors} distractors",)
    return Suite("facts", unique(items), "sum", {"people": len(persons), "seed": seed}, notes)


def write(folder: Path, made: Sequence[Document], gold: pa.Table) -> None:
    """`facts.jsonl`, a source for a corpus recipe (kind jsonl), and `gold.parquet`."""
    documents_to_file(made, folder / "facts.jsonl")
    with writing(folder / "gold.parquet", GOLD) as out:
        out.write(gold)
