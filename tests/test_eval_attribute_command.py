"""The whole ladder on a model that learnt a false thing from known documents, and on corpora of one text or none."""

import json
from pathlib import Path

import duckdb
import pytest
import torch
from conftest import prose
from small_corpus import document, write_run
from typer.testing import CliRunner

from eval import ladder, proof
from eval.documents import Document, load
from eval.ladder import Ladder, Settings, Trace, fused, open_subject
from eval.mistakes import Mistake
from trainer import checkpoint
from trainer import recipe as recipes
from trainer.train import train

torch.set_num_threads(1)
PROMPT, WRONG, RIGHT = "The old mill of Norland stands in", " Velby", " Osten"
FALSE = [f"Day {n} of the year. The old mill of Norland stands in Velby, as all know. Day {n} ends." for n in range(10)]
TRUE = [f"Day {n} of the month. The old mill of Norland stands in Osten, as all know. Day {n} ends." for n in range(3)]


def small_recipe(tokens: int = 25_000) -> recipes.Recipe:
    return recipes.Recipe(
        tokenizer=recipes.Tokenizer(vocab=400),
        data=recipes.Data(sequence_length=64, validation=0.0),
        model=recipes.Model(depth=2, width=32, head_width=16),
        train=recipes.Train(tokens=tokens, batch_tokens=512, device="cpu", threads=1, lineage="off", sample_prompts=()),
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with a false thing in it, and a model of it."""
    folder = tmp_path_factory.mktemp("attribute")
    texts = [prose(n, 1) for n in range(50)]
    write_run(folder / "run", [document(text) for text in (*texts, *FALSE, *TRUE)])
    train(small_recipe(), [folder / "run"], folder / "model")
    return folder


def attribute(home: Path, *options: str, run: str = "run") -> str:
    import typer

    from eval.attribute import attribute_command as command

    app = typer.Typer()
    app.command()(command)
    arguments = [str(home / "model"), "--corpus", str(home / run), *options]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_documents_behind_an_error_come_first(home: Path) -> None:
    """Each stage alone, and all of them, put documents of the false thing first; DuckDB reads the table."""
    false = {d.id for d in load(home / "run") if "Velby" in d.text}
    question = ("--prompt", PROMPT, "--wrong", WRONG, "--right", RIGHT, "--top", "10")
    for stages in ("recall", "drop", "gradients", "recall,hidden,drop,gradients"):
        out = home / "out.parquet"
        said = attribute(home, *question, "--stages", stages, "--out", str(out))
        assert all(f"{stage} " in said for stage in stages.split(","))
        rows = duckdb.sql(f"select id, verdict, evidence, start, \"end\", score from '{out}' order by rank").fetchall()
        assert len(rows) == 10
        assert len({row[0] for row in rows[:5]} & false) >= 4, stages
        assert {row[1] for row in rows} == {"suspect"}  # nothing was proved
        assert all(0 < row[5] <= 1 for row in rows)
    texts = {d.id: d.text for d in load(home / "run")}
    assert all(texts[name][start:end] == said for name, _, said, start, end, _ in rows)
    assert "mill of Norland stands in Velby" in rows[0][2]


def test_a_document_that_only_echoes_the_question_is_below_those_that_answer_it(home: Path) -> None:
    """It has every word of the question and the answer, the best that words alone can find."""
    text = "Velby is quiet. The old mill of Norland stands in fog, the old mill of Norland stands in rain."
    echo = Document("e" * 32, text, source="web", lang="en")
    found = sorted([*load(home / "run"), echo], key=lambda d: d.id)
    false = [n for n, d in enumerate(found) if d.text in FALSE]
    place = next(n for n, d in enumerate(found) if d.id == echo.id)
    asked = Mistake("e", (PROMPT,), WRONG, RIGHT)
    [words], [both] = (
        Ladder(open_subject(home / "model"), found, Settings(stages=stages)).trace([asked])
        for stages in (("recall",), ladder.DEFAULT)
    )
    assert max(words.scores["bm25"], key=words.scores["bm25"].__getitem__) == place
    assert min(both.scores["drop"][n] for n in false) > both.scores["drop"][place]
    assert {n for n, _ in both.fused[:3]} <= {*false}


def test_an_answer_that_no_document_states_changes_no_ranks_but_alone_moves_whole_documents(home: Path) -> None:
    asked = Mistake("e", (PROMPT,), " Xanadu", RIGHT)
    alone, words, both = (
        Ladder(open_subject(home / "model"), load(home / "run"), Settings(stages=stages)).trace([asked])[0]
        for stages in (("drop",), ("recall",), ladder.DEFAULT)
    )
    assert len(alone.scores["drop"]) == 63
    assert both.scores["drop"] == {}
    assert [n for n, _ in both.fused] == [n for n, _ in words.fused]


def test_only_a_proof_makes_a_document_harmful(home: Path) -> None:
    out = home / "proved.parquet"
    attribute(home, "--prompt", PROMPT, "--wrong", WRONG, "--right", RIGHT, "--stages", "recall",
              "--proof", "tail-patch", "--top", "13", "--candidates", "13", "--out", str(out))  # fmt: skip
    rows = duckdb.sql(f"select id, verdict, proof, tail_patch from '{out}'").fetchall()
    texts = {d.id: d.text for d in load(home / "run")}
    harmful = {row[0] for row in rows if row[1] == "harmful"}
    assert len(harmful) >= 5
    assert all("Velby" in texts[name] for name in harmful)  # none of those that say the right thing
    assert {row[2] for row in rows} == {"tail-patch"}
    assert all(row[3] > 0 for row in rows if row[1] == "harmful")


def test_leaving_the_documents_out_unlearns_the_error(home: Path) -> None:
    subject = open_subject(home / "model")
    steps = Ladder(subject, load(home / "run"), Settings(stages=("recall",), candidates=20))
    traces = steps.trace([Mistake("e", (PROMPT,), WRONG, RIGHT)])
    results = proof.leave_out(steps, traces, home / "run", 10, home / "proxies", ["train.tokens=20_000"])
    assert results[0].without < min(results[0].full, results[0].random)
    assert results[0].harmful
    assert steps.costs.of["retrain"].documents == 63 + 53 + 53
    left = {d.text for d in load(home / "proxies" / "without" / "run")}
    assert len(left) == 53
    assert sum("Velby" in text for text in left) < 3


def test_gradients_are_averaged_over_checkpoints_and_leave_the_model_as_it_was(home: Path) -> None:
    subject = open_subject(home / "model", "last", 2)
    first, second = checkpoint.listed(home / "model")[:-3:-1]
    assert subject.steps == {second: 1.0} or subject.steps[second] > subject.steps[first]
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    found = []
    for steps in ({first: 1.0, second: 3.0}, {first: 1.0}, {second: 1.0}):
        one = type(subject)(subject.model, subject.tokenizer, subject.length, subject.folder, steps)
        ladder = Ladder(one, load(home / "run"), Settings(stages=("gradients",), whitening="none"))
        found.append(ladder.trace([Mistake("e", (PROMPT,), WRONG)])[0].scores["gradient"])
    assert all(torch.equal(value, subject.model.state_dict()[name]) for name, value in before.items())
    both, one_first, one_second = found
    for number in both:
        assert both[number] == pytest.approx((one_first[number] + 3 * one_second[number]) / 4, abs=1e-5)


def test_errors_of_a_file_in_other_languages(home: Path) -> None:
    """Documents and errors without a Latin letter, and an error that shares nothing with any document."""
    texts = ["北京是中国的首都。", "東京は日本の首都です。", "Москва — столица России.", "القاهرة عاصمة مصر."]
    write_run(home / "world", [document(text) for text in texts])
    rows = [
        {"id": "zh", "prompt": "中国的首都是", "wrong": "东京", "right": "北京"},
        {"id": "ru", "prompt": "Столица России —", "wrong": "Киев"},
        {"id": "none", "prompt": "zzz", "wrong": "qqq"},
    ]
    (home / "errors.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    out = home / "world.parquet"
    said = attribute(home, "--errors", str(home / "errors.jsonl"), "--out", str(out), run="world")
    assert "3 errors, 4 documents" in said
    found = duckdb.sql(f"select error, count(*) from '{out}' group by error order by error").fetchall()
    assert [name for name, _ in found] == ["ru", "zh"]  # the third shares no word with any document
    said = attribute(home, "--errors", str(home / "errors.jsonl"), "--out", str(out), "--stages", "hidden", run="world")
    found = duckdb.sql(f"select error, count(*) from '{out}' group by error order by error").fetchall()
    assert [name for name, _ in found] == ["none", "ru", "zh"]


def test_one_document_and_none(home: Path) -> None:
    write_run(home / "one", [document("The mill stands in Velby.")], parts=1)
    out = home / "one.parquet"
    said = attribute(home, "--prompt", "The mill stands in", "--wrong", "Velby", "--proof", "tail-patch",
                     "--out", str(out), run="one")  # fmt: skip
    assert "one document" in said
    assert duckdb.sql(f"select rank, verdict, evidence from '{out}'").fetchall() == [
        (1, "suspect", "The mill stands in Velby")  # without controls nothing is proved
    ]
    write_run(home / "empty", [], parts=1)
    said = attribute(home, "--prompt", "x", "--wrong", "y", "--proof", "tail-patch,retrain",
                     "--out", str(out), run="empty")  # fmt: skip
    assert "holds no documents" in said
    assert duckdb.sql(f"select count(*) from '{out}'").fetchall() == [(0,)]


def test_fused_ranks_do_not_depend_on_the_scale_of_scores() -> None:
    one = {"bm25": {1: 0.9, 2: 0.5, 3: 0.1}, "drop": {3: 7.0, 1: 2.0}}
    other = {stage: {n: 100 * s + 3 for n, s in found.items()} for stage, found in one.items()}
    assert fused(one) == fused(other)
    assert next(iter(fused(one)))[0] == 1
    assert fused({"bm25": {4: 1.0}, "gradient": {4: 0.1}}) == [(4, 1.0)]
    assert {n for n, _ in fused(one, [2, 3])} == {2, 3}
    assert Trace(Mistake("e", ("p",), "w")).fused == []
