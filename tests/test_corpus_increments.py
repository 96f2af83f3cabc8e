"""More input: only what is new is extracted, and the result is that of a fresh build."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import prose, warc_member, write_jsonl

from corpus.build import build
from corpus.plan import plan
from corpus.recipe import load

RECIPE = """
steps = ["quality"]
[[sources]]
name = "web"
kind = "{kind}"
files = ["{folder}/input/*"]
[extract]
engine = "counting.engine"
[write]
split_mb = {split}
"""
# An engine that counts the pages it has seen, in whatever process.
ENGINE = """
import os

from corpus.extraction import Extracted


def version():
    return "counting 1"


def extract(page):
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(page.url + "\\n")
    return Extracted(page.html.partition("<p>")[2].partition("</p>")[0])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "counting").mkdir()
    (tmp_path / "counting" / "__init__.py").write_text("")
    (tmp_path / "counting" / "engine.py").write_text(ENGINE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "recipe.toml").write_text(RECIPE.format(folder=tmp_path, kind="warc", split=0.004))
    return tmp_path


def warc(folder: Path, name: str, numbers: range) -> None:
    pages = [warc_member(f"https://{name}.example/{n}", f"<html><body><p>{prose(n)}</p>") for n in numbers]
    (folder / "input").mkdir(exist_ok=True)
    (folder / "input" / f"{name}.warc.gz").write_bytes(b"".join(pages))


def seen(folder: Path) -> list[str]:
    found = (folder / "seen").read_text().splitlines() if (folder / "seen").exists() else []
    (folder / "seen").unlink(missing_ok=True)
    return sorted(found)


def told(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return found


def files(run: Path) -> dict[str, bytes]:
    folders = ("docs", "ledger", "signals", "duplicates", "edits")
    return {f"{name}/{path.name}": path.read_bytes() for name in folders for path in (run / name).iterdir()}


def test_another_warc_is_extracted_alone(folder: Path) -> None:
    warc(folder, "a", range(20))
    warc(folder, "c", range(20, 40))
    build(folder / "recipe.toml", folder / "run")
    assert len(seen(folder)) == 40
    warc(folder, "b", range(30, 50))  # between the two, with ten copies of what is in c
    grown = build(folder / "recipe.toml", folder / "run")
    assert seen(folder) == sorted(f"https://b.example/{n}" for n in range(30, 50))
    fresh = build(folder / "recipe.toml", folder / "fresh")
    assert grown == fresh
    assert files(folder / "run") == files(folder / "fresh")
    assert grown["reasons"]["exact_duplicate"] == 10


def test_a_file_less(folder: Path) -> None:
    warc(folder, "a", range(20))
    warc(folder, "b", range(20, 40))
    build(folder / "recipe.toml", folder / "run")
    seen(folder)
    (folder / "input" / "a.warc.gz").unlink()
    fewer = build(folder / "recipe.toml", folder / "run")
    assert seen(folder) == []
    assert fewer == build(folder / "recipe.toml", folder / "fresh")
    assert files(folder / "run") == files(folder / "fresh")


def test_a_file_that_the_recipe_names_besides(folder: Path) -> None:
    warc(folder, "a", range(20))
    warc(folder, "b", range(20, 40))
    only = [f'sources.0.files=["{folder}/input/a.warc.gz"]']
    build(folder / "recipe.toml", folder / "run", only)
    assert len(seen(folder)) == 20
    build(folder / "recipe.toml", folder / "run")
    assert seen(folder) == sorted(f"https://b.example/{n}" for n in range(20, 40))
    assert json.loads((folder / "run" / "recipe.json").read_text())["sources"][0]["files"] == [f"{folder}/input/*"]


def test_one_of_many_small_files_redoes_its_neighbours_at_most(folder: Path) -> None:
    texts = [[{"text": prose(1000 * file + row)} for row in range(2)] for file in range(120)]
    for number, lines in enumerate(texts):
        write_jsonl(folder / "input" / f"{number:03}.jsonl", lines)
    (folder / "recipe.toml").write_text(RECIPE.format(folder=folder, kind="jsonl", split=0.03))
    recipe = load(folder / "recipe.toml")
    before = {part.name for part in plan(recipe).parts}
    for number in range(0, 120, 7):
        extra = write_jsonl(folder / "input" / f"{number:03}-more.jsonl", texts[number])
        redone = [part for part in plan(recipe).parts if part.name not in before]
        assert sum(part.num_bytes for part in redone) <= 3 * 30_000
        extra.unlink()
    assert 1 < len(before) < 120


def test_a_file_put_back_from_an_older_copy_is_read_again(folder: Path) -> None:
    """Times are compared for being the same, never for being later."""
    warc(folder, "a", range(20))
    warc(folder, "b", range(20, 40))
    build(folder / "recipe.toml", folder / "run")
    seen(folder)
    warc(folder, "b", range(20, 41))
    os.utime(folder / "input" / "b.warc.gz", (0, 0))
    changed = build(folder / "recipe.toml", folder / "run")
    assert {url.partition(".")[0] for url in seen(folder)} == {"https://b"}
    assert changed["docs_hash"] == build(folder / "recipe.toml", folder / "fresh")["docs_hash"]
