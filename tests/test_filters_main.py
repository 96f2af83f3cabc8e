"""The command line of the filter room."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import filters
from filters.__main__ import app


def run(*arguments: str, text: str = "") -> Result:
    return CliRunner().invoke(app, arguments, input=text)


def test_list_names_every_filter_with_its_first_line() -> None:
    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == filters.names()
    assert all(len(line.split()) > 4 for line in lines)


@pytest.mark.parametrize("name", filters.names())
def test_explain_prints_manual_settings_and_rules(name: str) -> None:
    result = run("explain", name)
    assert result.exit_code == 0
    for heading in ("Why", "Limits", "Source", "Settings"):
        assert f"\n{heading}\n" in result.stdout


def test_explain_shows_limits() -> None:
    shown = run("explain", "quality").stdout
    assert "    too_short: words < 50\n" in shown
    assert "    min_words = 50  (threshold)\n" in shown
    assert "    model = ''  (required)\n" in run("explain", "score").stdout


def test_try_prints_signals_and_every_reason() -> None:
    result = run("try", "quality", text="# the word")
    assert "rejected: too_short (words < 50)" in result.stdout
    assert "rejected: many_hashes (hashes_per_word > 0.1)" in result.stdout
    kept = run(
        "try", "quality", "--set", "min_words=1", "--set", 'stop_words=["of","a"]', text="words of a certain kind\n"
    )
    assert kept.stdout.endswith("kept\n")


def test_try_an_editor_and_a_filter_of_addresses(tmp_path: Path) -> None:
    shown = run("try", "c4_lines", text="This line [1] is long enough.\nMenu").stdout
    assert "citation: '[1]' -> ''" in shown
    assert shown.endswith("left:\nThis line  is long enough.\n\n")
    blocked = tmp_path / "domains.txt"
    blocked.write_text("bad.example\n")
    assert (
        "rejected: listed_domain"
        in run("try", "url", "--set", f"domains={blocked}", text="http://bad.example\n").stdout
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "qualty"], "no filter is called 'qualty'; there are: bias"),
        (["try", "quality", "--set", "words=3"], "expected NAME=VALUE with a name of stop_words"),
        (["try", "quality", "--set", "min_words=many"], "min_words takes a int"),
        (["try", "score"], "Score needs --set model=VALUE"),
        (["try", "score", "--set", "model=/nowhere"], "there is no file /nowhere"),
        (["train", "score", "--good", "/nowhere", "--bad", "/nowhere", "--out", "m.bin"], "/nowhere: no such file"),
    ],
)
def test_usage_errors_are_one_clear_line(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["list"], ["explain"], ["try"], ["train", "score"]])
def test_every_help_text_has_an_example(command: list[str]) -> None:
    shown = " ".join(run(*command, "--help").stdout.split())
    assert "Example: python -m filters" in shown


def test_train_score_ends_with_what_to_do_next(tmp_path: Path) -> None:
    for name, word in (("good", "river"), ("bad", "click")):
        rows = [json.dumps({"text": f"{word} and {i}"}) + "\n" for i in range(100)]
        (tmp_path / f"{name}.jsonl").write_text("".join(rows))
    paths = {name: str(tmp_path / name) for name in ("good.jsonl", "bad.jsonl", "m.bin")}
    arguments = ["--good", paths["good.jsonl"], "--bad", paths["bad.jsonl"], "--out", paths["m.bin"], "--epochs", "1"]
    result = run("train", "score", *arguments)
    assert result.exit_code == 0
    assert "AUROC" in result.stdout
    assert f"next: python -m filters try score --set model={paths['m.bin']}" in result.stdout


def test_the_module_runs_and_imports_neither_beam_nor_torch() -> None:
    code = "import sys, filters.__main__; print(sorted({'apache_beam', 'torch', 'fasttext'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
