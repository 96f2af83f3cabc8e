"""A part may be larger than memory: every stage goes through it piece by piece, and how it is cut changes nothing."""

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest
from conftest import prose

from corpus import duplicates, estimate, extract, marks, measure, parts
from corpus.documents import documents_part
from corpus.guard import Heartbeat
from corpus.plan import Task, plan
from corpus.recipe import load
from corpus.workers import Work, Workers
from corpus.write import FOLDERS, write_part

NUM_TEXTS = 150
RECIPE = """
steps = ["language", "quality", "c4_lines", "c4"]
[[sources]]
name = "texts"
kind = "jsonl"
files = ["{folder}/texts.jsonl.gz"]
[language]
keep = ["en"]
min_score = 0.3
"""


class Here:
    """In place of the workers: constants that a test changes are changed for them too."""

    def __init__(self, folder: Path) -> None:
        self._heartbeat = folder / "heartbeat"

    def run(self, work: Work, tasks: Sequence[Any]) -> Iterator[Any]:
        for task in tasks:
            Heartbeat.create(self._heartbeat)
            yield work(task, {}, self._heartbeat)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One compressed file, so one part: lines that are cut, copies near and far, broken lines, one large document."""
    folder = tmp_path_factory.mktemp("bounded")
    texts = [
        f"{prose(n % 110, 12)}\nno stop at the end {n}\n{'One more sentence. ' * (n % 3)}" for n in range(NUM_TEXTS)
    ]
    texts[77] = "\n".join(prose(n, 20) for n in range(200, 230))
    rows = [json.dumps({"url": f"https://a.example/{n % 140}", "text": text}) for n, text in enumerate(texts)]
    rows[40:40] = ["{broken", json.dumps({"text": ""}), json.dumps({"text": "Zu kurz und auf Deutsch geschrieben."})]
    with gzip.open(folder / "texts.jsonl.gz", "wt") as file:
        file.write("\n".join(rows))
    (folder / "recipe.toml").write_text(RECIPE.format(folder=folder))
    return folder / "recipe.toml"


def run(recipe: Path, folder: Path) -> tuple[Task, dict[str, Any]]:
    """Every stage of the one part, in this process; the counts and content hashes of what was written."""
    loaded = load(recipe)
    [part] = plan(loaded).parts
    here = cast(Workers, Here(recipe.parent))
    task = Task(folder, part, loaded, {**marks.part_marks(part, marks.stage_settings(loaded), {}), "write": ""})
    list(here.run(documents_part, [task]))
    estimate._dedup([task], [estimate.Cost(input_bytes=1)], here)
    [counts] = here.run(write_part, [task])
    return task, counts


def groups(path: Path) -> int:
    return int(pq.read_metadata(path).num_row_groups)


def test_more_pieces_than_one_change_nothing(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, counts = run(recipe, tmp_path / "whole")
    monkeypatch.setattr(extract, "_ROW_GROUP_BYTES", 4_000)
    monkeypatch.setattr(measure, "_SIGNALS_ROWS", 7)
    monkeypatch.setattr(duplicates, "_RUN", 5)
    monkeypatch.setattr(parts, "_MANY_GROUPS", 4)
    cut, again = run(recipe, tmp_path / "cut")
    assert [groups(whole.file(f"stages/{stage}")) for stage in ("extract", "measure")] == [1, 1]
    assert groups(cut.file("stages/extract")) > 10
    assert 1 < groups(cut.file("stages/measure")) != groups(cut.file("stages/extract"))
    with pq.ParquetFile(
        cut.file("stages/extract")
    ) as file:  # the largest document is uncut, in a piece with few others
        [alone] = [n for n in range(file.num_row_groups) if file.metadata.row_group(n).total_byte_size > 20_000]
        assert file.metadata.row_group(alone).num_rows <= 4
    assert again == counts
    assert counts["rows"] == NUM_TEXTS + 3
    assert {"near_duplicate", "url_duplicate", "exact_duplicate", "broken_record"} <= counts["reasons"].keys()
    for folder in FOLDERS:
        table = pq.read_table(whole.file(folder))
        assert table.num_rows
        assert pq.read_table(cut.file(folder)).equals(table), folder
    verdicts = pq.read_table(whole.file("stages/dedup"))
    assert verdicts.num_rows > 3 * duplicates._RUN
    assert pq.read_table(cut.file("stages/dedup")).equals(verdicts)
