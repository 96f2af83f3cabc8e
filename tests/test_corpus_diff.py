"""`diff` tells every document that changed sides or text, and nothing else, with the rule and setting behind it."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import prose, write_jsonl
from small_run import rows, small_run

from corpus import cli, diff
from corpus.views import NotARun, Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("diff"))


def kept(run: Path) -> dict[str, str]:
    with Run(run) as opened:
        return {row["id"]: row["text"] for row in opened.rows("select id, text from docs")}


def changed(before: Path, after: Path, out: Path) -> tuple[diff.Difference, list[dict[str, Any]]]:
    found = diff.difference(before, after, out=out)
    return found, pq.read_table(out).to_pylist()


def check_sums(found: diff.Difference, before: Path, after: Path, told: list[dict[str, Any]]) -> None:
    """What was kept, and what is told of, is what is kept now."""
    old, new = kept(before), kept(after)
    assert (found.before, found.after) == (len(old), len(new))
    assert found.before + found.added - found.removed == found.after
    by = {change: {row["id"] for row in told if row["change"] == change} for change in ("added", "edited")}
    by["removed"] = {row["id_before"] or row["id"] for row in told if row["change"] == "removed"}
    edited = {row["id_before"] or row["id"]: row["id"] for row in told if row["change"] == "edited"}
    assert by["added"] == new.keys() - old.keys() - by["edited"]
    assert by["removed"] == old.keys() - new.keys() - edited.keys()
    same = {id_ for id_ in old.keys() & new.keys() if old[id_] == new[id_]}
    assert old.keys() == same | by["removed"] | edited.keys()


def test_a_run_and_itself(run: Path, tmp_path: Path) -> None:
    found, told = changed(run, run, tmp_path / "none.parquet")
    assert told == []
    assert found.settings == found.counts == found.examples == []
    assert pq.read_schema(tmp_path / "none.parquet").names == list(diff.COLUMNS)


@pytest.mark.parametrize(
    ("overrides", "rule", "setting"),
    [
        (["quality.min_words=160"], "quality.too_short", "quality.min_words"),
        (["quality.min_words=20", "c4.min_sentences=1"], "quality.too_short", "quality.min_words"),
        (["dedup.min_jaccard=0.99"], "dedup.near_duplicate", "dedup.min_jaccard"),
        (["dedup.exact=false", "dedup.url=false"], "dedup.url_duplicate", "dedup.exact"),
    ],
)
def test_a_setting_is_named_with_its_rule(
    run: Path, tmp_path: Path, overrides: list[str], rule: str, setting: str
) -> None:
    other = small_run(run.parent, *overrides, name=tmp_path.name)
    for before, after in ((run, other), (other, run)):
        found, told = changed(before, after, tmp_path / "changed.parquet")
        check_sums(found, before, after, told)
        assert {change.key for change in found.settings} == {override.partition("=")[0] for override in overrides}
        blamed = [row for row in told if rule in row["rules"]]
        assert blamed
        assert all(setting in row["settings"] for row in blamed)
        for row in told:
            rejected = {"added": row["reason_before"], "removed": row["reason_after"]}[row["change"]]
            assert rejected in row["rules"]


def test_edited_added_and_removed_input(run: Path, tmp_path: Path) -> None:
    pages = rows()
    pages[20] = {**pages[20], "text": prose(900, 20)}  # other content at the same address
    pages[21] = {**pages[21], "text": "Too short now."}
    del pages[22]
    pages.append({"url": "https://new.example/", "text": prose(901, 20)})
    write_jsonl(tmp_path / "pages.jsonl", pages)
    shutil.copy(run.parent / "teasers.jsonl", tmp_path)
    recipe = (run.parent / "recipe.toml").read_text().replace(str(run.parent), str(tmp_path))
    (tmp_path / "recipe.toml").write_text(recipe)
    other = small_run(tmp_path)
    found, told = changed(run, other, tmp_path / "changed.parquet")
    check_sums(found, run, other, told)
    by_url = {row["url"]: row for row in told}
    assert set(by_url) == {rows()[n]["url"] for n in (20, 21, 22)} | {"https://new.example/"}
    edited, short, gone, new = (
        by_url[url] for url in (*(rows()[n]["url"] for n in (20, 21, 22)), "https://new.example/")
    )
    assert (edited["change"], edited["rules"], edited["reason_after"]) == ("edited", ["content"], None)
    assert edited["id_before"] != edited["id"]
    assert (short["change"], short["reason_after"]) == ("removed", "quality.too_short")
    assert (gone["change"], gone["reason_after"]) == ("removed", "not in the input")
    assert (new["change"], new["reason_before"], new["settings"]) == ("added", "not in the input", ["sources"])


def test_an_editor_is_named(tmp_path: Path) -> None:
    text = prose(1, 20) + "\nThe miller went home by the river that evening.\n" + prose(2, 3)
    write_jsonl(tmp_path / "pages.jsonl", [{"url": "https://a.example/", "text": text}])
    write_jsonl(tmp_path / "teasers.jsonl", [{"text": "Nothing."}])
    recipe = 'steps = ["c4_lines"]\n[[sources]]\nname = "p"\nkind = "jsonl"\nfiles = ["{}/pages.jsonl"]\n'
    (tmp_path / "recipe.toml").write_text(recipe.format(tmp_path))
    before = small_run(tmp_path, name="before")
    after = small_run(tmp_path, "c4_lines.min_words=20", name="after")
    found, [row] = changed(before, after, tmp_path / "changed.parquet")
    assert found.edited == 1
    assert row["settings"] == ["c4_lines.min_words"]
    assert all(rule.startswith("c4_lines.") for rule in row["rules"])
    assert row["chars_before"] > row["chars_after"]


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Exit status of a command line."""
    monkeypatch.setattr(sys, "argv", ["corpus", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_the_command(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = small_run(run.parent, "quality.min_words=160", name=tmp_path.name)
    assert command(monkeypatch, "diff", run, other, "--out", tmp_path / "changed.parquet") == 0
    out = capsys.readouterr().out
    assert "quality.min_words: 50 -> 160" in out
    assert "quality.too_short" in out
    assert f"why {other}" in out
    assert command(monkeypatch, "diff", run, other, "--json") == 0
    assert json.loads(capsys.readouterr().out)["removed"] > 0
    with pytest.raises(NotARun):
        diff.difference(run, tmp_path / "none")
