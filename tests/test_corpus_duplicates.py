"""The steps of the dedup stage: how parts are grouped, hashes cut into ranges and candidates into batches changes
nothing."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import prose, write_jsonl

from corpus import duplicates, marks
from corpus.build import build
from corpus.plan import Task, plan
from corpus.recipe import load

RECIPE = """
steps = ["quality"]
[[sources]]
name = "texts"
kind = "jsonl"
files = ["{folder}/*.jsonl"]
[write]
split_mb = 0.01
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    """The parts of a finished build with copies of every kind in other parts."""
    folder = tmp_path_factory.mktemp("duplicates")
    rows = [{"url": f"https://a.example/{n}", "text": prose(n % 40, 14) + "\nOne more." * (n % 3)} for n in range(120)]
    rows.append({"url": "https://b.example/5", "text": rows[5]["text"]})
    write_jsonl(folder / "texts.jsonl", [*rows, *({"url": "https://a.example/1", "text": prose(n)} for n in (90, 91))])
    (folder / "recipe.toml").write_text(RECIPE.format(folder=folder))
    build(folder / "recipe.toml", folder / "run")
    recipe = load(folder / "recipe.toml")
    settings = marks.stage_settings(recipe)
    return [Task(folder / "run", part, recipe, marks.part_marks(part, settings, {})) for part in plan(recipe).parts]


def verdicts(tasks: list[Task]) -> list[Any]:
    files = [task.file("stages/dedup") for task in tasks]
    return [pq.read_table(file).to_pylist() if file.exists() else [] for file in files]


@pytest.mark.parametrize(("num_ranges", "most_groups", "batch"), [(1, 256, 3_000_000), (5, 3, 1), (2, 1, 40)])
def test_how_the_work_is_cut_changes_nothing(
    tasks: list[Task], monkeypatch: pytest.MonkeyPatch, num_ranges: int, most_groups: int, batch: int
) -> None:
    before = verdicts(tasks)
    folder = tasks[0].run / duplicates.FOLDER
    for path in folder.iterdir():
        path.unlink()
    monkeypatch.setattr(duplicates, "_GROUPS", most_groups)
    monkeypatch.setattr(duplicates, "_BATCH", batch)
    grouped = duplicates.groups(list(enumerate(tasks)))
    nothing: tuple[Any, Path] = {}, Path()
    gathered = [duplicates.gather(folder, num_ranges, group, *nothing) for group in grouped]
    places: dict[Any, list[Any]] = defaultdict(list)
    for place, found in (pair for told in gathered for pair in told["places"]):
        places[place].insert(0, found)
    met = [duplicates.meet(folder, item, *nothing) for item in places.items()]
    [item] = duplicates.all_that_met(grouped, gathered, met)
    num_batches = duplicates.connect(folder, item, *nothing)
    described = [duplicates.describe(folder, group, *nothing) for group in grouped]
    items = duplicates.batches(grouped, [num_batches], described, met)
    settled = [duplicates.settle(folder, tasks[0].recipe.dedup, [], item, *nothing) for item in reversed(items)]
    for delivery in duplicates.deliveries(grouped, settled):
        duplicates.deliver(delivery, *nothing)
    assert verdicts(tasks) == before
    assert {verdict["kind"] for part in before for verdict in part} == {"url", "exact", "near"}
    assert (num_batches > 1) == (batch < 1000)
    duplicates.finish_dedup(grouped, settled, [], folder / "dedup.done.json", "x")
    assert {path.name[:5] for path in folder.iterdir()} == {"part-", "dedup"}


def test_nothing_that_meets_is_nothing_to_do(tmp_path: Path) -> None:
    assert duplicates.connect(tmp_path, ([(0, 3)], []), {}, Path()) == 0
    assert pa.ipc.open_file(pa.memory_map(str(tmp_path / "candidates.arrow"))).read_all().num_rows == 0
    assert duplicates.where_any([(0, [])], [0]) == []
    assert duplicates.deliveries([(0, [])], []) == []
