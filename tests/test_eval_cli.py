"""Every command runs, leaves Parquet that DuckDB reads, has an example, and survives odd corpora."""

import json
import re
from pathlib import Path

import click
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from conftest import prose

from corpus.failures import Failure
from eval.cli import app
from eval.ratings import Pair, Store


def run(*arguments: object) -> None:
    app([str(argument) for argument in arguments], standalone_mode=False)


def rows(path: Path) -> int:
    with duckdb.connect() as db:
        return int(db.execute(f"select count(*) from read_parquet('{path}')").fetchall()[0][0])


CORPORA = {
    "some": [{"text": f"In {1900 + n} Anna Berg of Lund bought {n + 300} boats.\n{prose(n)}"} for n in range(40)],
    "empty": [],
    "one": [{"text": prose(1)}],
    "chinese": [{"text": f"图书馆建于{1900 + n}年。馆内有{n}张地图。阅览室很安静。读者很多。" * 5} for n in range(20)],
    "broken": [{"text": "\ud800\x00"}] * 3,
}


@pytest.fixture(params=CORPORA)
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in CORPORA[request.param]))
    return path


def test_suites_of_any_corpus(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("suite", "make", corpus, "--out", tmp_path / "s", "--items", 5)
    run("suite", "show", tmp_path / "s")
    said = capsys.readouterr().out
    for kind in ("cloze", "order", "relevance"):
        assert rows(tmp_path / "s" / f"{kind}.parquet") or "note: no items" in said


def test_planting_in_any_corpus(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("plant", corpus, "--out", tmp_path / "p", "--share", 0.5, "--hard", 9)
    bad = rows(tmp_path / "p" / "sealed.parquet")
    assert f"{bad} of them bad" in capsys.readouterr().out
    assert rows(tmp_path / "p" / "hard_negatives.parquet") == 9
    lines = sum(len(path.read_text().splitlines()) for path in (tmp_path / "p").glob("source-*.jsonl"))
    assert lines == 9 + len(corpus.read_text().splitlines())


def test_a_planted_corpus_is_built_and_found_again(tmp_path: Path) -> None:
    from corpus.build import build
    from eval.documents import load
    from eval.planting import in_run

    source = tmp_path / "corpus.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in CORPORA["some"]))
    run("plant", source, "--out", tmp_path / "p", "--share", 0.4)
    build(tmp_path / "p" / "recipe.toml", tmp_path / "run")
    found = in_run(load(tmp_path / "run"), pq.read_table(tmp_path / "p" / "sealed.parquet"))
    assert sorted(found.values()) == sorted(pq.read_table(tmp_path / "p" / "sealed.parquet")["kind"].to_pylist())
    assert len(found) == 16


def test_facts_and_public_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("facts", "--out", tmp_path / "f", "--people", 11, "--false-share", 0.5)
    assert rows(tmp_path / "f" / "gold.parquet") == len((tmp_path / "f" / "facts.jsonl").read_text().splitlines())
    assert rows(tmp_path / "f" / "probes" / "facts.parquet") == 11 * 4 * 6
    (tmp_path / "piqa.jsonl").write_text('{"query": "Question: a", "choices": ["b", "c"], "gold": 0}\n')
    run("suite", "public", tmp_path / "piqa.jsonl", "--out", tmp_path / "public")
    assert rows(tmp_path / "public" / "piqa.parquet") == 1
    assert "piqa.jsonl: 1 items" in capsys.readouterr().out


def test_corrections_from_findings_to_signature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [{"id": f"{n:032x}", "score": n / 10} for n in range(10)]
    pq.write_table(pa.Table.from_pylist(found), tmp_path / "found.parquet")
    run("correct", "propose", tmp_path / "found.parquet", "--out", tmp_path / "c.parquet", "--min-score", 0.7)
    run("correct", "sign", tmp_path / "c.parquet", "--by", "Ann", "--id", f"{9:032x}")
    assert "1 signed by Ann, 2 unsigned" in capsys.readouterr().out
    assert rows(tmp_path / "c.parquet") == 3
    with pytest.raises(Failure, match="there are block, weight, mask"):
        run("correct", "propose", tmp_path / "found.parquet", "--out", tmp_path / "d.csv", "--action", "burn")
    with pytest.raises(Failure, match="not in the form"):
        run("correct", "propose", tmp_path / "found.parquet", "--out", tmp_path / "d.csv", "--reason", "Not So")


def test_ratings_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Failure, match="no ratings here"):
        run("ratings", tmp_path)
    store = Store(tmp_path)
    store.begin([Pair(str(n), f"p{n}", ("x", "y")) for n in range(12)], ("old", "new"))
    run("ratings", tmp_path)
    for _ in range(9):
        item = store.next("ann")
        assert item
        store.vote("ann", item["place"], "left" if item["left"] == "y" else "right", {}, [], 1)
    run("ratings", tmp_path)
    assert rows(tmp_path / "votes.parquet") == 9
    said = capsys.readouterr().out
    assert "9 votes that stand" in said
    assert re.search(r"wins\s+new\s+1\b", said)


def commands(group: click.Command, name: str = "") -> list[tuple[str, click.Command]]:
    found = getattr(group, "commands", None)
    return [x for n, c in found.items() for x in commands(c, f"{name} {n}")] if found else [(name, group)]


def test_every_command_has_an_example_of_itself() -> None:
    for name, command in commands(typer.main.get_command(app)):
        assert f"Example: python -m eval{name}" in (command.help or ""), name
