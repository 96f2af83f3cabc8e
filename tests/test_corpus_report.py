"""The report: every table runs and says what it answers, its sums agree, and its page loads and obeys nothing."""

import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from small_run import HOSTILE, small_run

from corpus import report, report_html
from corpus.views import NotARun, Run

FILES = sorted(report.FOLDER.glob("*.sql"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def found(run: Path) -> dict[str, report.Answer]:
    with Run(run) as opened:
        return report.answers(opened)


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return report_html.write(run).read_text("utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_table_says_which_question_it_answers(path: Path) -> None:
    first = path.read_text("utf-8").partition("\n")[0]
    assert re.fullmatch(r"-- [A-Z].+\?", first)
    assert re.fullmatch(r"\d\d_[a-z_]+", path.stem)


@pytest.mark.parametrize("name", report.names())
def test_every_table_runs_and_has_rows(found: dict[str, report.Answer], name: str) -> None:
    assert found[name].columns
    assert found[name].rows


def test_the_funnel_adds_up(run: Path, found: dict[str, report.Answer]) -> None:
    steps = found["funnel"].records()
    with Run(run) as opened:
        assert steps[0]["documents_in"] == opened.manifest["read"]
        assert steps[-1]["documents_out"] == opened.manifest["docs"]
        assert sum(row["documents"] for row in found["reasons"].records()) == opened.manifest["ledger"]
    for before, after in pairwise(steps):
        assert before["documents_out"] == after["documents_in"] == before["documents_in"] - before["rejected"]
        assert before["words_out"] == after["words_in"]
    words = sum(row["words_kept"] for row in found["sources"].records())
    assert steps[-1]["words_out"] == words == sum(row["words_kept"] for row in found["languages"].records())


def test_steps_come_in_the_order_of_the_recipe(found: dict[str, report.Answer]) -> None:
    steps = [row["step"] for row in found["funnel"].records()]
    assert steps == ["extract", "language", "repetition", "quality", "c4", "fineweb", "dedup"]


def test_rules_agree_with_the_manifest(run: Path, found: dict[str, report.Answer]) -> None:
    with Run(run) as opened:
        reasons = opened.manifest["reasons"]
        alone = opened.rows("select count(*) as n from ledger where stage = 'filter' and len(hits) = 1")[0]["n"]
    rules = found["rules"].records()
    assert all(row["fired"] >= row["first_reason"] >= row["only_reason"] for row in rules)
    assert {r["reason"]: r["first_reason"] for r in rules if r["reason"] == "too_short"} == {
        "too_short": reasons["too_short"]
    }
    assert sum(row["only_reason"] for row in rules) == alone
    assert {r["reason"] for r in found["never_fired"].records() if r["step"] == "quality"} == {
        r["reason"] for r in rules if not r["fired"] and r["step"] == "quality"
    }


def test_wipe_outs_and_dead_rules_are_alarms(found: dict[str, report.Answer]) -> None:
    told = dict(report.alarms(found))
    assert told["WIPE-OUT: quality.too_short removed 100% of source teasers"] == "25 of 25 documents"
    dead = next(details for headline, details in told.items() if headline.startswith("NEVER FIRED: "))
    assert "c4.lorem_ipsum (lorem_ipsum > 0)" in dead
    assert not any(headline.startswith("BOOKS") for headline in told)


def test_a_filter_that_is_meant_to_remove_languages_raises_no_alarm(tmp_path: Path) -> None:
    run = small_run(tmp_path, 'language.keep=["fr"]')
    with Run(run) as opened:
        wiped = report.answers(opened)["wipe_outs"].records()
    assert {row["kind"] for row in wiped if row["reason"] == "other_language"} == {"source"}


def test_books_that_do_not_add_up_are_an_alarm(run: Path, tmp_path: Path) -> None:
    """One part's ledger is taken from another: ids are missing here and unknown there."""
    shutil.copytree(run, tmp_path / "run")
    with Run(run) as opened:
        parts = [path for path in opened.files()["docs"] if opened.rows(f"select id from '{path}' limit 1")]
    parts = [tmp_path / "run" / "docs" / Path(path).name for path in parts]
    shutil.copy(parts[0], parts[1])
    with Run(tmp_path / "run") as opened:
        found = report.answers(opened)
    assert next(report.alarms(found))[0].startswith("BOOKS DO NOT ADD UP")


def test_the_duplicates_are_told(found: dict[str, report.Answer]) -> None:
    assert {row["kind"] for row in found["duplicates"].records()} == {"record", "url", "exact", "near"}
    near = next(row for row in found["duplicates"].records() if row["kind"] == "near")
    assert sum(row["pairs"] for row in found["similarity"].records()) == near["rejected"]
    assert found["clusters"].records()[0]["copies"] >= 2


def test_the_same_run_gives_the_same_report(run: Path, page: str) -> None:
    assert report_html.write(run).read_text("utf-8") == page


def test_examples_are_of_every_outcome(found: dict[str, report.Answer]) -> None:
    outcomes = {(row["step"], row["reason"]) for row in found["examples"].records()}
    assert outcomes == {(None, None)} | {(row["step"], row["reason"]) for row in found["reasons"].records()}
    kept = [row for row in found["examples"].records() if row["kept"]]
    assert len(kept) == report.EXAMPLES


def test_what_the_terminal_shows(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report.show(run)
    out = capsys.readouterr().out
    assert "kept + ledger = read holds for every file (2 input files)" in out
    assert "WIPE-OUT" in out
    assert "\x1b" not in out
    assert f"report {run} --html" in out
    for name, value in (("documents", "docs_hash"), ("ledger", "ledger_hash")):
        with Run(run) as opened:
            assert re.search(rf"^{name} +{opened.manifest[value]}", out, re.MULTILINE)


def test_the_summary_after_a_build(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_html.end_build(run)
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 40
    assert "documents kept" in out
    for command in ("report", "why", "whatif"):
        assert f"python -m corpus {command} {run}" in out


def test_a_report_without_the_stages(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "stages")
    report.show(tmp_path / "run")
    assert "How fast" not in capsys.readouterr().out
    assert report_html.write(tmp_path / "run").exists()


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(NotARun):
        report.show(tmp_path)
    with pytest.raises(NotARun):
        report_html.write(tmp_path)
    assert not list(tmp_path.iterdir())


class Page(HTMLParser):
    """Elements of a page that could load or run something, and whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.suspects: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "br", "wbr", "rect", "line", "img"):
            self.open.append(tag)
        named = dict(attrs)
        loads = [key for key in named if key in ("src", "srcset", "data", "action") or key.startswith("on")]
        if tag in ("script", "link", "img", "iframe", "object") or loads or (named.get("href") or "#")[0] != "#":
            self.suspects.append(f"{tag} {attrs}")

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line"):
            assert self.open.pop() == tag


def test_the_page_is_whole_loads_nothing_and_obeys_nothing(page: str) -> None:
    read = Page(page)
    assert read.open == []
    assert read.suspects == []
    assert "@import" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page
    assert len(page) < 1_000_000


def test_hostile_text_is_shown_in_the_page(page: str) -> None:
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", page)


def test_every_numeric_rule_has_its_threshold_in_a_plot(run: Path, found: dict[str, report.Answer]) -> None:
    with Run(run) as opened:
        report.prepare(opened)
        plots = report_html.signal_plots(found["signals"], opened)
        numbers = opened.rows("select count(*) as n from rules where number is not null")[0]["n"]
    assert sum(len(plot.lines) + len(plot.beyond) for plot in plots) == numbers
    for plot in plots:
        assert all(0 <= at <= 1 for at, _ in plot.lines)
        assert all(0 <= bar.kept + bar.rejected <= 1.000001 for bar in plot.bars)


def test_quantiles_of_a_large_run_are_those_of_a_share_of_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run(run) as opened:
        everything = {(row["step"], row["signal"]) for row in report.answers(opened)["signals"].records()}
        total = opened.manifest["read"]
        monkeypatch.setattr(report, "_SAMPLED", total // 2)
        found = report.answers(opened)["signals"].records()
        [(sampled,)] = opened.db.execute(
            "select max(n) from (select count(*) as n from sampled_values group by step, signal)"
        ).fetchall()
        [(whole,)] = opened.db.execute(
            "select max(n) from (select count(*) as n from signal_values group by step, signal)"
        ).fetchall()
    assert {(row["step"], row["signal"]) for row in found} == everything
    assert 0 < sampled < whole <= total
