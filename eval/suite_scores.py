"""A suite's items under a model: which choice it prefers, by how much, and how likely it finds the right one.

Choices are compared by the suite's own rule: the sum of their log-likelihoods, the same per byte, or less what each
gets without the context. An item of one choice is right when every token of it is the likeliest.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from eval.document_losses import Nats, Scorer
from eval.intervals import Interval, by_unit, mean, ratio, wilson
from eval.suites import Item, Suite

ITEMS = pa.schema(
    [
        ("suite", pa.string()),
        ("hash", pa.string()),  # of the suite: results are comparable when it is the same
        ("id", pa.string()),
        ("kind", pa.string()),
        ("document", pa.string()),
        ("slices", pa.map_(pa.string(), pa.string())),
        ("right", pa.bool_()),
        ("answer", pa.int32()),
        ("chosen", pa.int32()),  # the choice of the highest score
        ("scores", pa.list_(pa.float64())),  # of each choice, higher is likelier
        ("margin", pa.float64()),  # score of the answer less the best other's; null for one choice
        ("rank", pa.int32()),  # of the answer, from 1
        ("beaten", pa.float64()),  # share of the other choices that score lower than the answer; null for one choice
        ("chance", pa.float64()),  # how often a guess is right
        ("nats", pa.float64()),  # of the answer
        ("bytes", pa.int64()),
        ("bits_per_byte", pa.float64()),
    ],
    metadata={"winnow.suite_scores": "1"},
)
SLICES = pa.schema(
    [
        ("suite", pa.string()),
        ("slice", pa.string()),
        ("value", pa.string()),
        ("measure", pa.string()),
        ("found", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("items", pa.int64()),
        ("units", pa.int64()),  # documents where items name theirs: two items of one are not two observations
    ]
)
_PART = 128  # items scored between two lines of progress


def score(scorer: Scorer, suite: Suite, tell: Callable[[str], None] = lambda _: None) -> pa.Table:
    """A row of ITEMS for each item."""
    rows: list[dict[str, Any]] = []
    for first in range(0, len(suite.items), _PART):
        tell(f"{suite.name}: {first:,} of {len(suite.items):,} items")
        part = suite.items[first : first + _PART]
        pairs = [item.pairs() for item in part]
        bare = [[("", said) for _, said in one] for one in pairs] if suite.scoring == "pmi" else []
        asked = list(dict.fromkeys(pair for one in [*pairs, *bare] for pair in one))
        nats = dict(zip(asked, scorer.continuations(asked), strict=True))
        rows += [_row(item, suite, nats) for item in part]
    return pa.Table.from_pylist(rows, schema=ITEMS)


def _row(item: Item, suite: Suite, nats: dict[tuple[str, str], Nats]) -> dict[str, Any]:
    pairs = item.pairs()
    scores = [_score(pair, suite.scoring, nats) for pair in pairs]
    others = [score for at, score in enumerate(scores) if at != item.answer]
    mine, answer = scores[item.answer], nats[pairs[item.answer]]
    size, total = len(_bytes(pairs[item.answer][1])), math.fsum(answer.nats)
    return {
        "suite": suite.name,
        "hash": suite.hash,
        "id": item.id,
        "kind": item.kind,
        "document": item.document,
        "slices": {name: str(value) for name, value in item.slices.items()},
        # equal scores are no preference: a model that says nothing would else be right by the order of choices
        "right": mine > max(others) if others else bool(answer.likeliest.all()),
        "answer": item.answer,
        "chosen": int(np.argmax(scores)),
        "scores": scores,
        "margin": mine - max(others) if others else None,
        "rank": 1 + sum(score >= mine for score in others),
        "beaten": sum(score < mine for score in others) / len(others) if others else None,
        "chance": 1 / len(scores) if others else 0.0,
        "nats": total,
        "bytes": size,
        "bits_per_byte": total / math.log(2) / size if size else None,
    }


def _score(pair: tuple[str, str], scoring: str, nats: dict[tuple[str, str], Nats]) -> float:
    said = -math.fsum(nats[pair].nats)
    if scoring == "per_byte":
        return said / max(1, len(_bytes(pair[1])))
    return said + math.fsum(nats["", pair[1]].nats) if scoring == "pmi" else said


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def summary(rows: pa.Table) -> pa.Table:
    """A row of SLICES for each measure of each value of each slice: accuracy, margin, bits per byte of the answer,
    choices beaten, reciprocal rank, chance."""
    found = rows.to_pylist()
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in found:
        groups.setdefault((row["suite"], "all", ""), []).append(row)
        for name, value in row["slices"]:
            groups.setdefault((row["suite"], name, value), []).append(row)
    out = []
    for (suite, name, value), mine in sorted(groups.items()):
        for what, interval in measures(mine).items():
            known = [None if math.isnan(x) else x for x in (interval.value, interval.low, interval.high)]
            told = {"suite": suite, "slice": name, "value": value, "measure": what, "items": len(mine)}
            numbers = dict(zip(("found", "low", "high"), known, strict=True))
            out.append({**told, **numbers, "units": interval.units})
    return pa.Table.from_pylist(out, schema=SLICES)


def measures(rows: Sequence[dict[str, Any]]) -> dict[str, Interval]:
    """Each measure of some items of one suite."""
    unit = [row["document"] or row["id"] for row in rows]
    nats, size = by_unit(unit, [row["nats"] / math.log(2) for row in rows], [row["bytes"] for row in rows])
    alone = len(set(unit)) == len(unit)
    right = [float(row["right"]) for row in rows]
    found = {
        # Wilson where every item stands alone, else the bootstrap over documents
        "accuracy": wilson(sum(right), len(right)) if alone else _over(unit, right),
        "chance": _over(unit, [row["chance"] for row in rows]),
        "answer_bits_per_byte": ratio(nats, size),
    }
    if all(row["margin"] is not None for row in rows):
        found["reciprocal_rank"] = _over(unit, [1 / row["rank"] for row in rows])
        found["margin"] = _over(unit, [row["margin"] for row in rows])
        found["beaten"] = _over(unit, [row["beaten"] for row in rows])
    return found


def _over(unit: Sequence[str], values: Sequence[float]) -> Interval:
    """Mean over items, drawn by their documents."""
    if len(set(unit)) == len(unit):
        return mean(values)
    total, count = by_unit(unit, values, [1.0] * len(values))
    return ratio(total, count)
