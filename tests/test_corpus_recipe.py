"""A recipe is right, or it is one clear line."""

import dataclasses
from pathlib import Path

import pytest

import filters
from corpus import recipe as recipes
from corpus.recipe import RecipeError

GOOD = """
steps = ["extract", "quality"]
[[sources]]
name = "web"
kind = "warc"
files = ["a.warc.gz"]
[quality]
min_words = 30
"""


def load(tmp_path: Path, text: str, *overrides: str) -> recipes.Recipe:
    path = tmp_path / "r.toml"
    path.write_text(text)
    return recipes.load(path, overrides)


def test_settings_reach_their_filter(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).settings["quality"].min_words == 30  # type: ignore[attr-defined]


def test_override_wins_over_the_file(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD, "quality.min_words=7", "sources.0.license=CC0", "extract.engine=fast")
    assert recipe.settings["quality"].min_words == 7  # type: ignore[attr-defined]
    assert (recipe.sources[0].license, recipe.extract.engine) == ("CC0", "fast")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("min_words", "min_wordz"), "unknown key 'quality.min_wordz' (did you mean 'min_words'?)"),
        (("= 30", '= "thirty"'), "quality.min_words: expected int, found 'thirty'"),
        (("= 30", "= true"), "quality.min_words: expected int, found True"),
        (('"quality"]', '"quallity"]'), "unknown step 'quallity' (did you mean 'quality'?)"),
        (('"quality"]', '"quality", "quality"]'), "'quality' is listed twice"),
        (('"extract", "quality"', '"quality", "extract"'), "'quality' reads text, so it must come after 'extract'"),
        (('kind = "warc"', 'kind = "word"'), "sources.kind: 'word'"),
        (('name = "web"', ""), "sources.name: this key is required"),
        (('["a.warc.gz"]', "[]"), "'web' names no file"),
        (("[quality]", "[fineweb]\n[quality]"), "[fineweb] has settings but is not in `steps`"),
        (("[quality]", '[extract]\nengine = "best"\n[quality]'), "extract.engine: 'best'"),
        (("[quality]", "[dedup]\nbands = 0\n[quality]"), "dedup: bands: 0"),
        (("[quality]", "[quality"), "not valid TOML"),
    ],
)
def test_mistakes_name_file_key_and_what_is_accepted(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    with pytest.raises(RecipeError) as error:
        load(tmp_path, GOOD.replace(*change))
    assert told in str(error.value)
    assert "r.toml" in str(error.value)
    assert "\n" not in str(error.value).strip()


@pytest.mark.parametrize("override", ["quality.min_words", "=3", "sources.5.name=x", "steps.x.y=3"])
def test_bad_override(tmp_path: Path, override: str) -> None:
    with pytest.raises(RecipeError, match="--set"):
        load(tmp_path, GOOD, override)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe"):
        recipes.load(tmp_path / "none.toml")


def test_fingerprint_changes_with_any_setting(tmp_path: Path) -> None:
    prints = {load(tmp_path, GOOD, *o).fingerprint() for o in ([], ["quality.min_words=31"], ["write.split_mb=1.0"])}
    assert len(prints) == 3


def test_resolved_recipe_is_the_same_recipe(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD)
    again = recipes.parse(recipe.resolved(), "resolved")
    assert again == recipe


@pytest.mark.parametrize("path", sorted(Path(recipes.__file__).parent.glob("recipes/*.toml")), ids=lambda p: p.stem)
def test_shipped_recipes_are_valid_and_say_how_to_run_them(path: Path) -> None:
    recipe = recipes.load(path)
    assert f"python -m corpus build corpus/recipes/{path.name} --out" in path.read_text()
    for name, step in recipe.settings.items():
        assert dataclasses.is_dataclass(step)
        assert isinstance(step, filters.Filter | filters.Editor), name
