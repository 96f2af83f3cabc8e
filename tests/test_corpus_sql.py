"""`sql`: reads anything, writes nothing, and is safe to pipe and to look at."""

import csv
import io
import json
import sys
from pathlib import Path

import duckdb
import pytest
from small_run import HOSTILE, small_run

from corpus import ask, cli
from corpus.terminal import clean
from corpus.views import VIEWS, Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("sql"))


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Exit status of a command line."""
    monkeypatch.setattr(sys, "argv", ["corpus", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_a_query(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    query = "select source, count(*) as documents from fates group by source order by source"
    assert command(monkeypatch, "sql", run, query) == 0
    lines = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert ["pages", "86"] in lines
    assert ["teasers", "25"] in lines


def test_without_a_query_it_says_what_can_be_asked(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "sql", run) == 0
    out = capsys.readouterr().out
    assert all(f"{view}: " in out for view in VIEWS)
    assert all(query in out for query in ask.EXAMPLES)


@pytest.mark.parametrize("query", ask.EXAMPLES)
def test_the_example_queries_run(run: Path, query: str) -> None:
    with Run(run) as opened:
        assert ask.ask(opened, query)[1]


@pytest.mark.parametrize("query", ["describe docs", "from docs", "summarize duplicates", "with a as (select 1) from a"])
def test_other_ways_to_read(run: Path, query: str) -> None:
    with Run(run) as opened:
        assert ask.ask(opened, query)[1]


@pytest.mark.parametrize(
    "query",
    [
        "copy docs to '{part}' (use_tmp_file false)",
        "explain analyze copy docs to '{part}' (use_tmp_file false)",
        "create table a as from docs",
        "drop view docs",
        "select 1; drop view docs",
        "pragma database_list",
        "set threads = 1",
        "",
    ],
)
def test_only_questions_are_accepted(run: Path, query: str) -> None:
    part = next((run / "docs").glob("*.parquet"))
    before = part.read_bytes()
    with Run(run) as opened, pytest.raises(ask.QueryError, match="only SELECT"):
        ask.ask(opened, query.format(part=part))
    assert part.read_bytes() == before


@pytest.mark.parametrize("query", ["selec 1", "select nothing from docs", "from nowhere", "select 1 / 'a'"])
def test_a_mistake_is_one_line_and_status_1(
    run: Path, query: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "sql", run, query) == 1
    said = capsys.readouterr()
    assert not said.out
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


def test_csv_keeps_text_as_it_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask.show(run, "select url, title, hits from ledger union all select url, title, [] from docs", "csv")
    read = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert read[0] == ["url", "title", "hits"]
    with Run(run) as opened:
        assert len(read) == opened.manifest["read"] + 1
    hits = [json.loads(row[2]) for row in read[1:]]
    assert any(hit and {"filter", "reason", "value", "threshold"} <= hit[0].keys() for hit in hits)


def test_json_is_one_object_a_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask.show(run, "select * from duplicates order by id", "json")
    read = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    with Run(run) as opened:
        assert read == opened.rows("select * from duplicates order by id")


def test_a_pipe_gets_whole_lines_without_colour(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask.show(run, "select repeat('word ', 200) as long, id from docs limit 1")
    out = capsys.readouterr().out
    assert "word " * 199 in out
    assert "\x1b" not in out


def test_text_is_shown_and_never_obeyed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask.show(run, "select url from docs where url like 'https://hostile%'")
    out = capsys.readouterr().out
    assert "[bold red]title[/bold red]" in out
    assert "\\u001b[31m" in out
    assert "\\u202e" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_what_is_clean_stays() -> None:
    assert clean("Zażółć 漢字 👩‍🚀 a\tb") == "Zażółć 漢字 👩‍🚀 a\tb"
    assert clean("a\nb") == "a b"
    assert clean("a\nb", lines=True) == "a\nb"
    assert clean(HOSTILE).isprintable()


def test_statement_kinds_of_this_duckdb() -> None:
    """A newer DuckDB that calls COPY a SELECT would open the files of a run to writing."""
    kinds = [statement.type for statement in duckdb.extract_statements("copy a to 'b'; from a; describe a")]
    assert kinds == [duckdb.StatementType.COPY, duckdb.StatementType.SELECT, duckdb.StatementType.SELECT]
