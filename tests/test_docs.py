"""README, docs and help texts say what the code does."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import filters
from corpus import dedup, readers, recipe, schema
from corpus.cli import app as corpus_app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = dict(typer.main.get_command(corpus_app).commands)  # type: ignore[attr-defined]


def test_readme_names_every_command_and_no_other() -> None:
    named = set(re.findall(r"python -m corpus (\w+)", README))
    assert named - {"COMMAND"} == set(COMMANDS)


def test_readme_names_every_filter() -> None:
    row = next(line for line in README.splitlines() if line.startswith("| `filters/`"))
    assert sorted(re.findall(r"`(\w+)`", row)) == filters.names()


def test_readme_and_docs_name_files_that_exist() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for path in re.findall(r"`((?:corpus|docs|benchmarks|filters|tests)/[\w/.]+)`", page.read_text("utf-8")):
            assert (ROOT / path).exists(), f"{page.name} names {path}"
    for name in re.findall(r"`(\w+\.toml)`", README):
        assert (ROOT / "corpus" / "recipes" / name).exists()


def test_readme_is_a_page_and_names_the_two_commands() -> None:
    assert len(README.splitlines()) < 120
    makefile = (ROOT / "Makefile").read_text()
    for command in ("demo", "test"):
        assert f"make {command}" in README
        assert f"\n{command}: " in makefile


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(name: str) -> None:
    command = COMMANDS[name]
    example = re.search(rf"Example: python -m corpus {name}( .*)?$", command.help or "", re.MULTILINE)
    assert example, f"{name} has no example"
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


def test_every_key_of_a_recipe_is_documented() -> None:
    page = (ROOT / "docs" / "recipe.md").read_text("utf-8")
    for section in (recipe.Source, recipe.Extract, recipe.Write, dedup.Settings, readers.Settings):
        for field in dataclasses.fields(section):
            assert f"`{field.name}`" in page, f"{section.__name__}.{field.name}"
    for kind in readers.kinds():
        assert f"`{kind}`" in page


def test_every_column_of_a_run_is_documented() -> None:
    page = (ROOT / "docs" / "run.md").read_text("utf-8")
    structs = (schema.PROVENANCE, schema.META, schema.TURN, schema.CHAPTER, schema.HIT, schema.EVIDENCE)
    tables = (schema.DOCUMENT, schema.LEDGER, schema.DUPLICATES, schema.EDITS)
    for name in {field.name for table in (*tables, *structs) for field in table}:
        assert f"`{name}`" in page, name


def test_versions_are_pinned_and_agree() -> None:
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert pinned["torch"] == "2.13.0"
    wanted = re.search(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    assert wanted
    lowered = {name.lower().replace("_", "-") for name in pinned}
    for name in re.findall(r'^\s+"([\w.-]+)', wanted[1], re.MULTILINE):
        assert name.lower().replace("_", "-") in lowered, f"{name} is not pinned"


def test_unknown_command_is_exit_2() -> None:
    command = [sys.executable, "-m", "corpus", "bild"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "bild" in run.stderr
