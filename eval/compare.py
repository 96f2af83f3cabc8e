"""Two models' results on the same documents, items and prompts: paired differences, each with its interval.

Difference is always second less first. Only what both were asked is compared; what only one was asked is counted and
told. Units are documents (or items and prompts that name none), drawn whole.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from eval import results
from eval.chance import indices
from eval.intervals import Floats, Interval, by_unit, mean, paired_ratio_difference, percentiles, ratio
from eval.text_checks import CHECKS

COMPARISON = pa.schema(
    [
        ("what", pa.string()),  # bits_per_byte, a suite, samples
        ("measure", pa.string()),
        ("by", pa.string()),
        ("value", pa.string()),
        ("first", pa.float64()),
        ("second", pa.float64()),
        ("difference", pa.float64()),  # second less first, in the mean over the units of both
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("units", pa.int64()),
        ("better", pa.string()),  # lower, higher, or human: neither is good alone
        ("verdict", pa.string()),  # better, worse, or none shown: the interval has zero in it
    ],
    metadata={"winnow.comparison": "1"},
)
_BY = ("source", "lang", "length")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Rows of COMPARISON, and what a reader must know, such as items that only one was asked."""

    table: pa.Table
    notes: list[str]


def compare(first: Path, second: Path) -> Comparison:
    """Compare two folders of results. Raises NoResult."""
    told = [results.read(folder) for folder in (first, second)]
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    pair = [results.table(folder, results.DOCUMENTS) for folder in (first, second)]
    if pair[0] is not None and pair[1] is not None:
        rows += documents(pair[0], pair[1], notes)
        ways = [{k: one.get("perplexity", {}).get(k) for k in ("row_tokens", "stride")} for one in told]
        if ways[0] != ways[1]:
            notes.append(f"texts were read in other windows: {ways[0]} and {ways[1]}")
    suites = [results.suites(folder) for folder in (first, second)]
    for name in sorted({*suites[0], *suites[1]}):
        if name in suites[0] and name in suites[1]:
            rows += items(name, suites[0][name], suites[1][name], notes)
        else:
            notes.append(f"suite {name}: only the {'first' if name in suites[0] else 'second'} was asked")
    pair = [results.table(folder, results.SAMPLES) for folder in (first, second)]
    if pair[0] is not None and pair[1] is not None:
        rows += samples(pair[0], pair[1], notes)
    if not rows:
        notes.append("nothing that both were asked")
    return Comparison(pa.Table.from_pylist(rows, schema=COMPARISON), notes)


def documents(a: pa.Table, b: pa.Table, notes: list[str]) -> list[dict[str, Any]]:
    """Bits per byte of the documents that both scored, whole and by source, language and length."""
    one, other = _both(a, b, "documents", lambda row: row["id"], lambda row: row["bytes"], notes)
    rows = []
    for by, value, at in _groups(one, lambda row: {name: row[name] for name in _BY}):
        x, y = [one[i] for i in at], [other[i] for i in at]
        figures = [_bits(x), _bytes_of(x), _bits(y), _bytes_of(y)]
        difference = paired_ratio_difference(*reversed_pairs(figures))
        ends = (ratio(figures[0], figures[1], draws=1).value, ratio(figures[2], figures[3], draws=1).value)
        rows.append(_row("bits_per_byte", "bits_per_byte", by, value, ends, difference, "lower"))
    return rows


def reversed_pairs(figures: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """(over, under) of the second, then of the first: differences are second less first."""
    return figures[2], figures[3], figures[0], figures[1]


def _bits(rows: Sequence[dict[str, Any]]) -> list[float]:
    return [row["nats"] / math.log(2) for row in rows]


def _bytes_of(rows: Sequence[dict[str, Any]]) -> list[float]:
    return [float(row["bytes"]) for row in rows]


def items(name: str, a: pa.Table, b: pa.Table, notes: list[str]) -> list[dict[str, Any]]:
    """Accuracy, margin, bits per byte of the answer and rank of the items of a suite, by slice."""
    one, other = _both(a, b, f"suite {name}", lambda row: row["id"], lambda row: row["answer"], notes)
    rows = []
    measures: dict[str, tuple[Callable[[dict[str, Any]], float], str]] = {
        "accuracy": (lambda row: float(row["right"]), "higher"),
        "reciprocal_rank": (lambda row: math.nan if row["margin"] is None else 1 / row["rank"], "higher"),
        "margin": (lambda row: math.nan if row["margin"] is None else row["margin"], "higher"),
    }
    for by, value, at in _groups(one, lambda row: dict(row["slices"])):
        x, y = [one[i] for i in at], [other[i] for i in at]
        unit = [row["document"] or row["id"] for row in x]
        for measure, (of, better) in measures.items():
            rows += _mean_row(name, measure, by, value, unit, [of(r) for r in x], [of(r) for r in y], better)
        figures = by_unit(unit, _bits(x), _bytes_of(x), _bits(y), _bytes_of(y))
        ends = (ratio(figures[0], figures[1], draws=1).value, ratio(figures[2], figures[3], draws=1).value)
        difference = paired_ratio_difference(*reversed_pairs(figures))
        rows.append(_row(name, "answer_bits_per_byte", by, value, ends, difference, "lower"))
    return rows


def samples(a: pa.Table, b: pa.Table, notes: list[str]) -> list[dict[str, Any]]:
    """Checks of the samples on the same prompts; a prompt is a unit."""

    def key(row: dict[str, Any]) -> tuple[str, int]:
        return row["prompt"], row["sample"]

    one, other = _both(a, b, "samples", key, lambda row: row["prompt"], notes)
    better = {check.name: check.better for check in CHECKS}
    names = sorted({name for row in one for name, _ in row["checks"]})
    rows = []
    for name in names:
        x, y = ([dict(row["checks"]).get(name) for row in side] for side in (one, other))
        known = [i for i, (p, q) in enumerate(zip(x, y, strict=True)) if _known(p) and _known(q)]
        unit = [one[i]["prompt"] for i in known]
        way = better.get(name, "human")
        rows += _mean_row("samples", name, "all", "", unit, [x[i] for i in known], [y[i] for i in known], way)
    return rows


def _known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def _mean_row(
    what: str, measure: str, by: str, value: str, unit: Sequence[str], x: Sequence[Any], y: Sequence[Any], better: str
) -> list[dict[str, Any]]:
    """A row of a mean over items, drawn by their units; none where an item has no value."""
    if not x or not all(map(_known, [*x, *y])):
        return []
    total, count = by_unit(unit, [q - p for p, q in zip(x, y, strict=True)], [1.0] * len(x))
    ends = (float(np.mean(x)), float(np.mean(y)))
    return [_row(what, measure, by, value, ends, ratio(total, count), better)]


def _row(
    what: str, measure: str, by: str, value: str, ends: tuple[float, float], found: Interval, better: str
) -> dict[str, Any]:
    numbers = (*ends, found.value, found.low, found.high)
    first, second, difference, low, high = (None if math.isnan(x) else x for x in numbers)
    said = {"what": what, "measure": measure, "by": by, "value": value, "first": first, "second": second}
    said |= {"difference": difference, "low": low, "high": high, "units": found.units, "better": better}
    return {**said, "verdict": verdict(found, better)}


def verdict(found: Interval, better: str) -> str:
    """In words; one unit alone shows nothing."""
    if found.units < 2 or not found.excludes_zero():
        return "none shown"
    if better == "human":
        return "differs"
    return "better" if (found.value > 0) == (better == "higher") else "worse"


def _groups(
    rows: Sequence[dict[str, Any]], of: Callable[[dict[str, Any]], dict[str, str]]
) -> list[tuple[str, str, list[int]]]:
    """(column, value, places of the rows that have it); first all of them."""
    found: dict[tuple[str, str], list[int]] = {}
    for at, row in enumerate(rows):
        for name, value in of(row).items():
            found.setdefault((name, value), []).append(at)
    everything = [("all", "", list(range(len(rows))))] if rows else []
    return everything + [(*key, found[key]) for key in sorted(found)]


def _both(
    a: pa.Table,
    b: pa.Table,
    name: str,
    key: Callable[[dict[str, Any]], Any],
    same: Callable[[dict[str, Any]], Any],
    notes: list[str],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of both with the same key, in one order; `same` must agree too, else the item was changed."""
    one, other = ({key(row): row for row in table.to_pylist()} for table in (a, b))
    keys = [k for k in sorted(one) if k in other and same(one[k]) == same(other[k])]
    only, changed = (len(one.keys() - other.keys()), len(other.keys() - one.keys())), len(one.keys() & other.keys())
    if any(only) or changed > len(keys):
        told = f"{only[0]:,} only of the first, {only[1]:,} only of the second, {changed - len(keys):,} changed"
        notes.append(f"{name} differ: {len(keys):,} compared; {told}")
    return [one[k] for k in keys], [other[k] for k in keys]


@dataclasses.dataclass(frozen=True)
class OverSeeds:
    """A difference of bits per byte over training runs: each seed's own, and two intervals of their mean."""

    seeds: list[Interval]  # over documents, for each seed alone
    bootstrap: Interval  # documents and seeds drawn
    student: Interval  # t over the seeds' differences; NaN ends for one seed


def over_seeds(pairs: Sequence[tuple[pa.Table, pa.Table]], draws: int = 2000, seed: int = 0) -> OverSeeds:
    """Bits per byte, second less first, for tables of the same documents from runs of several seeds.

    Raises ValueError where the runs scored other documents.
    """
    ids = [table["id"].to_pylist() for pair in pairs for table in pair]
    if any(one != ids[0] for one in ids):
        raise ValueError("the runs scored other documents: their differences cannot be averaged")
    size: Floats = np.asarray(pairs[0][0]["bytes"].to_pylist(), np.float64)
    bits = [[np.asarray(t["nats"].to_pylist(), np.float64) / math.log(2) for t in pair] for pair in pairs]
    alone = [paired_ratio_difference(b, size, a, size) for a, b in bits]
    gaps_SN = np.stack([b - a for a, b in bits])
    units, number = size.size, len(pairs)
    drawn = np.full(draws, np.nan)
    for draw in range(draws if units else 0):
        rows = indices(seed, draw, (1, units), units)[0]
        runs = indices(seed + 1, draw, (1, number), number)[0]
        drawn[draw] = gaps_SN[np.ix_(runs, rows)].sum() / number / max(size[rows].sum(), 1)
    value = float(gaps_SN.sum() / number / size.sum()) if size.sum() else math.nan
    return OverSeeds(alone, percentiles(value, drawn, 0.95, units), _student([one.value for one in alone]))


def _student(values: Sequence[float]) -> Interval:
    number = len(values)
    if number < 2:
        return Interval(values[0] if values else math.nan, math.nan, math.nan, number)
    from scipy.special import stdtrit

    middle = mean(values, draws=1).value
    half = float(stdtrit(number - 1, 0.975)) * float(np.std(values, ddof=1)) / math.sqrt(number)
    return Interval(middle, middle - half, middle + half, number)
