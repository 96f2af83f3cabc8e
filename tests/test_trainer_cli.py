"""The commands: what they print, where they stop, and their exit status."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from small_corpus import chat_run, text_run
from tiny_training import ROOT, tiny_recipe

from trainer import cli
from trainer.cli import arguments, main
from trainer.failures import Failure, UsageFailure
from trainer.train import train

SMALL = [
    "tokenizer.vocab=300", "data.sequence_length=32", "data.validation=0.1", "model.depth=1", "model.width=32",
    "train.batch_tokens=256", "train.tokens=1536", "train.threads=1", "train.device=cpu", "train.sample_tokens=4",
]  # fmt: skip
SET = [word for change in SMALL for word in ("--set", change)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_run(tmp_path_factory.mktemp("cli") / "run", 40)


@pytest.fixture(scope="module")
def model(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "model"
    assert run("--corpus", str(corpus), "--out", str(out), *SET) == 0
    return out


def run(*words: str) -> int:
    """The exit status of `python -m trainer WORDS`, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["trainer", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("given", "meant"),
    [(["--corpus", "a"], ["train", "--corpus", "a"]), (["chat.toml"], ["train", "chat.toml"]),
     (["show", "m"], ["show", "m"]), (["-h"], ["-h"]), ([], [])],
)  # fmt: skip
def test_without_a_command_it_trains(given: list[str], meant: list[str]) -> None:
    assert arguments(given) == meant


def test_training_ends_with_a_trigrams_bits_and_what_to_do_next(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--corpus", str(corpus), "--out", str(tmp_path / "model"), *SET)
    assert run(*words) == 0
    said = capsys.readouterr().out
    assert re.search(r"6 steps, 1,536 tokens learnt from; best step 6", said)
    (line,) = [line for line in said.splitlines() if line.startswith("all ")]
    assert len(re.findall(r"\d\.\d{4}", line)) == 2  # the model's and the trigram's
    assert "next: python -m trainer generate" in said
    assert run(*words) == 0  # finished: says the same, from what is kept
    assert capsys.readouterr().out == said


def test_a_run_is_shown(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", str(model)) == 0
    said = capsys.readouterr().out
    assert re.search(r"last step +6: loss \d", said)
    assert re.search(r"checkpoints +.*6 \(\d\.\d{4}\)", said)


def test_documents_of_a_step_and_steps_of_a_document(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lineage", str(model), "--step", "2", "--limit", "3") == 0
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines() if re.match(r"[0-9a-f]{32} ", line)]
    assert len(rows) == 3
    losses = [float(row[3]) for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert re.search(r"The |the ", said)  # first words, since the corpus is there
    assert run("lineage", str(model), "--document", rows[0][0][:10]) == 0
    assert rows[0][0] in capsys.readouterr().out


def test_text_and_an_export_come_of_a_model(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", str(model), "--prompt", "the mill", "--tokens", "5", "--temperature", "0") == 0
    first = capsys.readouterr().out
    assert first.startswith("the mill")
    assert run("generate", str(model), "--prompt", "the mill", "--tokens", "5", "--temperature", "0") == 0
    assert capsys.readouterr().out == first
    assert run("export", str(model), "--out", str(tmp_path / "exported")) == 0
    assert (tmp_path / "exported" / "config.json").is_file()
    assert "next: transformers" in capsys.readouterr().out


def test_a_conversation_at_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    talks = chat_run(tmp_path / "run", 16)
    train(tiny_recipe(data__kind="chat", data__sequence_length=128, train__tokens=512), [talks], tmp_path / "model")
    said = iter(["hello", "and then?"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(said, ""))
    assert run("chat", str(tmp_path / "model"), "--tokens", "6", "--system", "Be short.") == 0
    assert capsys.readouterr().out.count("\n") >= 2


def test_a_tokenizer_is_trained_and_reported(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tokenizer", "--corpus", str(corpus), "--vocab", "320", "--out", str(tmp_path / "t")) == 0
    said = capsys.readouterr().out
    assert "320 tokens" in said
    assert re.search(r"books +en ", said)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--out", "m"], 2, "no --corpus RUN"),
        (["--corpus", "r"], 2, "no --out MODEL"),
        (["nothing.toml", "--corpus", "r", "--out", "m"], 2, "no such recipe"),
        (["--set", "train.token=3", "--corpus", "r", "--out", "m"], 2, "did you mean 'tokens'"),
        (["--corpus", "nowhere", "--out", "m"], 2, "nowhere: no such folder"),
        (["show", "nowhere"], 2, "no folder of a model"),
        (["generate", "nowhere"], 2, "no model.json"),
        (["lineage", "nowhere"], 2, "either --step N or --document ID"),
        (["lineage", "nowhere", "--step", "3"], 1, "nothing about step 3"),
        (["tokenizer"], 2, "no --corpus RUN"),
        (["tune"], 2, "no --corpus RUN"),
        (["scale", "--corpus", "r"], 2, "no --out DIR"),
        (["generate", "nowhere", "--top-p", "0"], 2, "--top-p 0.0"),
        (["--no-such-option"], 2, "No such option"),
    ],
)
def test_a_mistake_is_one_line_and_a_status(
    words: list[str], status: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(*words) == status
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not list(tmp_path.glob("m/*.json"))


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_every_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    assert f"Example: python -m trainer {name if name != 'train' else '--corpus'}" in capsys.readouterr().out


def test_every_command_is_known_by_its_name() -> None:
    assert set(typer.main.get_command(cli.app).commands) == set(cli._COMMANDS)  # type: ignore[attr-defined]


def test_failures_have_their_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for failure, status in ((Failure("a"), 1), (UsageFailure("b"), 2), (OSError(28, "No space left"), 1)):
        monkeypatch.setattr(cli, "app", lambda *_, failure=failure, **__: (_ for _ in ()).throw(failure))
        assert run("show", "m") == status
        assert capsys.readouterr().err.startswith("error: ")


def test_help_loads_no_torch() -> None:
    code = "import sys\nfrom trainer import cli\nassert 'torch' not in sys.modules and 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
