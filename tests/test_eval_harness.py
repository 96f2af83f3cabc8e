"""lm-evaluation-harness on our checkpoints says of the same items what our own readers say."""

import json
import math
from pathlib import Path
from typing import Any

import duckdb
import pytest
import torch
from conftest import prose
from small_model import trained

from corpus.failures import Failure
from eval import suite_scores
from eval.cli import app
from eval.document_losses import open_scorer
from eval.public_suites import load
from eval.suites import Item, Suite, write

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "quality_eval"
PUBLIC = {
    "blimp_first500": "acc",
    "arc_easy": "acc_bytes",
    "winogrande": "acc",
    "boolq": "acc",
    "lambada_openai": "acc",
}
torch.set_num_threads(1)


def harness(*arguments: object) -> None:
    app(["harness", *map(str, arguments)], standalone_mode=False)


def test_without_the_extra_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.delitem(sys.modules, "eval.harness", raising=False)
    with pytest.raises(Failure, match=r"winnow-corpus\[harness\]"):
        harness(trained()[0], "--suite", tmp_path)


def suites() -> dict[str, Suite]:
    """Every form and scoring, in more than one language."""
    greek = [("Η Άννα αγόρασε", (" ένα σπίτι", " δύο βάρκες μεγάλες", " 图书"), 1), ("Το λιμάνι", (" ήταν", " "), 0)]
    plain = [(prose(n, 1)[:40], (f" {prose(n)[40:60]}", f" {prose(n + 9)[40:80]}"), n % 2) for n in range(6)]
    found = {}
    for scoring in ("sum", "per_byte", "pmi"):
        items = [Item(f"{n}", "choice", (p,), c, a) for n, (p, c, a) in enumerate([*plain, *greek])]
        found[f"choices-{scoring}"] = Suite(f"choices-{scoring}", tuple(items), scoring)
    contexts = [Item(f"c{n}", "partial", (prose(n)[:30], prose(n + 5)[:34]), (" and more",), n % 2) for n in range(5)]
    alone = [Item(f"a{n}", "continuation", (prose(n)[:30],), (prose(n)[30:40],), 0) for n in range(5)]
    found["mixed"] = Suite("mixed", (*contexts, *alone))
    return found


METRICS = {"sum": "acc", "per_byte": "acc_bytes", "pmi": "acc_mutual_info"}


def agree(suite: Suite, metric: str) -> list[bool]:
    """Of each item, whether both readers say the same; items with equal scores are nobody's."""
    from eval import harness

    scorer = open_scorer(trained()[0])
    mine = {row["id"]: row for row in suite_scores.score(scorer, suite).to_pylist()}
    figures, items = harness.run(scorer, [suite])
    theirs = {row["item"]: dict(row["metrics"])[metric] for row in items.to_pylist()}
    assert theirs.keys() == mine.keys()
    assert sum(n for (n,) in {(r["items"], r["task"]): (r["items"],) for r in figures.to_pylist()}.values()) == len(
        mine
    )
    return [row["right"] == (theirs[name] == 1) for name, row in mine.items() if row["margin"] != 0]


@pytest.mark.parametrize("name", suites())
def test_every_form_and_scoring_agrees(name: str) -> None:
    pytest.importorskip("lm_eval", reason="the extra `harness` is not installed")
    suite = suites()[name]
    assert all(agree(suite, METRICS[suite.scoring]))


@pytest.mark.parametrize("name", PUBLIC)
def test_public_tests_agree(name: str) -> None:
    pytest.importorskip("lm_eval", reason="the extra `harness` is not installed")
    path = next((p for p in (*DATA.glob(f"{name}.*"), *DATA.glob(f"icl/{name}.*"))), None)
    if path is None:
        pytest.skip("the public texts are not there")
    suite = load(path, limit=30)
    assert len(suite.items) == 30
    assert all(agree(suite, PUBLIC[name]))


def test_texts_and_generation_are_answered() -> None:
    pytest.importorskip("lm_eval", reason="the extra `harness` is not installed")
    from eval import harness

    scorer = open_scorer(trained()[0])
    model = harness.Checkpoint(scorer)
    request = type("Request", (), {})

    def asked(*arguments: Any) -> Any:
        made = request()
        made.args = arguments
        return made

    texts = [prose(1), "", "图书馆"]
    found = model.loglikelihood_rolling([asked(text) for text in texts])
    assert found == pytest.approx([-math.fsum(n[:-1]) for n in scorer.texts(texts)])  # without the text's end
    whole, cut = model.generate_until([asked("The river", {"max_gen_toks": 9}), asked("The river", {"until": [" "]})])
    assert len(scorer.encoded(whole)) <= 9
    assert " " not in cut


def test_the_command_writes_parquet_and_runs_yaml_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lm_eval", reason="the extra `harness` is not installed")
    write(suites()["mixed"], tmp_path / "s" / "mixed.jsonl")
    rows = [{"q": prose(n)[:20], "a": prose(n)[20:30]} for n in range(4)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "own.yaml").write_text(
        f"""task: own
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path}/own.jsonl}}}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{a}}}}"
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
    )
    model = trained()[0]
    harness(model, "--suite", tmp_path / "s", "--task", "own", "--include", tmp_path, "--limit", 3, "--out", tmp_path)
    with duckdb.connect() as db:
        found = db.execute(f"select task, items from '{tmp_path}/harness.parquet' where metric = 'acc'").fetchall()
        items = db.execute(f"select count(*) from '{tmp_path}/harness-items.parquet'").fetchone()
    assert sorted(found) == [("mixed-contexts", 3), ("mixed-continuation", 3), ("own", 3)]
    assert items == (9,)
    with pytest.raises(Failure, match="no such task"):
        harness(model, "--task", "none of these", "--out", tmp_path)
    with pytest.raises(Failure, match="name what to run"):
        harness(model)
    assert "figures of 9 items" in capsys.readouterr().out


def test_an_empty_suite_gives_empty_tables(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason="the extra `harness` is not installed")
    write(Suite("none", ()), tmp_path / "none.jsonl")
    harness(trained()[0], "--suite", tmp_path / "none.jsonl", "--out", tmp_path)
    with duckdb.connect() as db:
        assert db.execute(f"select count(*) from '{tmp_path}/harness.parquet'").fetchone() == (0,)
