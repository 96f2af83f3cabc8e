"""docs/train.md says what the trainer does: every key with its default, every command, every recipe."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from trainer import recipe
from trainer.cli import app

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "train.md").read_text("utf-8")
COMMANDS = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
# Defaults that a table says in words.
IN_WORDS = {"targets": "all of attention and MLP", "": "empty", None: "unset"}


def rows(table: str) -> list[tuple[list[str], str, str]]:
    """(keys, meaning, default) of a table of the page."""
    section = PAGE.split(f"### [{table}]\n")[1].split("\n## ")[0].split("\n### ")[0]
    found = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [(re.findall(r"`(\w+)`", cells[0]), cells[1], cells[2]) for cells in found]


def said(key: str, value: Any) -> str:
    """A default as the page writes it."""
    if key in IN_WORDS:
        return IN_WORDS[key]
    if value in ("", None) or value == {}:
        return IN_WORDS[None if value is None else ""]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"`{value}`"
    if isinstance(value, tuple):
        return str(list(value)).replace("'", '"')
    whole = value == int(value)
    return f"{int(value):,}" if whole and abs(value) >= 10_000 else f"{value:g}" if value != 1e-6 else "1e-6"


@pytest.mark.parametrize("table", [field.name for field in dataclasses.fields(recipe.Recipe)])
def test_every_key_is_there_with_its_default(table: str) -> None:
    section = getattr(recipe.Recipe(), table)
    named = [key for keys, _, _ in rows(table) for key in keys]
    assert sorted(named) == sorted(field.name for field in dataclasses.fields(section))
    for keys, _, default in rows(table):
        wanted = [said(key, getattr(section, key)) for key in keys]
        assert default in (", ".join(wanted), wanted[0] if len(set(wanted)) == 1 else None), keys


def test_every_command_is_there_and_no_other() -> None:
    table = PAGE.split("| command | what it does |")[1].split("\n\n")[0]
    assert sorted(
        re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    ) == sorted(COMMANDS)
    for words in re.findall(r"-m trainer (.*)", PAGE):
        first = words.split()[0]
        assert first in COMMANDS or first.startswith(("-", "[")) or recipe.load(Path(first))


@pytest.mark.parametrize("line", [line.strip() for line in PAGE.splitlines() if re.match(r" {4}.*-m trainer ", line)])
def test_every_example_uses_options_that_are(line: str) -> None:
    words = line.split("-m trainer ")[1].split()
    command = COMMANDS[words[0] if words[0] in COMMANDS else "train"]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_every_recipe_that_comes_along_is_named_and_can_be_loaded() -> None:
    for path in (ROOT / "trainer" / "recipes").glob("*.toml"):
        assert f"`{path.stem}`" in PAGE or f"`trainer/recipes/{path.name}`" in PAGE
        if path.stem != "tune":
            assert recipe.load(path)


@pytest.mark.parametrize("name", ["tune", "scale"])
def test_a_search_has_a_command_with_help(name: str) -> None:
    assert f"Example: python -m trainer {name} " in (COMMANDS[name].help or "")
    assert all(getattr(parameter, "help", None) for parameter in COMMANDS[name].params)
