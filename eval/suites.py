"""A suite is a versioned JSONL file: a line that says what it is, then one item a line. The same form for all tests.

An item is a set of (context, continuation) pairs of which one is right; a model is right when it gives that one the
highest score. One choice alone means: how likely is it, and is it what the model would say.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus.failures import Failure
from corpus.parts import replacing
from eval.documents import NoDocuments, read_lines

FORMAT = 1
# How log-likelihoods of the choices are compared: their sum; per byte of the continuation; sum less what the
# continuation gets after an empty context (pointwise mutual information, Brown et al. 2020).
SCORINGS = ("sum", "per_byte", "pmi")


class BadSuite(Failure):
    """A file that is no suite, or not the one it says."""

    status = 2


@dataclass(frozen=True)
class Item:
    """One question. `prompts` has one context for all choices or one for each; so has `choices` for all prompts."""

    id: str
    kind: str
    prompts: tuple[str, ...]
    choices: tuple[str, ...]
    answer: int  # which pair is right
    slices: dict[str, Any] = field(default_factory=dict)  # by what results are told apart
    document: str = ""  # id of the document that it was made from

    def pairs(self) -> list[tuple[str, str]]:
        """(context, continuation) to be scored; `answer` counts in these."""
        number = max(len(self.prompts), len(self.choices))
        prompts = self.prompts * number if len(self.prompts) == 1 else self.prompts
        choices = self.choices * number if len(self.choices) == 1 else self.choices
        return list(zip(prompts, choices, strict=True))

    def plain(self) -> dict[str, Any]:
        """As an object of JSON."""
        return {
            "id": self.id,
            "kind": self.kind,
            "prompt": self.prompts[0] if len(self.prompts) == 1 else list(self.prompts),
            "choices": list(self.choices),
            "answer": self.answer,
            "slices": self.slices,
            "document": self.document,
        }


@dataclass(frozen=True)
class Suite:
    """A named set of items."""

    name: str
    items: tuple[Item, ...]
    scoring: str = "sum"
    made_from: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what a reader of results must know, such as why it is empty

    @property
    def hash(self) -> str:
        """16 hex digits of the items: two results are comparable when these are equal."""
        return hashlib.sha256("\n".join(_line(item) for item in self.items).encode()).hexdigest()[:16]


def _line(item: Item) -> str:
    return json.dumps(item.plain(), ensure_ascii=True, sort_keys=True)


def write(suite: Suite, path: Path) -> None:
    """Write a suite, whole or not at all."""
    head = {"suite": suite.name, "format": FORMAT, "scoring": suite.scoring, "items": len(suite.items)}
    head |= {"hash": suite.hash, "made_from": suite.made_from, "notes": list(suite.notes)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        lines = [json.dumps(head, sort_keys=True), *map(_line, suite.items)]
        temporary.write_text("\n".join(lines) + "\n", "utf-8")


TABLE = pa.schema(
    [
        ("suite", pa.string()),
        ("id", pa.string()),
        ("kind", pa.string()),
        ("prompts", pa.list_(pa.large_string())),
        ("choices", pa.list_(pa.large_string())),
        ("answer", pa.int32()),
        ("slices", pa.map_(pa.string(), pa.string())),
        ("document", pa.string()),
    ]
)


def table(suite: Suite) -> pa.Table:
    """Items as rows, for SQL."""

    def plain(text: str) -> str:  # half a surrogate pair has no UTF-8
        return text.encode("utf-8", "replace").decode()

    rows = [
        {
            "suite": suite.name,
            "id": item.id,
            "kind": item.kind,
            "prompts": [plain(text) for text in item.prompts],
            "choices": [plain(text) for text in item.choices],
            "answer": item.answer,
            "slices": {name: str(value) for name, value in item.slices.items()},
            "document": item.document,
        }
        for item in suite.items
    ]
    return pa.Table.from_pylist(rows, schema=TABLE)


def read(path: Path) -> Suite:
    """Read a suite. Raises BadSuite, FileNotFoundError."""
    try:
        rows = list(read_lines(path))
    except NoDocuments as error:
        raise BadSuite(str(error)) from None
    if not rows or "suite" not in rows[0][1]:
        raise BadSuite(f"{path}: the first line does not name a suite; `python -m eval suite make` writes one")
    head = rows[0][1]
    if head.get("format") != FORMAT or head.get("scoring") not in SCORINGS:
        raise BadSuite(f"{path}: format {head.get('format')}, scoring {head.get('scoring')!r}: make the suite again")
    items = tuple(_item(row, f"{path}: line {number}") for number, row in rows[1:])
    notes = tuple(str(note) for note in head.get("notes", ()))
    suite = Suite(str(head["suite"]), items, head["scoring"], dict(head.get("made_from", {})), notes)
    if len(items) != head.get("items") or suite.hash != head.get("hash"):
        raise BadSuite(f"{path}: its items are not those that its first line describes; make the suite again")
    return suite


def _item(row: dict[str, Any], where: str) -> Item:
    try:
        prompts = (row["prompt"],) if isinstance(row["prompt"], str) else tuple(row["prompt"])
        item = Item(
            str(row["id"]), str(row["kind"]), prompts, tuple(row["choices"]), int(row["answer"]),
            dict(row.get("slices") or {}), str(row.get("document") or ""),
        )  # fmt: skip
        if not all(isinstance(text, str) for text in (*item.prompts, *item.choices)):
            raise ValueError("a prompt or choice is no text")
        if not 0 <= item.answer < len(item.pairs()):
            raise ValueError(f"answer {item.answer} is none of {len(item.pairs())} choices")
    except (KeyError, TypeError, ValueError) as error:
        raise BadSuite(f"{where}: no item of a suite: {error}") from None
    return item


def slices(items: Sequence[Item]) -> dict[str, dict[str, int]]:
    """How many items each value of each slice has."""
    found: dict[str, dict[str, int]] = {}
    for item in items:
        for name, value in {"kind": item.kind, **item.slices}.items():
            counts = found.setdefault(name, {})
            counts[str(value)] = counts.get(str(value), 0) + 1
    return {name: dict(sorted(counts.items())) for name, counts in sorted(found.items())}


def unique(items: Iterable[Item]) -> tuple[Item, ...]:
    """Items in order of id, each id once."""
    found = {item.id: item for item in items}
    return tuple(found[key] for key in sorted(found))
