"""docs/evaluate.md and help texts say what the code does."""

import re
import shlex
from pathlib import Path

import click
import pytest
import typer

from eval.cli import app
from eval.errors import ERRORS
from eval.generated import CHECKED
from eval.loop import Paths, Settings
from eval.suite_scores import measures

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "evaluate.md").read_text("utf-8")


def commands(group: click.Command, name: str = "") -> dict[str, click.Command]:
    found = getattr(group, "commands", None)
    if not found:
        return {name.strip(): group}
    return {k: v for n, c in found.items() for k, v in commands(c, f"{name} {n}").items()}


COMMANDS = commands(typer.main.get_command(app))


def test_the_page_names_every_command_that_needs_a_model() -> None:
    for name in ("perplexity", "suite score", "generate", "judge", "errors", "flag", "attribute", "compare", "loop"):
        assert name in COMMANDS
        assert f"python -m eval {name}" in PAGE


@pytest.mark.parametrize("line", re.findall(r"^    (?:.*: )?(python -m eval .*)$", PAGE, re.MULTILINE))
def test_the_pages_commands_parse(line: str) -> None:
    words = shlex.split(line.partition("#")[0])[3:]
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    command = COMMANDS[name]
    rest = words[len(name.split()) :]
    command.make_context(name, rest)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name: str) -> None:
    for parameter in COMMANDS[name].params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


def test_the_page_has_every_column_measure_and_folder() -> None:
    for column in (*ERRORS.names, "order_score", "responsiveness", "support", "ended", "length_ratio"):
        assert f"`{column}`" in PAGE, column
    row = {
        "id": "1", "document": "", "nats": 1.0, "bytes": 1, "right": True, "chance": 0.5, "rank": 1, "margin": 1.0,
        "beaten": 1.0,
    }  # fmt: skip
    for measure in measures([row]):
        assert f"`{measure}`" in PAGE, measure
    assert {"check", "model", "human"} <= set(CHECKED.names)
    paths = Paths(Path("demo/loop"))
    for path in (paths.report, paths.flagged, paths.attributed, paths.corrections):
        assert f"`{path.name}`" in PAGE
    for path in (paths.run_1, paths.run_2, paths.run_random, paths.planted, paths.errors, paths.model(1, 0)):
        assert f"`{path.name}/`" in PAGE, path


def test_what_the_page_says_of_the_loop_is_so() -> None:
    assert Settings().seeds == 3
    assert Settings().share == 0.2
    assert "\nloop: .venv/complete" in (ROOT / "Makefile").read_text()
