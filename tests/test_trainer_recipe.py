"""Every mistake in a recipe is one line with the file, the key and what would be accepted."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.recipe import DEFAULT, Recipe, RecipeError, differences, load, parse, plain

SHIPPED = sorted(path.stem for path in DEFAULT.parent.glob("*.toml") if path.stem != "tune")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"train": {"token": 3}}, "unknown key 'train.token' (did you mean 'tokens'?); accepted: tokens, batch_tokens"),
        ({"trian": {}}, "unknown key 'trian' (did you mean 'train'?); accepted: tokenizer, data"),
        ({"data": {"kind": "txt"}}, "data.kind: expected 'text' or 'chat', found 'txt'"),
        ({"train": {"tokens": "many"}}, "train.tokens: expected a valid integer, found 'many'"),
        ({"train": {"tokens": True}}, "train.tokens: expected a valid integer, found True"),
        ({"train": {"tokens": 1.5}}, "train.tokens: expected a valid integer"),
        ({"train": 3}, "train: expected a table, found 3"),
        ({"train": {"seed": -1}}, "train.seed: expected greater than or equal to 0, found -1"),
        ({"optimizer": {"lr": float("nan")}}, "optimizer.lr: expected a finite number"),
        ({"optimizer": {"lr": 0}}, "optimizer.lr: expected greater than 0, found 0"),
        ({"optimizer": {"betas": [0.9]}}, "optimizer.betas.1: a value is missing"),
        ({"optimizer": {"betas": [0.9, 1.0]}}, "optimizer.betas: expected two numbers from 0 to below 1"),
        ({"data": {"mixture": {"a/*": 0}}}, "data.mixture.a/*: expected greater than 0"),
        ({"train": {"batch_tokens": 1000}}, "is no multiple of data.sequence_length = 256; try 1024"),
        ({"train": {"batch_tokens": 100}}, "try 256"),
        ({"train": {"micro_batch_tokens": 100}}, "train.micro_batch_tokens: must be 0 or a multiple"),
        ({"train": {"tokens": 10}}, "train.tokens: 10 is less than one step"),
        ({"data": {"validation": 1.0}}, "data.validation: 1 leaves nothing to train on"),
        ({"optimizer": {"warmup": 0.8}}, "optimizer.decay: with optimizer.warmup = 0.8 it is more than all steps"),
        ({"model": {"window_layers": "SX"}}, "model.window_layers: expected a word of S and L"),
        ({"model": {"window_layers": "SL"}}, "model.window: window_layers has an S"),
    ],
)
def test_a_mistake_names_file_key_and_what_is_accepted(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse(raw, "f.toml")
    assert str(error.value).startswith("f.toml: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.status == 2


@pytest.mark.parametrize("name", SHIPPED)
def test_recipes_that_come_along_can_be_run_and_read_by_name(name: str) -> None:
    assert load(Path(name)) == load(DEFAULT.with_name(f"{name}.toml"))


def test_the_default_recipe_is_the_schemas_defaults() -> None:
    # so that "what a recipe sets" can be told from what it leaves alone, when weights bring their own shape
    assert load(None) == Recipe()


def test_what_is_kept_beside_a_model_is_read_back() -> None:
    changed = load(
        None, ["optimizer.betas=[0.8, 0.9]", 'data.mixture={"new/*"=0.9}', "train.sample_prompts=['a', 'b']"]
    )
    assert parse(plain(changed), "x") == changed
    assert plain(changed)["optimizer"]["betas"] == [0.8, 0.9]


def test_changes_of_the_command_line() -> None:
    recipe = load(
        None, ["train.tokens=2_000_000", "data.kind=chat", "data.mixture.new/web.2024=0.5", "model.tied=true"]
    )
    assert (recipe.train.tokens, recipe.data.kind, recipe.model.tied) == (2_000_000, "chat", True)
    assert recipe.data.mixture == {"new/web.2024": 0.5}
    assert [key for key, _, _ in differences(Recipe(), recipe)] == [
        "data.kind", "data.mixture", "model.tied", "train.tokens"]  # fmt: skip


@pytest.mark.parametrize("change", ["train.tokens", "=3", "train.tokens.x=3", "train.nothing=1", "train=3"])
def test_a_bad_change_is_one_line(change: str) -> None:
    with pytest.raises(RecipeError):
        load(None, ["train.tokens=5000", change])


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"did you mean 'default'"):
        load(Path("defualt"))
    (tmp_path / "a.toml").write_text("a = [")
    with pytest.raises(RecipeError, match="not TOML"):
        load(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="not UTF-8"):
        load(tmp_path / "b.toml")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab.*=[é\n\0", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.*=[é\n\0", max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["train", "data", "model", "optimizer", "tokenizer", "x"])
NAMES = st.sampled_from(["tokens", "kind", "mixture", "lr", "betas", "depth", "tied", "vocab", "window_layers", "seed"])


@given(st.dictionaries(KEYS, VALUES | st.dictionaries(NAMES, VALUES, max_size=3), max_size=3))
def test_any_table_is_a_recipe_or_one_line(raw: dict[str, Any]) -> None:
    try:
        recipe = parse(raw, "f.toml")
    except RecipeError as error:
        assert str(error).startswith("f.toml: ")
    else:
        assert parse(plain(recipe), "f.toml") == recipe


@given(st.text("train.tokens=[]{}'\"0123é\n\0 ", max_size=20))
def test_any_change_is_carried_out_or_one_line(change: str) -> None:
    try:
        load(None, [change])
    except RecipeError as error:
        assert str(error)


def test_every_key_of_a_shipped_recipe_is_said_once() -> None:
    for name in SHIPPED:
        tomllib.loads(DEFAULT.with_name(f"{name}.toml").read_text("utf-8"))
