"""`report`: the tables of corpus/reports over one run, and what must not be overlooked, on a terminal.

One SQL file is one table; its first line says which question it answers. The listing of the folder is the registry.
"""

import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from corpus.decide import Bound, rules
from corpus.recipe import EXTRACT, Recipe
from corpus.replay import setting_of
from corpus.terminal import console, line, say, table
from corpus.views import Run, literal

FOLDER = Path(__file__).parent / "reports"
WIPE_OUT_DOCUMENTS = 20  # a share of fewer documents says nothing
EXAMPLES = 20  # kept, and for each reason
_SAMPLED = 50_000  # documents that say how far the values of a signal are spread
_STAGES = ("documents", "dedup", "write")
_MOST_ALARMS = 10  # one by one; the others in one line
_MOST_ROWS = 60  # of one table on a terminal
_PAGES_ONLY = ("signals", "examples", "reasons_by_language")  # tables that need a page to be read


@dataclasses.dataclass(frozen=True)
class Answer:
    """One table of the report."""

    name: str
    question: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def records(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def names() -> list[str]:
    """Every table there is, in their order: 10_funnel.sql is `funnel`."""
    return [path.stem.partition("_")[2] for path in sorted(FOLDER.glob("*.sql"))]


def prepare(run: Run) -> None:
    """Put beside the views what the tables know of the recipe. Fates are computed once for all tables."""
    run.db.execute("create or replace temp table fates as from main.fates")
    run.db.execute("create or replace temp table steps (position int, step varchar)")
    stages = ["correction"] if run.rows("select 1 from ledger where stage = 'correction' limit 1") else []
    for position, step in enumerate([*order(run.recipe), *stages]):
        run.db.execute("insert into steps values (?, ?)", [position, step])
    _rules(run)
    run.db.execute(
        "create or replace temp table limits as select ? as wipe_out_share, ? as wipe_out_documents, ? as examples",
        [run.recipe.write.wipe_out_share, WIPE_OUT_DOCUMENTS, EXAMPLES],
    )


def order(recipe: Recipe) -> list[str]:
    """The steps that may reject, in the order in which their reasons count."""
    measuring = [name for name in recipe.steps if name == EXTRACT or name in recipe.filters()]
    return [*([] if EXTRACT in measuring else [EXTRACT]), *measuring, "dedup"]


def _rules(run: Run) -> None:
    run.db.execute(
        "create or replace temp table rules"
        " (position int, step varchar, reason varchar, signal varchar, operator varchar, threshold varchar,"
        " number double, meant_for varchar)"
    )
    values = ["{'step': '', 'signal': '', 'value': null::double}"]
    for position, bound in enumerate(rules(run.recipe)):
        threshold = bound.rule.threshold
        number = float(threshold) if isinstance(threshold, int | float) and not isinstance(threshold, bool) else None
        run.db.execute(
            "insert into rules values (?, ?, ?, ?, ?, ?, ?, ?)",
            [position, bound.step, bound.rule.reason, bound.rule.signal, bound.rule.operator,
             say(threshold), number, _meant_for(bound, run.recipe)],
        )  # fmt: skip
        if number is not None:
            step, signal = bound.step, bound.rule.signal
            values.append(f"{{'step': {literal(step)}, 'signal': {literal(signal)}, 'value': {step}.{signal}::double}}")
    unpivoted = ", ".join(dict.fromkeys(values))  # one scan for all: a run may have thousands of files
    lowest = _lowest_ids(run)
    for name, condition in {"signal_values": "true", "sampled_values": f"id < {literal(lowest)}"}.items():
        run.db.execute(
            f"create or replace temp view {name} as select value.step, value.signal, value.value, kept"
            f" from (select unnest([{unpivoted}]) as value, kept from signals where {condition})"
            " where value.value is not null"
        )


def _lowest_ids(run: Run) -> str:
    """Below which id some `_SAMPLED` documents lie, or all: quantiles hold every value. Ids are hashes, like dice."""
    [(total,)] = run.db.execute("select count(*) from signals").fetchall()
    return "g" if total <= _SAMPLED else f"{(_SAMPLED << 32) // total:08x}"


def _meant_for(bound: Bound, recipe: Recipe) -> str | None:
    """What a rule is there to remove as a whole, so that removing it is no accident."""
    if set(recipe.filters()[bound.step].needs) == {"url"}:
        return "domain"
    return "language" if bound.step == "language" else None


def answer(run: Run, name: str) -> Answer:
    """One table of a prepared run."""
    path = next(path for path in FOLDER.glob("*.sql") if path.stem.partition("_")[2] == name)
    text = path.read_text("utf-8")
    result = run.db.execute(text)
    columns = tuple(column[0] for column in result.description)
    return Answer(name, text.partition("\n")[0].removeprefix("--").strip(), columns, result.fetchall())


def answers(run: Run) -> dict[str, Answer]:
    """Every table."""
    prepare(run)
    return {name: answer(run, name) for name in names()}


def alarms(found: dict[str, Answer]) -> Iterator[tuple[str, str]]:
    """(headline, details) of what must not be overlooked: books that do not add up, wipe-outs, dead rules."""
    odd = [row for row in found["conservation"].records() if row["ids_that_differ"]]
    if odd:
        files = ", ".join(f"{row['file']} ({row['ids_that_differ']:,} ids)" for row in odd)
        yield "BOOKS DO NOT ADD UP: documents were read that are neither kept nor in the ledger, or are twice", files
    wiped = found["wipe_outs"].records()
    for row in wiped[:_MOST_ALARMS]:
        rule, group = f"{row['step']}.{row['reason']}", f"{row['kind']} {row['name']}"
        counts = f"{row['removed']:,} of {row['documents_read']:,} documents"
        yield f"WIPE-OUT: {rule} removed {row['share_removed']:.0%} of {group}", counts
    if len(wiped) > _MOST_ALARMS:
        others = ", ".join(f"{row['kind']} {row['name']}" for row in wiped[_MOST_ALARMS:])
        yield f"WIPE-OUT: {len(wiped) - _MOST_ALARMS} more groups", others
    dead = found["never_fired"].records()
    if dead:
        named = ", ".join(f"{row['step']}.{row['reason']} ({row['fires_when']})" for row in dead)
        yield f"NEVER FIRED: {len(dead)} of {len(found['rules'].rows)} rules", named


def throughput(run: Run) -> Answer:
    """How fast was each stage, and what did it cost? From stages/timing.json; resumed stages are not in it."""
    timing = run.timing
    read, megabytes = run.manifest["read"], sum(file["bytes"] for file in run.manifest["inputs"]) / 1e6
    rows = []
    told = timing.get("stages", {})
    stages = [(stage, told[stage]) for stage in _STAGES if stage in told]
    for stage, seconds in [*stages, ("all", timing.get("total", 0.0))]:
        if seconds >= 0.01:
            cost = seconds * timing["workers"] / 3600 / max(read, 1) * 1e6
            rows.append((stage, seconds, read / seconds, megabytes / seconds, cost))
    columns = ("stage", "seconds", "documents_per_second", "input_MB_per_second", "core_hours_per_million_documents")
    return Answer("throughput", "How fast was each stage, and what did it cost?", columns, rows)


def hashes(run: Run) -> list[tuple[str, str]]:
    """What tells this corpus from any other: the same input and recipe give the same values anywhere."""
    told = run.manifest
    return [("recipe", told["fingerprint"]), ("documents", told["docs_hash"]), ("ledger", told["ledger_hash"])]


def show(path: Path) -> None:
    """Print the report. Raises NotARun, RecipeError."""
    with Run(path) as run:
        found = answers(run)
        out = console()
        _headline(out, run)
        _alarms(out, found)
        for item in (*found.values(), throughput(run)):
            if item.rows and item.name not in (*_PAGES_ONLY, "wipe_outs", "never_fired"):
                _table(out, item)
        _table(out, Answer("hashes", "Which corpus is this?", ("hash_of", "value"), hashes(run)))
    _next(out, f"python -m corpus report {shlex.quote(str(path))} --html   # the same with histograms and examples")


def summary(run: Run, found: dict[str, Answer]) -> None:
    """The short report that ends a build: funnel, books, and what to ask next."""
    rejected = run.rows("select id from ledger order by id limit 1")
    out = console()
    _headline(out, run)
    out.print()
    out.print(table(found["funnel"].columns, [row for row in found["funnel"].rows if row[2]]))
    out.print()
    _alarms(out, {**found, "never_fired": dataclasses.replace(found["never_fired"], rows=[])})
    if found["never_fired"].rows:
        out.print(line(f"{len(found['never_fired'].rows)} of {len(found['rules'].rows)} rules never fired"))
    threshold = _most_telling(run, found["rules"])
    folder = shlex.quote(str(run.path))
    asks = [f"open {folder}/report.html in a browser", f"python -m corpus report {folder}"]
    asks += [f"python -m corpus why {folder} {rejected[0]['id'][:12]}"] if rejected else []
    asks += [f"python -m corpus whatif {folder} --set {threshold}=..."] if threshold else []
    _next(out, *asks)


def _most_telling(run: Run, rules_: Answer) -> str | None:
    """The setting of the rule that alone rejected most: the first one to try another value of."""
    best = sorted(rules_.records(), key=lambda row: -row["only_reason"])
    return next((key for row in best if (key := setting_of(run.recipe, f"{row['step']}.{row['reason']}"))), None)


def _headline(out: Console, run: Run) -> None:
    told = run.manifest
    files = len(told["files"])
    out.print(
        line(
            f"{run.path}: {told['docs']:,} of {told['read']:,} documents kept "
            f"({told['docs'] / max(told['read'], 1):.1%}, {told['text_bytes'] / 1e6:,.1f} MB of text); "
            f"{told['ledger']:,} in the ledger",
            "bold",
        )
    )
    odd = [file for file, (read, kept, ledger) in told["files"].items() if read != kept + ledger]
    proof = f"differ in {', '.join(odd)}" if odd else "holds for every file"
    out.print(line(f"kept + ledger = read {proof} ({files:,} input file{'s' * (files != 1)})"))


def _alarms(out: Console, found: dict[str, Answer]) -> None:
    for headline, details in alarms(found):
        out.print(line(headline, "bold red"))
        out.print(line(f"  {details}"))


def _table(out: Console, item: Answer) -> None:
    out.print()
    out.print(line(item.question, "bold"))
    out.print(table(item.columns, item.rows[:_MOST_ROWS]))
    if len(item.rows) > _MOST_ROWS:
        out.print(line(f"… and {len(item.rows) - _MOST_ROWS:,} more"))


def _next(out: Console, *commands: str) -> None:
    out.print()
    for index, command in enumerate(commands):
        out.print(line(f"{'      ' if index else 'next: '}{command}", "dim"))
