"""`whatif` is right when a rebuild with the same settings keeps the same documents for the same reasons."""

import gzip
import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import prose, warc_member
from small_run import small_run

from corpus import cli, whatif
from corpus.build import build
from corpus.decide import fired, rules
from corpus.recipe import RecipeError
from corpus.replay import decide, revise, setting_of, thresholds
from corpus.views import NotARun, Run, literal


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("whatif"))


def fates(run: Path) -> Counter[tuple[str, str | None]]:
    """(id, step.reason, or null where kept) of everything read."""
    with Run(run) as opened:
        rows = opened.rows("select id, step || '.' || reason as reason from fates")
    return Counter((row["id"], row["reason"]) for row in rows)


def replayed(run: Path, *overrides: str) -> Counter[tuple[str, str | None]]:
    with Run(run) as opened:
        decide(opened, revise(opened, overrides)[0])
        return Counter((row["id"], row["after"]) for row in opened.rows("select id, after from decided"))


def one(run: Path, query: str) -> dict[str, Any]:
    with Run(run) as opened:
        return opened.rows(query)[0]


def test_sql_rules_equal_arrow_rules_row_for_row(run: Path) -> None:
    with Run(run) as opened:
        bound = rules(opened.recipe)
        for path in opened.files()["signals"]:
            columns = ", ".join(rule.sql for rule in bound)
            query = (
                f"select {columns} from read_parquet({literal(path)}, file_row_number = true) order by file_row_number"
            )
            by_sql = np.array(opened.db.execute(query).fetchall())
            assert (by_sql == fired(pq.read_table(path), opened.recipe)).all()


def test_with_nothing_changed_nothing_changes(run: Path) -> None:
    assert replayed(run) == fates(run)
    with Run(run) as opened:
        found = whatif.answer(opened, ["quality.min_words=50"])
        assert opened.rows("select * from decided where before is distinct from after") == []
    assert found.changes == []
    assert found.before == found.after
    assert found.gained == found.lost == {"documents": 0, "words": 0, "tokens": 0}


@pytest.mark.parametrize(
    "overrides",
    [
        ("quality.min_words=20", "c4.min_sentences=1"),
        ("quality.min_words=160", "language.min_score=0.97"),
        ("dedup.min_jaccard=0.95", 'dedup.keep=["date_oldest"]'),
        ("dedup.url=false", "dedup.exact=false", "repetition.max_repeated_lines=0.99"),
    ],
)
def test_the_answer_is_that_of_a_rebuild(run: Path, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    rebuilt = small_run(run.parent, *overrides, name=tmp_path.name)
    assert replayed(run, *overrides) == fates(rebuilt)
    assert fates(rebuilt) != fates(run)


def test_copies_of_what_is_lost_come_back(run: Path) -> None:
    longest = one(run, "select words from fates where kept and url like 'https://near.example/%'")
    overrides = [f"quality.max_words={longest['words'] - 1}"]
    with Run(run) as opened:
        found = whatif.answer(opened, overrides)
    assert any(row["gained"] and row["reason"].startswith("dedup.") for row in found.by_reason)
    rebuilt = small_run(run.parent, *overrides, name="shorter")
    assert replayed(run, *overrides) == fates(rebuilt)


def test_the_sums_agree_with_each_other(run: Path) -> None:
    with Run(run) as opened:
        found = whatif.answer(opened, ["quality.min_words=20", "c4.min_sentences=6"])
    for unit in ("documents", "words"):
        assert found.after[unit] == found.before[unit] + found.gained[unit] - found.lost[unit]
        assert found.gained[unit] == sum(row[unit] for row in found.by_reason if row["gained"])
        assert found.lost[unit] == sum(row[unit] for row in found.by_reason if not row["gained"])
    for groups in (found.by_source, found.by_language):
        assert sum(row["gained"] for row in groups) == found.gained["documents"]
        assert sum(row["words_lost"] for row in groups) == found.lost["words"]
    assert found.examples


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Exit status of a command line."""
    monkeypatch.setattr(sys, "argv", ["corpus", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("quality.min_wrds=3", "did you mean 'min_words'"),
        ("qualty.min_words=3", "unknown key 'qualty'"),
        ("quality.min_words=many", "expected int"),
        ("quality.min_words", "expected key=value"),
        ('quality.stop_words=["a"]', "a rebuild redoes the stage `measure`"),
        ("dedup.bands=3", "accepted here: dedup.min_jaccard, dedup.keep"),
        ("extract.engine=fast", "a rebuild redoes the stage `extract`"),
        ('steps=["quality"]', ""),
        ('sources.0.files=["*.jsonl"]', "a rebuild redoes the stage `extract`"),
    ],
)
def test_what_cannot_be_replayed_is_status_2(
    run: Path, override: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "whatif", run, "--set", override) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert not told.out


def test_json(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(monkeypatch, "whatif", run, "--set", "quality.min_words=20", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changes"] == [{"key": "quality.min_words", "before": 50, "after": 20}]
    assert (
        told["after"]["documents"]
        == told["before"]["documents"] + told["gained"]["documents"] - told["lost"]["documents"]
    )


def test_what_is_printed(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--set", "quality.min_words=20", "--set", "c4.min_sentences=1", "--examples", "2")
    assert command(monkeypatch, "whatif", run, *options) == 0
    out = capsys.readouterr().out
    assert "quality.min_words: 50 -> 20" in out
    assert out.count("\n+ ") == 2
    assert "next: python -m corpus build RECIPE --out ANOTHER_RUN --set quality.min_words=20" in out


def test_without_settings_it_lists_those_that_can_be_tried(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "whatif", run) == 0
    out = capsys.readouterr().out
    with Run(run) as opened:
        assert all(key in out for key in thresholds(opened.recipe))


def test_the_setting_of_every_rule_is_its_own(run: Path) -> None:
    with Run(run) as opened:
        found = {rule.name: setting_of(opened.recipe, rule.name) for rule in rules(opened.recipe)}
    assert found["quality.too_short"] == "quality.min_words"
    assert found["repetition.repeated_line_characters"] == "repetition.max_repeated_line_characters"
    assert found["language.other_language"] is None
    told = [key for key in found.values() if key]
    assert len(told) == len(set(told))


def test_without_the_stages_it_says_what_is_missing(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "stages")
    with Run(tmp_path / "run") as opened, pytest.raises(NotARun, match="duplicates cannot be decided again"):
        whatif.answer(opened, ["quality.min_words=3"])


PAGES = """
steps = ["url", "extract", "language", "quality"]
[[sources]]
name = "web"
kind = "warc"
files = ["{folder}/web.warc.gz"]
[extract]
engine = "fast"
quick_language = true
[url]
hard_words = ["{folder}/words.txt"]
[language]
keep = ["en"]
min_score = 0.3
"""
GERMAN = "Der alte Mann ging jeden Morgen über die Brücke und sprach mit niemandem, obwohl ihn alle kannten. "


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    pages = {f"https://a.example/{n}": f"<p>{prose(n)}</p>" for n in range(6)}
    pages["https://a.example/wicked/1"] = f"<p>{prose(50)}</p>"
    pages["https://a.example/de"] = f"<p>{GERMAN * 8}</p>"
    members = [warc_member(url, f"<html><body><main>{body}</main></body></html>") for url, body in pages.items()]
    (folder / "web.warc.gz").write_bytes(b"".join(members))
    assert gzip.decompress((folder / "web.warc.gz").read_bytes())
    (folder / "words.txt").write_text("wicked\n", "utf-8")
    (folder / "recipe.toml").write_text(PAGES.format(folder=folder), "utf-8")
    build(folder / "recipe.toml", folder / "run")
    return folder / "run"


def test_pages_that_were_never_extracted_are_not_known(web: Path) -> None:
    with Run(web) as opened:
        found = whatif.answer(opened, ["url.max_hard_words=1"])
    assert found.gained["documents"] == 0
    assert len(found.not_known) == 1
    assert "the text of 1 document passed over by address" in found.not_known[0]


def test_pages_dropped_for_their_language_before_extraction_are_not_known(web: Path) -> None:
    with Run(web) as opened:
        found = whatif.answer(opened, ['language.keep=["en", "de"]'])
    assert found.gained["documents"] == 0
    assert "the fate of 1 page dropped for language before extraction" in found.not_known[0]


def test_other_thresholds_have_no_blind_spot(web: Path) -> None:
    with Run(web) as opened:
        assert whatif.answer(opened, ["quality.min_words=20"]).not_known == []


def test_an_override_is_checked_before_anything_is_decided(web: Path) -> None:
    with Run(web) as opened, pytest.raises(RecipeError):
        whatif.answer(opened, ["quality.min_words=20", 'url.hard_words=["/none"]'])
