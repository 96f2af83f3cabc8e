"""Good documents that look bad: code, tables, lists, verse, recipes, licences, quotations, dialogue.

A detector that flags these is a detector of the unusual. Half comes from what every Python has (source, documentation,
licence), half is made from lists; all follow from the seed.
"""

import ast
import sysconfig
from collections.abc import Callable
from pathlib import Path

from eval.chance import Chance, digest
from eval.documents import Document
from eval.foreign_sentences import LANGUAGES, sentence

_FIRST = """Ada Bruno Clara David Elena Felix Greta Hugo Irene Jonas Katja Leo Mara Nils Olga Pablo Rosa Stefan Tilda
Ugo Vera Walter Yara Zeno Amir Bianca Chen Divya Emeka Fatima Goran Hanna Ibrahim Jun Kofi Lucia Mehmet Noor""".split()
_LAST = """Abbott Berger Costa Dahl Engel Farkas Garcia Haas Ivanov Jensen Kovac Lehmann Moreau Novak Okafor Petrov
Quinn Rossi Santos Tanaka Ueda Vargas Weber Xu Yilmaz Zhang Achebe Bauer Cohen Duarte""".split()
_PLACES = "river hill station harbour library market school museum garden bridge church theatre".split()
_FOOD = "flour butter sugar milk onions carrots rice lentils tomatoes basil lemons eggs garlic potatoes cream".split()
_VERSE_ENDS = (
    ("night", "light", "sight", "flight", "white"), ("rain", "plain", "again", "grain", "lane"),
    ("sea", "tree", "free", "bee", "key"), ("stone", "alone", "grown", "unknown", "bone"),
    ("day", "away", "grey", "clay", "stay"), ("wood", "stood", "good", "understood", "hood"),
)  # fmt: skip
_VERSE_STARTS = (
    "I walked along beside the", "No bird was heard, there was no", "The lamp went out, and then the",
    "We never asked about the", "O tell me, mother, of the", "And all the hours were full of", "So softly came the",
    "My brother wrote about the", "Beyond the gate, beyond the", "The evening laid its hand on",
)  # fmt: skip
_LINES = ("Where were you last night?", "At the {place}. Why?", "{name} asked for you.", "Did she say what about?",
          "No. She only left this letter.", "Give it to me.", "Not before you tell me the truth.",
          "All right. Sit down.",
          "I was at the {place} with {name}, and we missed the last train.", "Again?", "Yes, again.", "I see.",
          "You do not believe me.", "I never said that.", "Then read it.",
          "It is addressed to {name}, not to you.")  # fmt: skip


def make(number: int, seed: int = 0, length: int = 2000) -> list[Document]:
    """So many documents, kinds in turn; `source` is "hard_" and the kind. In order of id."""
    out = []
    for at in range(number):
        kind = list(KINDS)[at % len(KINDS)]
        text = KINDS[kind](Chance("hard", seed, kind, at), length)
        out.append(Document(digest("hard", seed, kind, at)[:32], text, source=f"hard_{kind}", lang="en", title=kind))
    return sorted(out, key=lambda document: document.id)


def code(chance: Chance, length: int) -> str:
    """A passage of the standard library's source, from the beginning of a definition."""
    lines = chance.pick(_library()).read_text("utf-8", "replace").splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith(("def ", "class ", "import "))] or [0]
    return _cut(lines[chance.pick(starts) :], length)


def reference(chance: Chance, length: int) -> str:
    """Documentation strings one after the other, as pydoc shows them: terse, and all alike."""
    said: list[str] = []
    for _ in range(20):
        tree = ast.parse(chance.pick(_library()).read_text("utf-8", "replace"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (doc := ast.get_docstring(node)):
                said += [f"{node.name}({', '.join(a.arg for a in node.args.args)})", *_indented(doc), ""]
        if sum(map(len, said)) > length:
            break
    return _cut(said, length)


def table(chance: Chance, length: int) -> str:
    """Rows of numbers under a heading."""
    heads = chance.sample(["Area", "Population", "Founded", "Elevation", "Rainfall", "Exports", "Schools", "Index"], 4)
    rows = [f"| Town | {' | '.join(heads)} |", "|---" * 5 + "|"]
    while sum(map(len, rows)) < length:
        name = chance.pick(_LAST) + chance.pick(("ville", "ton", "burg", " Bay", "ford"))
        values = [f"{chance.below(10**6):,}" if n % 2 else f"{chance.below(9999) / 10}" for n in range(4)]
        rows.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(rows)


def names(chance: Chance, length: int) -> str:
    """A list of people, as of members or authors."""
    title = f"Members of the {chance.pick(_PLACES)} society, {1950 + chance.below(70)}"
    rows = [title, *(_name(chance) for _ in range(length // 13))]
    return "\n".join(rows)


def verse(chance: Chance, length: int) -> str:
    """Rhymed quatrains, with a refrain."""
    refrain = f"{chance.pick(_VERSE_STARTS)} {chance.pick(chance.pick(_VERSE_ENDS))}"
    stanzas: list[str] = []
    while sum(map(len, stanzas)) < length:
        a, b = chance.sample(_VERSE_ENDS, 2)
        ends = [x for pair in zip(chance.sample(a, 2), chance.sample(b, 2), strict=True) for x in pair]
        said = [f"{chance.pick(_VERSE_STARTS)} {end}," for end in ends]
        stanzas.append("\n".join([*said, refrain + "."]))
    return "\n\n".join(stanzas)


def recipe(chance: Chance, length: int) -> str:
    """Dishes in the form that all recipes share."""
    said: list[str] = []
    while sum(map(len, said)) < length:
        food = chance.sample(_FOOD, 5)
        said += [f"{food[0].capitalize()} with {food[1]}", "Ingredients:"]
        said += [f"- {25 * (1 + chance.below(20))} g {name}" for name in food]
        said += ["Method:", f"1. Wash the {food[0]} and cut the {food[1]}.",
                 f"2. Heat the {food[2]} in a pan for {2 + chance.below(9)} minutes.",
                 f"3. Add the {food[3]} and the {food[4]}; stir and season.",
                 f"4. Bake at {160 + 10 * chance.below(6)} degrees for {15 + 5 * chance.below(10)} minutes.",
                 ""]  # fmt: skip
    return _cut(said, length)


def contract(chance: Chance, length: int) -> str:
    """Clauses of a lease: formulas of the law, word by word the same but for names and sums."""
    owner, tenant = _name(chance), _name(chance)
    said = [f"This Agreement is made between {owner} (the Landlord) and {tenant} (the Tenant)."]
    clauses = ("The Tenant shall pay the Landlord {n} pounds per month on or before day {d} of each month.",
               "The Tenant shall not assign or sublet the Premises without the written consent of the Landlord.",
               "The Landlord may enter the Premises upon {n} hours' notice for inspection or repair.",
               "This Agreement may be terminated by either party upon {d} weeks' notice in writing.",
               "Any deposit of {n} pounds shall be returned within {d} days, less the cost of damage.",
               "If any provision is held invalid, the remaining provisions shall remain in force.")  # fmt: skip
    while sum(map(len, said)) < length:
        clause = chance.pick(clauses).format(n=50 * (1 + chance.below(40)), d=1 + chance.below(28))
        said.append(f"{len(said)}. {clause}")
    return "\n".join(said)


def quotations(chance: Chance, length: int) -> str:
    """English prose that quotes other languages at length."""
    said: list[str] = []
    while sum(map(len, said)) < length:
        name = _name(chance)
        said.append(
            f"In a letter of {1800 + chance.below(150)} {name} wrote from the {chance.pick(_PLACES)}: "
            f"“{sentence(chance.pick(LANGUAGES), chance)}” The editors leave the sentence as it stands in the "
            f"manuscript, since its tone is lost in English."
        )
    return "\n".join(said)


def dialogue(chance: Chance, length: int) -> str:
    """A scene of a play: short lines, two names again and again."""
    people = chance.sample(_FIRST, 2)
    said: list[str] = [f"Scene {1 + chance.below(5)}. The {chance.pick(_PLACES)}, evening."]
    while sum(map(len, said)) < length:
        spoken = chance.pick(_LINES).format(place=chance.pick(_PLACES), name=chance.pick(_FIRST))
        said.append(f"{people[len(said) % 2].upper()}: {spoken}")
    return "\n".join(said)


KINDS: dict[str, Callable[[Chance, int], str]] = {
    "code": code, "reference": reference, "table": table, "names": names, "verse": verse, "recipe": recipe,
    "contract": contract, "quotations": quotations, "dialogue": dialogue,
}  # fmt: skip


def _library() -> list[Path]:
    """Modules of the standard library, the larger ones: the same for the same Python."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    return sorted(path for path in folder.glob("*.py") if path.stat().st_size > 20_000)


def _name(chance: Chance) -> str:
    return f"{chance.pick(_FIRST)} {chance.pick(_LAST)}"


def _indented(text: str) -> list[str]:
    return [f"    {line}" for line in text.splitlines()]


def _cut(lines: list[str], length: int) -> str:
    """Whole lines up to about so many characters."""
    out, size = [], 0
    for line in lines:
        out.append(line)
        size += len(line) + 1
        if size >= length:
            break
    return "\n".join(out).strip()
