"""`report --html`: the whole report as one file that loads nothing, so that it can be mailed and kept.

Plots are SVG drawn by the template: 100 kB where an embedded plotting library takes 4.5 MB. There is no script in
the page, and every value is escaped: the text of documents is shown, never obeyed.
"""

import dataclasses
import math
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from corpus.parts import replacing
from corpus.report import EXAMPLES, FOLDER, Answer, alarms, answers, hashes, summary, throughput
from corpus.terminal import clean, say
from corpus.views import Run

_BINS = 30  # of a signal's histogram, as 60_signals.sql counts them


@dataclasses.dataclass(frozen=True)
class Bar:
    """Where a bar stands, from 0 to 1, and how high its two parts are, from 0 to 1 together."""

    left: float
    width: float
    kept: float
    rejected: float
    says: str


@dataclasses.dataclass(frozen=True)
class Plot:
    """A histogram with its thresholds: (position from 0 to 1, what it says)."""

    title: str
    bars: list[Bar]
    lines: list[tuple[float, str]]
    beyond: list[str]  # thresholds that lie outside the scale
    labels: list[tuple[float, str]]
    group: str = ""


def write(path: Path) -> Path:
    """Write RUN/report.html and return its path. Raises NotARun, RecipeError."""
    with Run(path) as run:
        return _write(run, answers(run))


def end_build(path: Path) -> None:
    """Write the page and print the summary, of tables that are asked for once. Raises NotARun, RecipeError."""
    with Run(path) as run:
        found = answers(run)
        _write(run, found)
        summary(run, found)


def _write(run: Run, found: dict[str, Answer]) -> Path:
    target = run.path / "report.html"
    with replacing(target) as temporary:
        temporary.write_text(page(run, found), "utf-8")
    return target


def page(run: Run, found: dict[str, Answer]) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, finalize=_shown,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["say"] = say
    environment.filters["breaking"] = _breaking
    return environment.get_template("report.html.j2").render(
        run=run.path.absolute().name,
        manifest=run.manifest,
        recipe=run.recipe,
        alarms=list(alarms(found)),
        tables=found,
        throughput=throughput(run),
        hashes=hashes(run),
        signals=signal_plots(found["signals"], run),
        lengths=lengths(found["lengths"]),
        similarity=similarity(found["similarity"]),
        most=EXAMPLES,
        examples=_examples(found["examples"]),
    )


def _shown(value: Any) -> Any:
    """Every string that is not already markup loses what a browser or an editor would obey."""
    return clean(value, lines=True) if type(value) is str else "" if value is None else value


def _breaking(text: str) -> Markup:
    """A name that a narrow column may break at its underscores."""
    return escape(clean(text, lines=True)).replace("_", Markup("_<wbr>"))


def lengths(found: Answer) -> Plot:
    """Words of kept and rejected documents."""
    most = max((row["kept"] + row["rejected"] for row in found.records()), default=1)
    width = 1 / max(len(found.rows), 1)
    bars = [
        Bar(i * width, width, row["kept"] / most, row["rejected"] / most,
            f"from {row['words_from']:,} words: {row['kept']:,} kept, {row['rejected']:,} rejected")
        for i, row in enumerate(found.records())
    ]  # fmt: skip
    labels = [(i * width, _short(row["words_from"])) for i, row in enumerate(found.records())]
    return Plot("words per document", bars, [], [], labels)


def similarity(found: Answer) -> Plot:
    """Jaccard similarity of near-duplicates to what was kept."""
    most = max((row["pairs"] for row in found.records()), default=1)
    lowest = min((row["similarity_from"] for row in found.records()), default=0.0)
    span = max(1 - lowest, 0.05)
    bars = [
        Bar((row["similarity_from"] - lowest) / span, 0.05 / span, 0, row["pairs"] / most,
            f"similarity from {row['similarity_from']:.2f}: {row['pairs']:,} pairs")
        for row in found.records()
    ]  # fmt: skip
    return Plot("Jaccard similarity", bars, [], [], [(0.0, f"{lowest:.2f}"), (1.0, "1")])


def signal_plots(found: Answer, run: Run) -> list[Plot]:
    """One histogram for each signal that a numeric rule reads, in the order of the recipe."""
    numbers: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for row in run.rows("select * from rules where number is not null order by position"):
        said = f"{row['operator']} {row['threshold']}"
        numbers.setdefault((row["step"], row["signal"]), []).append((row["number"], said))
    grouped = {key: list(rows) for key, rows in groupby(found.records(), lambda row: (row["step"], row["signal"]))}
    return [_signal_plot(key, grouped[key], numbers[key]) for key in numbers if key in grouped]


def _signal_plot(key: tuple[str, str], rows: list[dict[str, Any]], limits: list[tuple[float, str]]) -> Plot:
    first, last, logarithmic = rows[0]["first_x"], rows[0]["last_x"], rows[0]["logarithmic"]
    span = (last - first) or 1.0
    most = max(row["kept"] + row["rejected"] for row in rows)
    bars = []
    for row in rows:
        total = row["kept"] + row["rejected"]
        # The square root keeps the few rejected visible beside thousands of zeros.
        height = math.sqrt(total / most)
        says = f"{row['kept']:,} kept, {row['rejected']:,} rejected"
        bars.append(
            Bar(row["bin"] / _BINS, 1 / _BINS, height * row["kept"] / total, height * row["rejected"] / total, says)
        )
    lines, beyond = [], []
    for number, said in limits:
        at = ((math.log1p(number) if logarithmic and number > -1 else number) - first) / span
        (lines.append((at, said)) if last > first and 0 <= at <= 1 else beyond.append(said))
    ends = [math.expm1(x) if logarithmic else x for x in (first, last)]
    labels = [(0.0, _short(ends[0])), (1.0, _short(ends[1]))] if last > first else [(0.0, _short(ends[0]))]
    return Plot(f"{key[1]}{' (log)' if logarithmic else ''}", bars, lines, beyond, labels, key[0])


def _short(number: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def _examples(found: Answer) -> list[tuple[str, list[dict[str, Any]]]]:
    """(what happened, documents) in the order of the recipe."""
    told = groupby(found.records(), lambda row: (row["kept"], row["step"], row["reason"]))
    return [("kept" if kept else f"{step}.{reason}", list(rows)) for (kept, step, reason), rows in told]
