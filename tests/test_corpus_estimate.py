"""What a build will cost: exact where the sample is all there is, and the same sample every time."""

import json
from pathlib import Path

import pytest
from small_run import small_run
from typer.testing import CliRunner

from corpus import recipe as recipes
from corpus.cli import app
from corpus.estimate import Cost, Estimate, _by_source, _in_pieces, draw, estimate, rows
from corpus.plan import Plan, plan


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("estimate"))


@pytest.fixture(scope="module")
def all_of_it(run: Path) -> Estimate:
    return estimate(run.parent / "recipe.toml", parts_per_source=1_000)


def test_a_sample_of_everything_is_the_build_itself(run: Path, all_of_it: Estimate) -> None:
    told = json.loads((run / "manifest.json").read_text())
    assert all_of_it.num_sampled == all_of_it.num_parts == len(told["parts"])
    whole = all_of_it.whole
    assert (whole.read, whole.kept) == (told["read"], told["docs"])
    assert whole.input_bytes == sum(file["bytes"] for file in told["inputs"])
    docs = sum(path.stat().st_size for path in (run / "docs").iterdir())
    assert docs < whole.output_bytes < 20 * docs
    assert whole.shuffle_bytes > 16 * told["docs"]  # a hash and a name for each band at least
    assert whole.core_hours > 0
    assert whole.words < whole.tokens < 3 * whole.words


def test_a_part_of_it_is_scaled_by_bytes(run: Path, all_of_it: Estimate) -> None:
    found = estimate(run.parent / "recipe.toml", parts_per_source=2)
    assert found.num_sampled >= 2  # something of each source
    assert found.sample.input_bytes < found.whole.input_bytes == pytest.approx(all_of_it.whole.input_bytes)
    assert found.whole.read == pytest.approx(all_of_it.whole.read, rel=0.9)  # a few dozen pages


def test_the_same_parts_are_drawn_in_any_order_of_the_plan(run: Path) -> None:
    planned = plan(recipes.load(run.parent / "recipe.toml"))
    turned = type(planned)(planned.parts[::-1], planned.inputs)
    assert draw(planned, planned, 2) == draw(turned, turned, 2)
    assert {part.source.name for part in draw(planned, planned, 1)} == {"pages", "teasers"}


def test_small_pieces_make_as_many_parts_as_were_asked_for(run: Path) -> None:
    recipe = recipes.load(run.parent / "recipe.toml")
    planned, pieces = plan(recipe), _in_pieces(recipe)
    asked = max(len(parts) for parts in _by_source(planned).values()) - 1
    [(name, drawn)] = [
        (n, p) for n, p in _by_source(Plan(tuple(draw(planned, pieces, asked)), ())).items() if len(p) == asked
    ]
    taken = [split for part in drawn for split in part.splits]
    assert len(taken) == len(set(taken)) > asked  # several to a part, none twice
    assert set(taken) <= {split for part in _by_source(pieces)[name] for split in part.splits}
    assert len({part.name for part in drawn}) == asked


def test_price_and_sizes_follow_from_words() -> None:
    cost = Cost(input_bytes=100, read=10, kept=5, words=1_000, tokens=1_500, documents_seconds=3_600)
    columns, told = rows(Estimate(cost, cost.times(10), 1, 10, 1.0), price=2.0)
    assert columns == ["", "sample", "whole input", "10 billion words", "1 trillion words"]
    by_name = {row[0].strip(): row[1:] for row in told}
    assert by_name["core-hours"] == ["1", "10", "1e+07", "1e+09"]
    assert by_name["price"] == ["2", "20", "2e+07", "2e+09"]
    assert by_name["words kept"][1:] == ["10,000", "1e+10", "1e+12"]


def test_the_command_prints_a_table(run: Path) -> None:
    options = ["--sample", "1", "--core-hour-price", "0.05"]
    said = CliRunner().invoke(app, ["estimate", str(run.parent / "recipe.toml"), *options])
    assert said.exit_code == 0, said.output
    for word in ("core-hours", "tokens kept", "shuffle", "disk, corpus", "price", "1 trillion words", "next:"):
        assert word in said.output
