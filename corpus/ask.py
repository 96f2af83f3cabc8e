"""`sql`: any question, answered by DuckDB over a run. Reads only."""

import csv
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import duckdb

from corpus.failures import Failure
from corpus.terminal import clean, console, line, table
from corpus.views import VIEWS, Run

EXAMPLES = (
    "select step, reason, count(*) as documents from fates where not kept group by all order by documents desc",
    "select l.url, d.url as kept, l.evidence.jaccard from ledger l join docs d on d.id = l.kept_id limit 10",
    "select source, quantile_cont(words, [0.1, 0.5, 0.9]) as words from fates where kept group by source",
)


class QueryError(Failure, ValueError):
    """What DuckDB did not accept, in one line."""


def ask(run: Run, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows. Raises QueryError, also for anything that is not a SELECT."""
    try:
        kinds = {statement.type for statement in duckdb.extract_statements(query)}
        # COPY could overwrite a file of the run: the files that may be read are open to it too.
        if kinds != {duckdb.StatementType.SELECT}:
            raise QueryError("only SELECT (also FROM, WITH, DESCRIBE, SUMMARIZE, SHOW) is accepted: a run is read-only")
        result = run.db.execute(query)
        return [column[0] for column in result.description or ()], result.fetchall()
    except duckdb.Error as error:
        raise QueryError(_one_line(str(error))) from None


def _one_line(message: str) -> str:
    """The message without the list of everything that would have been accepted, and where it is wrong."""
    lines = [part.strip() for part in message.splitlines()]
    where = [part for part in lines if part.startswith("LINE ")]
    hint = [part for part in lines[1:] if part.startswith(("Did you mean", "Candidate bindings"))]
    return " ".join([lines[0], *hint, *(f"[{part}]" for part in where[:1])])


def show(path: Path, query: str | None, form: str = "table") -> None:
    """Print an answer as `table`, `csv` or `json`; without a query, what can be asked. Raises NotARun, QueryError."""
    with Run(path) as run:
        if query is None:
            _guide(run)
            return
        columns, rows = ask(run, query)
    if form == "csv":
        _csv(columns, rows)
    elif form == "json":
        _json(columns, rows)
    else:
        out = console()
        out.print(table(columns, rows))
        out.print(line(f"{len(rows):,} row{'s' * (len(rows) != 1)}", "dim"))


def _csv(columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    exact = not sys.stdout.isatty()  # a file gets the text as it is, a person's terminal what is safe
    for row in rows:
        plain = [_plain(value) for value in row]
        writer.writerow([value if exact or not isinstance(value, str) else clean(value) for value in plain])


def _plain(value: Any) -> Any:
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, dict | list) else value


def _json(columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """One object a line, which every tool can read piece by piece."""
    for row in rows:
        record = dict(zip(columns, row, strict=True))
        print(json.dumps(record, default=str, ensure_ascii=sys.stdout.isatty()))


def _guide(run: Run) -> None:
    out = console()
    for view, meaning in VIEWS.items():
        described = run.db.execute(f"describe {view}").fetchall()
        out.print(line(f"\n{view}: {meaning}", "bold"))
        out.print(table(("column", "type"), [(row[0], row[1]) for row in described]))
    out.print(line("\ndomain_of(url) is the host of a URL. For example:", "bold"))
    for query in EXAMPLES:
        out.print(line(f'python -m corpus sql {shlex.quote(str(run.path))} "{query}"'))
