"""`why` tells the truth about every document: what the ledger says, and nothing that was read is missing."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from small_run import small_run

from corpus import cli, why
from corpus.views import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("why"))


def one(run: Path, query: str) -> dict[str, Any]:
    with Run(run) as opened:
        return opened.rows(query)[0]


def said(run: Path, key: str, capsys: pytest.CaptureFixture[str]) -> str:
    why.show(run, key)
    return capsys.readouterr().out


def test_every_document_has_a_life_that_agrees_with_the_ledger(run: Path) -> None:
    with Run(run) as opened:
        ids = [row["id"] for row in opened.rows("select distinct id from fates")]
        lives = why.lives(opened, ids)
        hits = {row["id"]: row["hits"] for row in opened.rows("select id, hits from ledger where stage = 'filter'")}
        assert len(lives) == opened.manifest["read"]
    for life in lives:
        fired = [rule["rule"] for rule in life["rules"] if rule["fired"]]
        assert fired == [f"{hit['filter']}.{hit['reason']}" for hit in hits.get(life["id"], [])]


def test_a_rejected_document(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = one(run, "select * from ledger where reason = 'too_short' and url is not null order by id limit 1")
    out = said(run, row["url"], capsys)
    assert f"{row['id']}  rejected: too_short" in out
    assert f"{row['provenance']['file']}, record {row['provenance']['record']} (source pages)" in out
    words = row["hits"][0]["value"]
    assert [word for line in out.splitlines() if line.startswith("quality.too_short") for word in line.split()] == [
        "quality.too_short", words, "words", "<", "50", "FIRED",
    ]  # fmt: skip
    assert "ledger/, stage filter, reason too_short" in out


def test_it_proposes_the_settings_that_would_keep_the_document(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = one(run, "select id, hits from ledger where len(hits) = 1 and hits[1].reason = 'too_few_sentences' limit 1")
    out = said(run, row["id"], capsys)
    assert f"python -m corpus whatif {run} --set c4.min_sentences={row['hits'][0]['value']}" in out


@pytest.mark.parametrize("kind", ["near", "exact", "url"])
def test_a_duplicate_and_its_keeper(run: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    pair = one(run, f"select * from duplicates where kind = '{kind}' order by id limit 1")
    kept = one(run, f"select url from docs where id = '{pair['kept_id']}'")
    out = said(run, pair["id"], capsys)
    assert f"Duplicate ({kind}) of {pair['kept_id']}" in out
    assert kept["url"] in out
    if kind == "near":
        assert f"jaccard {pair['jaccard']:.4g}" in out
    keeper = said(run, pair["kept_id"], capsys)
    assert pair["id"][:12] in keeper.partition("Copies of it")[2]


def test_a_document_read_twice_has_two_lives(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = one(run, "select id from ledger where reason = 'record_duplicate'")
    out = said(run, row["id"], capsys)
    assert f"{row['id']}  kept" in out
    assert f"{row['id']}  rejected: record_duplicate" in out


def test_all_documents_of_a_url(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = one(run, "select id, kept_id from duplicates where kind = 'url'")
    url = one(run, f"select url from docs where id = '{pair['kept_id']}'")["url"]
    out = said(run, url, capsys)
    assert pair["id"] in out
    assert f"{pair['kept_id']}  kept" in out


def test_a_failure(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(run, "https://empty.example/", capsys)
    assert "rejected: no_text" in out
    assert "nothing was measured" in out


def test_edits_are_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = one(run, "select id, rule, removed from edits order by id, start limit 1")
    out = said(run, row["id"], capsys)
    assert "Cut or replaced: " in out
    assert row["rule"] in out


def test_six_digits_are_enough_and_five_are_not(run: Path) -> None:
    with Run(run) as opened:
        id_ = opened.rows("select min(id) as id from docs")[0]["id"]
        assert why.find(opened, id_[:6].upper()) == [id_]
        with pytest.raises(why.NoSuchDocument):
            why.find(opened, id_[:5])


def test_without_stages_only_the_character_set_is_missing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "stages")
    row = one(run, "select id from ledger where reason = 'too_short' order by id limit 1")
    assert "FIRED" in said(tmp_path / "run", row["id"], capsys)


@pytest.mark.parametrize(
    ("key", "close"),
    [("HOST1.example/page/1", "https://host1.example/page/1"), ("https://short.example/99", "https://short.example/")],
)
def test_not_found_is_status_1_with_what_is_close(
    run: Path, key: str, close: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["corpus", "why", str(run), key])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {key}: no document has this id or URL; close:")
    assert close in told


def test_hostile_text_is_shown_and_never_obeyed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = one(run, "select id from docs where url like 'https://hostile%'")
    out = said(run, row["id"], capsys)
    assert "[bold red]title[/bold red]" in out
    assert "\x1b" not in out
    assert "\u202e" not in out
