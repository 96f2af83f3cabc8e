"""A space of recipes: what can be picked can be run, and what cannot be searched is said at once."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import recipe_text, search_space
from trainer.model import shape_of
from trainer.recipe import Data, Model, Optimizer, Recipe, RecipeError, Tokenizer, Train, load, plain
from trainer.search_space import Choices, Range, change, picked_by, read

RATE = {"optimizer": {"lr": {"low": 0.001, "high": 0.1, "log": True}}}


def test_the_space_that_comes_along_holds_the_default_recipe_and_shapes_that_are() -> None:
    recipe = load(None)
    space = search_space.load(None, recipe)
    picked = picked_by(recipe, space)
    assert picked is not None
    assert change(recipe, space, picked) == recipe
    shapes = space["shape"]
    assert isinstance(shapes, Choices)
    for shape in shapes.options:
        for heads in ("one for each", "one for all"):
            changed = change(recipe, space, {**picked, "shape": shape, "heads": heads})
            assert shape_of(changed.model, 512).width


@given(st.data())
def test_what_is_picked_is_found_again(data: st.DataObject) -> None:
    raw = {
        **RATE,
        "train": {"batch_tokens": {"low": 256, "high": 2048, "step": 256}},
        "model": {"qk_norm": [True, False], "depth": {"low": 1, "high": 9}},
        "together": {"window": {"no": {"model.window": 0}, "yes": {"model.window": 8, "model.window_layers": "SL"}}},
    }
    space = read(raw, Recipe(), "t")
    picked: dict[str, Any] = {}
    for key, each in space.items():
        if isinstance(each, Choices):
            picked[key] = data.draw(st.sampled_from(list(each.options)))
        elif each.whole:
            picked[key] = data.draw(st.sampled_from(range(int(each.low), int(each.high) + 1, each.step or 1)))
        else:
            picked[key] = data.draw(st.floats(each.low, each.high))
    assert picked_by(change(Recipe(), space, picked), space) == picked


def test_lists_and_tables_are_choices_by_their_json() -> None:
    space = read({"optimizer": {"betas": [[0.9, 0.95], [0.8, 0.9]]}}, Recipe(), "t")
    assert picked_by(Recipe(), space) is None or picked_by(Recipe(), space) == {"optimizer.betas": "[0.9, 0.95]"}
    assert change(Recipe(), space, {"optimizer.betas": "[0.8, 0.9]"}).optimizer.betas == (0.8, 0.9)


def test_a_recipe_outside_the_space_has_no_pick() -> None:
    space = read(RATE, Recipe(), "t")
    assert picked_by(Recipe(optimizer=Optimizer(lr=0.5)), space) is None


def test_a_range_ends_on_a_step() -> None:
    space = read({"train": {"batch_tokens": {"low": 256, "high": 1000, "step": 256}}}, Recipe(), "t")
    assert space["train.batch_tokens"] == Range(256, 768, step=256, whole=True)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "nothing to search"),
        ({"optimizer": {"rate": [1, 2]}}, "optimizer.rate is no key"),
        ({"data": {"validation": [0.1, 0.2]}}, "data.validation cannot be searched"),
        ({"train": {"tokens": [4096, 8192]}}, "train.tokens cannot be searched"),
        ({"optimizer": {"lr": {"low": 1}}}, "expected {low = a, high = b}"),
        ({"optimizer": {"lr": {"low": 0.1, "high": 0.01}}}, "low < high"),
        ({"optimizer": {"lr": {"low": 0.0, "high": 1.0, "log": True}}}, "above 0"),
        ({"optimizer": {"lr": {"low": -1.0, "high": 1.0}}}, "optimizer.lr = -1.0"),
        ({"optimizer": {"lr": [0.1]}}, "at least two choices"),
        ({"optimizer": {"lr": [0.1, 0.1]}}, "there twice"),
        ({"optimizer": {"schedule": ["wsd", "step"]}}, "schedule"),
        ({"optimizer": {"schedule": {"low": 1, "high": 2}}}, "a list of choices"),
        ({"model": {"depth": {"low": 1.5, "high": 2}}}, "whole numbers"),
        ({"model": {"window": [0, 64]}}, "window"),
        ({"optimizer": 3}, "expected a table"),
        ({"together": {"a": {"x": {"model.depth": 2}}}}, "at least two options"),
        ({**RATE, "together": {"a": {"x": {"optimizer.lr": 0.1}, "y": {}}}}, "leave one of them out"),
    ],
)
def test_a_bad_space_names_the_key(raw: dict[str, Any], said: str) -> None:
    if raw == {"model": {"window": [0, 64]}}:
        recipe = Recipe(model=Model(window=64, window_layers="SL"))  # without a window, S has no meaning
    else:
        recipe = Recipe()
    with pytest.raises(RecipeError, match=said.replace("{", r"\{").replace("}", r"\}")) as caught:
        read(raw, recipe, "space.toml")
    assert "space.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("= 3")
    for name in ("none.toml", "bad.toml"):
        with pytest.raises(RecipeError, match=name):
            search_space.load(tmp_path / name, Recipe())


@given(
    path=st.text(st.characters(codec="utf-8"), max_size=20),
    names=st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), st.floats(0.01, 9), max_size=3),
    lr=st.floats(1e-9, 1e9),
    tied=st.sampled_from([True, False]),
)
def test_a_recipe_as_text_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, path: str, names: dict[str, float], lr: float, tied: bool
) -> None:
    recipe = Recipe(
        tokenizer=Tokenizer(path=path),
        data=Data(mixture=names),
        model=Model(tied=tied),
        optimizer=Optimizer(lr=lr, betas=(0.5, 0.75)),
        train=Train(sample_prompts=(path, "")),
    )
    file = tmp_path_factory.getbasetemp() / "recipe.toml"
    file.write_bytes(recipe_text.text(recipe, "two\nlines").encode())
    assert plain(load(file)) == plain(recipe)
