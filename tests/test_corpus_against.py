"""Against earlier runs: only new documents go, the earlier run stays as it is, and the evidence names it."""

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import prose, write_jsonl

from corpus import why
from corpus.build import build
from corpus.failures import Failure
from corpus.recipe import RecipeError
from corpus.replay import decide, revise
from corpus.views import NotARun, Run

RECIPE = """
steps = ["quality"]
[[sources]]
name = "{name}"
kind = "jsonl"
files = ["{folder}/{name}/*.jsonl"]
[write]
split_mb = 0.02
[dedup]
keep = ["length"]
"""
LONG = "\nOne more line that nobody had written before, at the end of the {}."


def recipe(folder: Path, name: str, documents: list[dict[str, Any]]) -> Path:
    write_jsonl(folder / name / "all.jsonl", documents)
    path = folder / f"{name}.toml"
    path.write_text(RECIPE.format(name=name, folder=folder))
    return path


def document(address: str, text: str) -> dict[str, Any]:
    return {"url": f"https://{address}", "text": text}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("against")
    old = [document(f"old.org/{n}", prose(n, 30)) for n in range(20)]
    old.append(document("old.org/short", prose(50, 1)))  # rejected by a rule: it keeps nothing out
    build(recipe(path, "old", old), path / "old-run")
    new = [
        document("new.org/exact", prose(1, 30).replace("\n", "\n\n")),
        document("new.org/near", prose(2, 30) + LONG.format("river")),  # longer, so better by the policy
        document("www.old.org/3/", prose(60, 30)),  # the address of an earlier document
        document("new.org/short", prose(50, 1)),
        document("new.org/a", prose(70, 30)),
        document("new.org/b", prose(70, 30) + LONG.format("mill")),
        document("new.org/c", prose(71, 30)),
    ]
    recipe(path, "new", new)
    build(path / "new.toml", path / "alone")
    build(path / "new.toml", path / "both", against(path))
    return path


def against(folder: Path, *others: str) -> list[str]:
    return [f"dedup.against={json.dumps([str(folder / name) for name in ('old-run', *others)])}"]


def rows(run: Path, query: str) -> list[dict[str, Any]]:
    with Run(run) as opened:
        return opened.rows(query)


def fates(run: Path) -> dict[str, str]:
    found = rows(run, "select url, coalesce(step || '.' || reason, 'kept') as fate from fates")
    return {row["url"].removeprefix("https://"): row["fate"] for row in found}


def hashes(run: Path) -> dict[str, str]:
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name not in (".lock", "timing.json")]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_only_new_documents_go_and_the_evidence_names_the_run(folder: Path) -> None:
    assert fates(folder / "both") == {
        "new.org/exact": "dedup.exact_duplicate",
        "new.org/near": "dedup.near_duplicate",
        "www.old.org/3/": "dedup.url_duplicate",
        "new.org/short": "quality.too_short",
        "new.org/a": "dedup.near_duplicate",
        "new.org/b": "kept",
        "new.org/c": "kept",
    }
    assert Counter(fates(folder / "alone").values()) == {"kept": 5, "dedup.near_duplicate": 1, "quality.too_short": 1}
    ids = {row["id"]: row["url"] for row in rows(folder / "old-run", "select id, url from docs")}
    ids |= {row["id"]: row["url"] for row in rows(folder / "both", "select id, url from docs")}
    query = "select url, kept_id, evidence.kept_in as run from ledger where stage = 'dedup' order by url"
    told = [(row["url"][8:], ids[row["kept_id"]][8:], row["run"]) for row in rows(folder / "both", query)]
    assert told == [
        ("new.org/a", "new.org/b", None),
        ("new.org/exact", "old.org/1", str(folder / "old-run")),
        ("new.org/near", "old.org/2", str(folder / "old-run")),
        ("www.old.org/3/", "old.org/3", str(folder / "old-run")),
    ]
    assert len(rows(folder / "both", "select * from duplicates where kept_in is not null")) == 3


def test_the_same_with_keys_computed_from_docs(folder: Path, tmp_path: Path) -> None:
    """The earlier run's stages may be gone, or have been made for other shingles."""
    before = hashes(folder / "old-run")
    wanted = build(folder / "new.toml", folder / "both", against(folder))
    shutil.copytree(folder / "old-run", tmp_path / "old-run")
    shutil.rmtree(tmp_path / "old-run" / "stages")
    told = build(folder / "new.toml", tmp_path / "both", against(tmp_path))
    for key in ("docs_hash", "ledger_hash", "reasons", "files"):
        assert told[key] == wanted[key]
    other = [*against(folder), "dedup.shingle_words=3"]
    assert build(folder / "new.toml", tmp_path / "words", other)["reasons"] == wanted["reasons"]
    assert before == hashes(folder / "old-run")


def test_why_names_the_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    why.show(folder / "both", "https://new.org/near")
    out = capsys.readouterr().out
    assert f"in the earlier run {folder / 'old-run'}" in out
    kept = rows(folder / "old-run", "select id from docs where url = 'https://old.org/2'")[0]["id"]
    assert f"python -m corpus why {folder / 'old-run'} {kept}" in out


def test_whatif_equals_a_rebuild(folder: Path, tmp_path: Path) -> None:
    for overrides in ([], ["quality.min_words=10"], ["dedup.min_jaccard=0.999"], ["dedup.url=false"]):
        rebuilt = tmp_path / "-".join(["run", *overrides])
        build(folder / "new.toml", rebuilt, [*against(folder), *overrides])
        with Run(folder / "both") as run:
            decide(run, revise(run, overrides)[0])
            after = Counter((row["id"], row["after"]) for row in run.rows("select id, after from decided"))
        query = "select id, step || '.' || reason as reason from fates"
        assert after == Counter((row["id"], row["reason"]) for row in rows(rebuilt, query)), overrides


def test_whatif_says_what_it_cannot_know(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "old-run", tmp_path / "old-run")
    build(folder / "new.toml", tmp_path / "both", against(tmp_path))
    manifest = json.loads((tmp_path / "old-run" / "manifest.json").read_text())
    (tmp_path / "old-run" / "manifest.json").write_text(json.dumps(manifest | {"docs_hash": "0"}))
    with Run(tmp_path / "both") as run, pytest.raises(Failure, match=r"old-run: has changed.*build again"):
        decide(run, revise(run, [])[0])
    with Run(tmp_path / "both") as run, pytest.raises(RecipeError, match="redoes the stage `dedup`"):
        revise(run, ["dedup.against=[]"])
    shutil.rmtree(tmp_path / "old-run")
    with Run(tmp_path / "both") as run, pytest.raises(NotARun, match="no such folder"):
        decide(run, revise(run, [])[0])


def test_another_earlier_run_redoes_dedup_and_no_extraction(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "grown"
    build(folder / "new.toml", out, against(folder))
    before = {path: path.stat().st_mtime_ns for path in (out / "stages" / "extract").iterdir()}
    more = recipe(tmp_path, "more", [document("more.org/c", prose(71, 30))])
    build(more, tmp_path / "more-run")
    shutil.copytree(folder / "old-run", tmp_path / "old-run")
    told = build(folder / "new.toml", out, against(tmp_path, "more-run"))
    assert fates(out)["new.org/c"] == "dedup.exact_duplicate"
    assert told["docs"] == 1
    assert before == {path: path.stat().st_mtime_ns for path in (out / "stages" / "extract").iterdir()}
    assert pq.read_table(out / "duplicates").num_rows == 5


def test_mistakes_are_told_before_any_work(folder: Path, tmp_path: Path) -> None:
    for named, said in ((tmp_path / "none", "no such folder"), (tmp_path / "out", "is the folder that is being built")):
        with pytest.raises(Failure, match=said):
            build(folder / "new.toml", tmp_path / "out", [f'dedup.against=["{named}"]'])
    assert not (tmp_path / "out").exists()
