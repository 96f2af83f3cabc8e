"""What a turn of the loop came to: one page, and the same figures as Parquet."""

import dataclasses
import math
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from eval import page, results
from eval.compare import Comparison, OverSeeds, compare
from eval.compare_commands import comparison_tables
from eval.documents import load
from eval.intervals import Interval, wilson
from eval.loop import Paths, Settings, stage_of
from eval.planting import in_run

SEEDS = pa.schema(
    [
        (
            "seed",
            pa.string(),
        ),  # a number; all: documents and seeds drawn; t: Student over seeds; against random: the control
        ("first", pa.float64()),
        ("second", pa.float64()),
        ("difference", pa.float64()),  # bits per byte, second less first: below zero is better
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("units", pa.int64()),
    ]
)

_SHOWN = 20  # corrections; corrections.parquet has all
_NAMES = {"all": "all: documents and seeds drawn", "t": "all: Student's t over seeds"}
_KINDS = ("kind", "there", "blocked", "share", "share low", "share high")


def write(
    paths: Paths, settings: Settings, tables: list[list[pa.Table]], found: OverSeeds, control: OverSeeds | None
) -> dict[str, Any]:
    """Write report.html, improvement.parquet and comparison.parquet; returns what the loop tells."""
    means = [[_bits(table) for table in pair] for pair in tables]
    rows = [_row(str(seed), means[seed], one) for seed, one in enumerate(found.seeds)]
    both = [sum(column) / len(means) for column in zip(*means, strict=True)]
    rows.append(_row("all", both, found.bootstrap))
    if settings.seeds > 1:
        rows.append(_row("t", both, found.student))
    if control:
        rows.append(_row("against random", [both[2], both[1]], control.bootstrap))
    results.put(paths.out, "improvement.parquet", pa.Table.from_pylist(rows, schema=SEEDS))
    against = compare(paths.result(1, 0), paths.result(2, 0))
    results.put(paths.out, "comparison.parquet", against.table)
    caught = caught_by_kind(paths)
    page.write(
        paths.report,
        "One turn of the loop",
        answer(settings, both, found, control, caught),
        _parts(rows, caught, against, paths),
    )
    one = found.bootstrap
    told: dict[str, Any] = {
        "first": both[0],
        "second": both[1],
        "difference": one.value,
        "low": one.low,
        "high": one.high,
    }
    return {**told, "seeds": settings.seeds, "better": bool(one.high < 0), "report": str(paths.report)}


def _bits(table: pa.Table) -> float:
    size = sum(table["bytes"].to_pylist())
    return math.fsum(table["nats"].to_pylist()) / math.log(2) / size if size else math.nan


def _row(name: str, ends: list[float], found: Interval) -> dict[str, Any]:
    return {
        "seed": name,
        "first": ends[0],
        "second": ends[1],
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "units": found.units,
    }


@dataclasses.dataclass(frozen=True)
class Caught:
    """Blocked documents against the sealed list, which no stage before the report has read."""

    planted: dict[str, int]
    blocked: dict[str, int]
    good_blocked: int
    good: int


def caught_by_kind(paths: Paths) -> Caught:
    documents = load(paths.run_1)
    bad = in_run(documents, pq.read_table(paths.sealed))
    blocked = set(pq.read_table(paths.corrections)["id"].to_pylist())
    hits = Counter(kind for id_, kind in bad.items() if id_ in blocked)
    return Caught(dict(Counter(bad.values())), dict(hits), len(blocked - bad.keys()), len(documents) - len(bad))


def answer(
    settings: Settings, both: list[float], found: OverSeeds, control: OverSeeds | None, caught: Caught
) -> list[str]:
    """The sentences before the tables."""
    one, planted, hit = found.bootstrap, sum(caught.planted.values()), sum(caught.blocked.values())
    better = "better" if one.high < 0 else "worse" if one.low > 0 else "not shown to be better"
    drawn = f"documents and {settings.seeds} seeds drawn" if settings.seeds > 1 else "documents drawn; one seed"
    said = [
        f"On clean text that was set aside the corrected corpus gives {both[1]:.4f} bits per byte, and the one "
        f"before it {both[0]:.4f}: {one.value:+.4f}, 95 % interval {one.low:+.4f} to {one.high:+.4f} "
        f"({one.units:,} documents; {drawn}): {better}.",
        f"Blocked: {hit:,} of {planted:,} planted documents, and {caught.good_blocked:,} of {caught.good:,} good ones.",
        "The corrections were signed automatically, for this demonstration: in earnest a person reads and signs them.",
    ]
    if control:
        other = control.bootstrap
        said.insert(
            1,
            f"Against a corpus that lost as many documents at random: {other.value:+.4f}, {other.low:+.4f} to "
            f"{other.high:+.4f}.",
        )
    if settings.seeds > 1:
        t = found.student
        said.insert(
            1, f"Student's t over the {settings.seeds} seeds alone: {t.value:+.4f}, {t.low:+.4f} to {t.high:+.4f}."
        )
    else:
        said.insert(1, "With one seed the interval says nothing of how trainings differ: --seeds 3 does.")
    return said


def _parts(
    rows: list[dict[str, Any]], caught: Caught, against: Comparison, paths: Paths
) -> list[page.Table | page.Cards]:
    figures = ("first", "second", "difference", "low", "high")
    seeds = [[_NAMES.get(r["seed"], r["seed"]), *(r[name] for name in figures), _bar(r), r["units"]] for r in rows]
    columns = ("seed", "before", "after", "difference", "low", "high", "interval", "units")
    kinds = [
        (kind, number, caught.blocked.get(kind, 0), *_share(caught.blocked.get(kind, 0), number))
        for kind, number in sorted(caught.planted.items())
    ]
    good = ("good documents", caught.good, caught.good_blocked, *_share(caught.good_blocked, caught.good))
    signed = pq.read_table(paths.corrections).to_pylist()[:_SHOWN]
    corrections = [(row["id"], row["score"], row["signal"], row["evidence"]) for row in signed]
    failures = sorted(stage_of(paths.out, "errors").get("kinds", {}).items())
    below = "Below zero: the corrected corpus is better."
    return [
        page.Table("Bits per byte on the text set aside, by seed", columns, seeds, below),
        page.Table("What was blocked, by kind of defect", _KINDS, [*kinds, good]),
        page.Table("The first corrections, as signed", ("document", "score", "signal", "evidence"), corrections),
        page.Table("Errors of the first model", ("kind", "failures"), failures, "errors/errors.html has them."),
        *comparison_tables([row for row in against.table.to_pylist() if row["by"] in ("all", "source")]),
    ]


def _share(part: int, whole: int) -> tuple[float, float, float]:
    found = wilson(part, whole)
    return found.value, found.low, found.high


def _bar(row: dict[str, Any]) -> page.Bar:
    good = 1 if row["high"] < 0 else -1 if row["low"] > 0 else 0
    return page.Bar(row["difference"], row["low"], row["high"], good)
