"""A takedown: nothing of the text is left, the books are right, and it stays out of whatever is built later."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import prose
from small_run import small_run

from corpus import cli, corrections, lineage, remove, why
from corpus.build import build
from corpus.lock import FolderInUse, held
from corpus.replay import decide, revise
from corpus.tombstones import BadTombstones, Tombstone, Tombstones, load
from corpus.views import NotARun, Run

NEAR = "https://near.example/0"
MARK = prose(3, 40).splitlines()[30]  # a line of the text that NEAR and its copies share


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("remove"))


@pytest.fixture
def run(built: Path, tmp_path: Path) -> Path:
    """The run, to be changed."""
    shutil.copytree(built, tmp_path / "run")
    return tmp_path / "run"


def rows(run: Path, query: str, *parameters: Any) -> list[dict[str, Any]]:
    with Run(run) as opened:
        return opened.rows(query, list(parameters))


def manifest(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text("utf-8"))
    return found


def keeper(run: Path) -> dict[str, Any]:
    """The kept one of three near copies."""
    return rows(run, "select id, url, text from docs where url like 'https://near.example/%'")[0]


def told(run: Path, text: str) -> list[str]:
    """Files of a run in which a text can be read, compressed or not."""
    found = []
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        content = str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else ""
        if text in content or text.encode() in path.read_bytes():
            found.append(str(path.relative_to(run)))
    return found


def test_nothing_of_the_text_is_left(run: Path) -> None:
    row = rows(run, "select id, text from docs where url = 'https://hostile.example/x' or title like 'Bad%'")[0]
    line = row["text"].splitlines()[3]
    assert told(run, line)
    done = remove.remove(run, ids=[row["id"]], reason="asked for")
    assert told(run, line) == []
    assert len(done.parts) == 1
    [left] = rows(run, "select * from ledger where id = ?", row["id"])
    kept = {"id", "source", "url", "provenance", "stage", "reason", "detail"}
    assert {key for key, value in left.items() if value} == kept
    assert (left["stage"], left["reason"], left["detail"]) == ("correction", "takedown", "asked for")
    assert not rows(run, "select id from edits where id = ?", row["id"])
    assert rows(run, "select words, chars, quality from signals where id = ?", row["id"]) == [
        {"words": None, "chars": None, "quality": None}
    ]


def test_what_a_correction_quotes_goes_too_and_stays_out(built: Path, tmp_path: Path) -> None:
    """Evidence is text of the document: it goes from the run's corrections, and a rebuild does not bring it back."""
    kept = rows(built, "select id, text from docs order by id limit 2")
    quoted = [row["text"].splitlines()[1] for row in kept]
    signed = [
        corrections.Correction(row["id"], "block", "", "bad_data", quote, "test", 0.9, "Ann", "2024-05-06")
        for row, quote in zip(kept, quoted, strict=True)
    ]
    corrections.save(tmp_path / "c.parquet", signed)
    recipe, run = built.parent / "recipe.toml", tmp_path / "run"
    build(recipe, run, corrections=tmp_path / "c.parquet")
    assert corrections.FILE in told(run, quoted[0])
    remove.remove(run, ids=[kept[0]["id"]])
    assert told(run, quoted[0]) == []
    assert corrections.FILE in told(run, quoted[1])
    build(recipe, run, corrections=tmp_path / "c.parquet")
    assert told(run, quoted[0]) == []
    assert [row.id for row in corrections.of_run(run)] == [row["id"] for row in kept]


def test_the_books_stay_right_and_other_shards_stay_untouched(run: Path) -> None:
    before, inodes = manifest(run), {path: path.stat().st_ino for path in (run / "docs").iterdir()}
    done = remove.remove(run, urls=[NEAR.replace("/0", "/2")])
    after = manifest(run)
    assert after["read"] == before["read"] == after["docs"] + after["ledger"]
    assert after["docs"] < before["docs"]
    assert after["docs_hash"] != before["docs_hash"]
    assert after["reasons"]["takedown"] == len(done.documents)
    changed = {path.name[5:17] for path, inode in inodes.items() if path.stat().st_ino != inode}
    assert changed == set(done.parts)


def test_it_equals_a_build_that_never_kept_them(built: Path, run: Path) -> None:
    """A rebuild that reads the input again and obeys the tombstones ends with the same corpus."""
    remove.remove(run, ids=[keeper(run)["id"]], copies=True)
    recipe = built.parent / "recipe.toml"
    fresh = run.parent / "fresh"
    told = build(recipe, fresh, [f'tombstones=["{run}"]'])
    mine = manifest(run)
    for key in ("docs", "ledger", "docs_hash", "ledger_hash", "reasons", "files", "read", "text_bytes"):
        assert told[key] == mine[key], key
    for name in ("docs", "ledger", "signals"):
        for part in told["parts"]:
            a, b = (pq.read_table(folder / name / f"part-{part}.parquet") for folder in (fresh, run))
            assert a.equals(b), (name, part)


def test_a_later_build_into_the_same_folder_keeps_it_out(built: Path, run: Path) -> None:
    url = "https://host1.example/page/5"
    before = rows(run, "select id from docs where url = ?", url)
    remove.remove(run, urls=[url])
    mine = manifest(run)
    assert build(built.parent / "recipe.toml", run) == mine
    shutil.rmtree(run / "stages")
    assert build(built.parent / "recipe.toml", run) == mine
    assert before
    assert not rows(run, "select id from docs where url = ?", url)


def test_the_same_text_elsewhere_stays_out_too(run: Path) -> None:
    """copy.example/2 has the text of host3.example/page/11, one of the two was kept."""
    pair = ("https://host3.example/page/11", "https://copy.example/2")
    assert {row["kept"] for row in rows(run, "select kept from fates where url in (?, ?)", *pair)} == {True, False}
    remove.remove(run, urls=[pair[0]])
    assert {row["reason"] for row in rows(run, "select reason from fates where url in (?, ?)", *pair)} == {"takedown"}


def test_near_copies_are_listed_and_stay_out_of_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = keeper(run)
    done = remove.remove(run, ids=[row["id"]])
    assert {copy["url"] for copy in done.copies} == {f"https://near.example/{n}" for n in range(3)} - {row["url"]}
    assert not rows(run, "select id from docs where url like 'https://near.example/%'")
    remove.show(run, done, [], [])
    out = capsys.readouterr().out
    assert "--copies" in out
    assert told(run, MARK)
    remove.remove(run, ids=[row["id"]], copies=True)
    assert told(run, MARK) == []


def test_a_second_time_changes_nothing(run: Path) -> None:
    remove.remove(run, urls=[NEAR], reason="once")
    before, inodes = manifest(run), {path: path.stat().st_ino for path in (run / "docs").iterdir()}
    again = remove.remove(run, urls=[NEAR], reason="twice")
    assert again.parts == []
    assert manifest(run) == before
    assert inodes == {path: path.stat().st_ino for path in (run / "docs").iterdir()}


def test_what_nobody_knows_changes_nothing(run: Path) -> None:
    before = manifest(run)
    with pytest.raises(why.NoSuchDocument, match="no document has this id or URL"):
        remove.remove(run, urls=[NEAR, "https://nowhere.example/"])
    with pytest.raises(why.NoSuchDocument):
        remove.remove(run, ids=["0" * 32])
    with pytest.raises(remove.NothingNamed, match="--url"):
        remove.remove(run)
    with held(run), pytest.raises(FolderInUse):
        remove.remove(run, urls=[NEAR])
    assert manifest(run) == before
    assert not (run / "tombstones.json").exists()


def test_without_stages_the_result_is_the_same(run: Path) -> None:
    other = run.parent / "other"
    shutil.copytree(run, other)
    shutil.rmtree(other / "stages")
    urls = [NEAR, "https://host1.example/page/5"]
    for folder in (run, other):
        remove.remove(folder, urls=urls)
    assert manifest(run) == manifest(other)
    assert load(run).stones == load(other).stones


def test_killed_at_any_file_it_goes_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = run.parent / "finished"
    shutil.copytree(run, finished)
    remove.remove(finished, urls=[NEAR])
    replace, steps = os.replace, 0

    def dying(source: Any, target: Any) -> None:
        nonlocal steps
        steps -= 1
        if steps == 0:
            raise KeyboardInterrupt
        replace(source, target)

    for stop in range(1, 200, 3):
        folder = run.parent / f"killed-{stop}"
        shutil.copytree(run, folder)
        steps = stop
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying)
            try:
                remove.remove(folder, urls=[NEAR])
                assert stop > 10
                break
            except KeyboardInterrupt:
                pass
        if (folder / "tombstones.json").exists():
            with pytest.raises(NotARun, match="a takedown is not finished"):
                Run(folder)
        remove.remove(folder, urls=[NEAR])
        assert manifest(folder) == manifest(finished)
        assert not list((folder / "stages" / "takedown").glob("*"))
        shutil.rmtree(folder)


def test_undone_where_the_tombstone_is_taken_back(built: Path, run: Path) -> None:
    before = manifest(run)
    remove.remove(run, urls=[NEAR], copies=True)
    (run / "tombstones.json").unlink()
    assert build(built.parent / "recipe.toml", run) == before


def test_models_that_were_trained_on_it_are_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "https://host1.example/page/5"
    [row] = rows(run, "select id from docs where url = ?", url)
    for name, ids in {"one": [row["id"], "a", row["id"]], "two": ["b", "c", "d"]}.items():
        (tmp_path / name / "lineage").mkdir(parents=True)
        table = pa.table(
            {"step": pa.array([3, 5, 9]), "id": pa.array(ids).dictionary_encode(), "loss": [1.0, 2.0, 3.0]}
        )
        pq.write_table(table, tmp_path / name / "lineage" / "part-0.parquet")
    models = [tmp_path / "one", tmp_path / "two"]
    assert lineage.uses(models, [row["id"]]) == [lineage.Use(str(tmp_path / "one"), 1, 3, 9)]
    words = ["remove", run, "--url", url, "--models", models[0], "--models", models[1]]
    assert command(monkeypatch, *words) == 0
    out = capsys.readouterr().out
    assert f"{models[0]}: trained on 1 of them, first at step 3, last at step 9" in out
    assert str(models[1]) not in out
    assert command(monkeypatch, *words, "--models", tmp_path) == 1
    assert "has no lineage" in capsys.readouterr().err


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Exit status of a command line."""
    monkeypatch.setattr(sys, "argv", ["corpus", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_named_in_a_file(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [row] = rows(run, "select id from docs where url = 'https://host1.example/page/5'")
    (tmp_path / "list").write_text(f"{row['id']}\n\nhttps://host2.example/page/6\n")
    assert command(monkeypatch, "remove", run, "--from", tmp_path / "list") == 0
    assert (run / "report.html").exists()
    assert manifest(run)["reasons"]["takedown"] >= 2


def test_the_questions_that_follow_are_answered(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remove.remove(run, urls=[NEAR], reason="asked for")
    why.show(run, NEAR)
    out = capsys.readouterr().out
    assert "rejected: takedown" in out
    assert "asked for" in out


@pytest.mark.parametrize(
    ("content", "said"),
    [("[]", "expected"), ('{"tombstones": [{"idd": "x"}]}', "idd"), ('{"tombstones": [{}]}', "names nothing")],
)
def test_a_broken_file_of_tombstones_is_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "stones.json").write_text(content)
    with pytest.raises(BadTombstones, match=said):
        load(tmp_path / "stones.json")
    with pytest.raises(BadTombstones, match="no such run or file"):
        load(tmp_path / "none.json")


def test_tombstones_match_by_id_address_and_text() -> None:
    stones = Tombstones([Tombstone(id="a"), Tombstone(url="x.org/1"), Tombstone(text=hashed("One  text"))])
    table = pa.table(
        {
            "id": ["a", "b", "c", "d", "a"],
            "url": [None, "https://www.x.org/1/", "https://y.org", None, None],
            "text": pa.array(["t", "u", "one text", "other", None], pa.large_string()),
        }
    )
    assert sorted(stones.hit(table)) == [0, 1, 2]


def hashed(text: str) -> str:
    from corpus.tombstones import text_hashes

    return text_hashes(pa.array([text], pa.large_string()))[0]


def test_whatif_equals_a_rebuild_of_what_is_left(built: Path, run: Path) -> None:
    """Near copies that stayed out come back in a rebuild, and `whatif` says so."""
    remove.remove(run, ids=[keeper(run)["id"]])
    with Run(run) as opened:
        decide(opened, revise(opened, [])[0])
        told = opened.rows("select id, after from decided order by all")
    rebuilt = run.parent / "rebuilt"
    build(built.parent / "recipe.toml", rebuilt, [f'tombstones=["{run}"]'])
    assert told == rows(rebuilt, "select id, step || '.' || reason as after from fates order by all")
