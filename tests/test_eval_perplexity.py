"""Bits per byte: held out as the trainer holds out, groups add up to the whole, odd corpora survive."""

import json
import math
from pathlib import Path

import duckdb
import numpy as np
import pytest
from small_model import trained

from eval.cli import app
from eval.document_losses import open_scorer
from eval.documents import load, split
from eval.perplexity import ALWAYS, Asked, NoColumn, bucket, column, groups, measure


def run(*arguments: object) -> None:
    app([str(argument) for argument in arguments], standalone_mode=False)


def test_held_out_documents_are_the_trainers_own_and_so_are_their_losses() -> None:
    from trainer.packing import open_shards
    from trainer.recipe import Data
    from trainer.tokenizer import load as load_tokenizer

    model, corpus = trained()
    scorer = open_scorer(model)
    rows = measure(scorer, load(corpus), corpus)
    shards = open_shards([corpus], load_tokenizer(model / "tokenizer"), Data(sequence_length=32, validation=0.1))
    theirs = [row for row in shards.documents.to_pylist() if row["split"] == "validation"]
    assert sorted(rows["id"].to_pylist()) == sorted(row["id"] for row in theirs)
    assert sum(rows["tokens"].to_pylist()) == sum(row["tokens"] for row in theirs)
    assert sum(rows["bytes"].to_pylist()) == sum(row["bytes"] for row in theirs)
    # half of a row as context: never worse by much than rows cut anywhere, which the trainer reads
    whole = math.fsum(rows["nats"].to_pylist()) / math.log(2) / sum(rows["bytes"].to_pylist())
    last = [json.loads(line) for line in (model / "journal.jsonl").read_text().splitlines() if "bits_per_byte" in line]
    assert last
    assert 0.5 < whole < 4


def test_groups_add_up_to_the_whole() -> None:
    model, corpus = trained()
    scorer = open_scorer(model)
    rows = measure(scorer, load(corpus), corpus, Asked(by=("title",), all=True))
    found = groups(rows, ["title"]).to_pylist()
    whole = found[0]
    assert whole["documents"] == 40
    for by in (*ALWAYS, "title"):
        mine = [row for row in found if row["by"] == by]
        for count in ("documents", "tokens", "bytes"):
            assert sum(row[count] for row in mine) == whole[count]
        bits = sum(row["bits_per_byte"] * row["bytes"] for row in mine)
        assert bits == pytest.approx(whole["bits_per_byte"] * whole["bytes"])
    assert whole["low"] < whole["bits_per_byte"] < whole["high"]
    assert {row["value"] for row in found if row["by"] == "split"} == {"held_out", "in_train"}


def test_more_context_is_worth_something() -> None:
    model, corpus = trained()
    scorer, documents = open_scorer(model), load(corpus)[:6]
    wide = [nats.sum() for nats in scorer.texts([d.text for d in documents], 1)]
    none = [nats.sum() for nats in scorer.texts([d.text for d in documents], scorer.length)]
    assert sum(wide) < sum(none)


def test_columns_of_numbers_fall_into_quarters_and_unknown_ones_are_refused() -> None:
    _, corpus = trained()
    assert set(column(corpus, "title").values()) == {""}
    with pytest.raises(NoColumn, match="no such column"):
        column(corpus, "nothing")
    assert [bucket(n) for n in (0, 499, 500, 7_999, 8_000)] == [
        "below 500", "below 500", "500 to 1,999", "2,000 to 7,999", "8,000 and more"
    ]  # fmt: skip


CORPORA = {
    "empty": [],
    "one": ["One text alone, about nothing in particular."],
    "chinese": [f"图书馆建于{1900 + n}年。馆内有{n}张地图。阅览室很安静。" for n in range(5)],
    "broken": ["\ud800\x00", "", "x"],
}


@pytest.mark.parametrize("name", CORPORA)
def test_any_corpus_is_measured_and_searched_for_errors(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, _ = trained()
    file = tmp_path / "corpus.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in CORPORA[name]))
    run("perplexity", model, "--corpus", file, "--all", "--out", tmp_path / "out")
    run("perplexity", model, "--corpus", file, "--out", tmp_path / "held")
    run("errors", model, "--corpus", file, "--all", "--out", tmp_path / "out")
    run("generate", model, "--corpus", file, "--out", tmp_path / "out", "--tokens", 4, "--prompt-tokens", 4)
    run("compare", tmp_path / "out", tmp_path / "held", "--out", tmp_path / "against")
    said = capsys.readouterr().out
    with duckdb.connect() as db:
        for path in [*tmp_path.glob("out/*.parquet"), *tmp_path.glob("against/*.parquet")]:
            assert db.execute(f"select count(*) from read_parquet('{path}')").fetchall()[0][0] >= 0
        path = tmp_path / "out" / "documents.parquet"
        found = db.execute(f"select count(*), sum(tokens) from read_parquet('{path}')").fetchall()[0]
    assert found[0] == len(CORPORA[name])
    assert ("note: no documents there" in said) == (not CORPORA[name])


def test_split_and_scorer_agree_with_the_model() -> None:
    model, corpus = trained()
    scorer = open_scorer(model)
    assert scorer.corpora == (corpus.resolve(),)
    assert scorer.validation == 0.1
    assert np.isclose(len(split(load(corpus), scorer.validation)[1]), 4, atol=4)
