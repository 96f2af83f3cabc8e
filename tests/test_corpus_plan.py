"""Parts follow from the input alone."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import prose, write_jsonl

from corpus.plan import Plan, plan
from corpus.recipe import Recipe


def input_files(folder: Path, number: int) -> None:
    for index in range(number):
        write_jsonl(folder / f"{index}.jsonl", [{"text": prose(index * 10 + row)} for row in range(10)])


def names(planned: Plan) -> set[str]:
    return {part.name for part in planned.parts}


def test_every_byte_is_in_one_part(tmp_path: Path, make_recipe: Callable[..., Recipe]) -> None:
    input_files(tmp_path, 3)
    planned = plan(make_recipe(write={"split_mb": 0.005}))
    spans: dict[str, list[tuple[int, int]]] = {}
    for part in planned.parts:
        for split in part.splits:
            spans.setdefault(split.path, []).append((split.start, split.end))
    for file in planned.inputs:
        ordered = sorted(spans[file.path])
        assert ordered[0][0] == 0
        assert ordered[-1][1] == file.size
        assert all(a[1] == b[0] for a, b in itertools.pairwise(ordered))


def test_small_files_share_a_part_and_large_ones_are_cut(tmp_path: Path, make_recipe: Callable[..., Recipe]) -> None:
    input_files(tmp_path, 3)
    assert len(plan(make_recipe(write={"split_mb": 10.0})).parts) == 1
    assert len(plan(make_recipe(write={"split_mb": 0.004})).parts) > 6


def test_another_file_changes_only_what_reads_it(tmp_path: Path, make_recipe: Callable[..., Recipe]) -> None:
    input_files(tmp_path, 2)
    recipe = make_recipe(write={"split_mb": 0.01})
    before = plan(recipe)
    write_jsonl(tmp_path / "9.jsonl", [{"text": prose(99)}])
    after = plan(recipe)
    assert len(names(before) - names(after)) <= 1  # the last part may take the new file in
    assert plan(recipe) == after


def test_a_changed_file_changes_its_parts_fingerprint(tmp_path: Path, make_recipe: Callable[..., Recipe]) -> None:
    input_files(tmp_path, 1)
    recipe = make_recipe()
    before = plan(recipe).parts[0]
    write_jsonl(tmp_path / "0.jsonl", [{"text": prose(row)} for row in range(11)])
    assert plan(recipe).parts[0].fingerprint != before.fingerprint


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path, make_recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(FileNotFoundError, match=r"\*\.jsonl"):
        plan(make_recipe())
