"""Failures of every kind in one table: what was asked, what was said, what would have been right, and how bad it is.

Each kind has its own measure of how bad; rows are ranked within their kind. `attribute` reads the columns id, prompt,
wrong and right.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from eval.chance import digest
from eval.suites import Item, Suite
from eval.text_checks import CHECKS

ERRORS = pa.schema(
    [
        ("id", pa.string()),
        ("kind", pa.string()),  # passage, suite or text
        ("check", pa.string()),  # what found it: bits_per_byte, a suite's name, a check of texts
        ("rank", pa.int64()),  # within its kind, the worst first
        ("document", pa.string()),  # whose text was asked for, where known
        ("prompt", pa.large_string()),
        ("start", pa.int64()),  # of `right` in the document's text, in characters; null where it is no span of one
        ("end", pa.int64()),
        ("wrong", pa.large_string()),
        ("right", pa.large_string()),
        ("measure", pa.string()),  # what `score` counts
        ("score", pa.float64()),  # how bad, from 0 up
        ("slices", pa.map_(pa.string(), pa.string())),
        ("cluster", pa.int32()),  # failures that are alike share one; the largest first
        ("cluster_words", pa.string()),
    ],
    metadata={"winnow.errors": "1"},
)
_TEXT = 600  # characters of a prompt or an answer that are kept
_UNUSUAL = 0.99  # of what people write: a sample beyond this quantile of it is a failure
SAID_NOTHING = "(the text ends here)"


@dataclasses.dataclass(frozen=True)
class Error:
    """One failure."""

    kind: str
    check: str
    prompt: str
    wrong: str
    right: str
    measure: str
    score: float
    document: str = ""
    start: int | None = None
    end: int | None = None
    slices: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def id(self) -> str:
        return digest(self.kind, self.check, self.document, self.prompt, self.right, self.wrong)[:16]


def of_suite(suite: Suite, rows: pa.Table) -> list[Error]:
    """Items that were answered wrongly. `rows`: what suite_scores.score returned for this suite."""
    items = {item.id: item for item in suite.items}
    return [_item(items[row["id"]], suite, row) for row in rows.to_pylist() if not row["right"] and row["id"] in items]


def _item(item: Item, suite: Suite, row: dict[str, Any]) -> Error:
    pairs = item.pairs()
    prompt, right = pairs[item.answer]
    alone = len(pairs) == 1
    other = next((at for at in np.argsort(row["scores"])[::-1].tolist() if at != item.answer), item.answer)
    asked, wrong = ("", SAID_NOTHING) if alone else pairs[other]
    if asked != prompt and not alone:  # one continuation and several contexts: the context was what it took wrongly
        prompt, wrong, right = "", asked + wrong, prompt + right
    prompt, wrong, right = _told_apart(prompt, wrong, right)
    measure, score = ("nats of the answer", row["nats"]) if alone else ("score behind", -row["margin"])
    slices = {name: str(value) for name, value in item.slices.items()}
    return Error("suite", suite.name, prompt, wrong, right, measure, score, item.document, slices=slices)


def _told_apart(prompt: str, wrong: str, right: str) -> tuple[str, str, str]:
    """The same with a prompt: without one, what both answers begin with, or the wrong one's first word."""
    if not prompt.strip():
        same = next((at for at, (a, b) in enumerate(zip(wrong, right, strict=False)) if a != b), 0)
        same = wrong.rfind(" ", 0, same + 1) if " " in wrong[: same + 1] else 0
        if not wrong[:same].strip():
            first = wrong.split(maxsplit=1)
            return (first[0], first[1], right) if len(first) == 2 else ("?", wrong, right)
        prompt, wrong, right = wrong[:same], wrong[same:], right[same:]
    return prompt[-_TEXT:], wrong[:_TEXT], right[:_TEXT]


def of_samples(rows: pa.Table) -> list[Error]:
    """Samples that repeat, echo, refuse, contradict or jump more than 99 % of what people wrote. One error a sample."""
    found = rows.to_pylist()
    limits = _limits(found)
    out = []
    for row in found:
        beyond = {
            name: (value - limits[name], name) for name, value in row["checks"] if value > limits.get(name, np.inf)
        }
        if beyond and row["text"].strip():
            amount, name = max(beyond.values())
            prompt, wrong, right = _told_apart(row["prompt"], row["text"], row["human"])
            document = "" if row["id"].startswith("line ") else row["id"]
            said = f"{name} above {limits[name]:.3g}"
            slices = {"source": row["source"], "lang": row["lang"]}
            out.append(Error("text", name, prompt, wrong, right, said, amount, document, slices=slices))
    return out


def _limits(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Of each check that has a bad side: what 99 % of the human continuations stay below."""
    bad = {check.name for check in CHECKS if check.better == "lower" or check.name.startswith("rep_")}
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row["human_checks"]:
            if name in bad and value is not None and not np.isnan(value):
                values.setdefault(name, []).append(value)
    return {name: float(np.quantile(found, _UNUSUAL)) for name, found in values.items()}


def table(errors: Iterable[Error], most: int = 1000) -> pa.Table:
    """A row of ERRORS for each: the worst `most` of each kind, each id once, clustered within their kind."""
    from eval.error_clusters import clustered

    kinds: dict[str, dict[str, Error]] = {}
    for error in errors:
        kinds.setdefault(error.kind, {}).setdefault(error.id, error)
    rows: list[dict[str, Any]] = []
    for kind in sorted(kinds):
        worst = sorted(kinds[kind].values(), key=lambda error: (-error.score, error.id))[:most]
        labels, words = clustered([f"{e.prompt[-200:]} {e.right} {e.wrong}" for e in worst])
        base = 1 + max((row["cluster"] for row in rows), default=-1)
        for rank, (error, label) in enumerate(zip(worst, labels, strict=True), 1):
            told = {**dataclasses.asdict(error), "id": error.id, "rank": rank}
            rows.append({**_clean(told), "cluster": base + label, "cluster_words": words[label]})
    return pa.Table.from_pylist(rows, schema=ERRORS)


def _clean(row: dict[str, Any]) -> dict[str, Any]:
    """Half a surrogate pair has no UTF-8."""
    return {k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in row.items()}
