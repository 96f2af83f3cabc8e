"""The detector's laws, and `flag` on corpora of every size, without and with a model."""

import json
import math
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conftest import prose
from small_corpus import document as row
from small_corpus import write_run
from typer.testing import CliRunner

from corpus.failures import Failure
from eval import detector, documents, flagged, signals
from eval.cli import app
from eval.detector import RUNGS, Detector, NoRung, Tree
from eval.documents import Document
from eval.signals import Measured
from trainer import recipe, train

torch.set_num_threads(1)
SIGNALS = ("top_2_gram", "offensive", "language_score")


def stump(number: int, threshold: float = 1.0) -> Tree:
    """+2 where a feature is above the threshold, else -1."""
    return Tree(np.array([number, -1, -1]), np.array([threshold, 0, 0]), np.array([1, 0, 0]), np.array([2, 0, 0]),
                np.array([0.0, -1.0, 2.0]))  # fmt: skip


def toy() -> Detector:
    return Detector("text", SIGNALS, np.full(3, 3.0), -1.0, (stump(0), stump(1)), 1.0, 0.0, {"made_by": "a test"})


def measured(z: list[list[float]]) -> Measured:
    columns = {name: np.array(z, float)[:, n] for n, name in enumerate(SIGNALS)}
    names = [f"{n:032x}" for n in range(len(z))]
    return Measured(names, ["web"] * len(z), columns, columns, {name: np.zeros(len(z)) for name in columns})


def write_jsonl(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return path


def test_trees_go_left_up_to_the_threshold() -> None:
    features = np.array([[1.0], [1.0001], [-5.0]])
    assert stump(0).leaves(features).tolist() == [-1.0, 2.0, -1.0]


def test_probabilities_rise_with_the_raw_score_and_stay_within_0_and_1() -> None:
    found = toy().calibrated(np.array([-1e9, -1.0, 0.0, 1.0, 1e9]))
    assert (np.diff(found) > 0).all()
    assert found[2] == 0.5
    assert ((found > 0) & (found < 1)).all()


def test_an_unknown_signal_counts_as_usual() -> None:
    assert toy().probability(measured([[np.nan, 5, 0]])) == toy().probability(measured([[0, 5, 0]]))


def test_the_features_of_oddness_do_not_say_which_signal_it_is() -> None:
    """The same deviation on the bad side of any signal, with equal limits, is equally odd."""
    z = np.array([[9.0, 0, 0], [0, 9.0, 0], [0, 0, -9.0], [0, 0, 9.0]])
    found = detector.features(z, SIGNALS, np.full(3, 1.0))[:, 3:]
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
    assert (found[3] == 0).all()


def test_evidence_names_what_raised_the_score_and_nothing_else() -> None:
    [said] = toy().evidence(measured([[9, 0, -3]]), [0])
    assert [one["signal"] for one in said] == ["top_2_gram"]
    assert said[0]["value"] == 9
    assert said[0]["weight"] == pytest.approx(3)
    assert toy().evidence(measured([[0, 0, 0]]), [0]) == [[]]


def test_a_saved_detector_scores_the_same_and_saves_to_the_same_bytes(tmp_path: Path) -> None:
    detector.save(toy(), tmp_path / "a.json")
    again = detector.load(tmp_path / "a.json")
    detector.save(again, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    z = measured([[9, 2, 0], [0, 0, 0]])
    assert (again.probability(z) == toy().probability(z)).all()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 1}', '{"format": 1, "signals_version": 0}'])
def test_a_damaged_detector_is_one_line(tmp_path: Path, damage: str) -> None:
    (tmp_path / "d.json").write_text(damage, "utf-8")
    with pytest.raises(Failure, match=r"d\.json"):
        detector.load(tmp_path / "d.json")


def test_the_shipped_detectors_have_cards_and_know_this_versions_signals() -> None:
    found = detector.shipped()
    assert next(iter(found)) == "text"
    for rung, one in found.items():
        assert set(one.signals) <= {s.name for s in signals.SIGNALS}
        assert one.signals == RUNGS[rung][0]
        assert {"made_by", "made_from", "kinds", "limits"} <= set(one.card)


def test_the_shipped_text_detector_tells_bad_from_good() -> None:
    """Not planted text, so that what it learned is seen to hold elsewhere too."""
    good = [prose(n, 6) for n in range(60)]
    bad = ["buy cheap watches now " * 60, " ".join(chr(0xC3) + chr(0xA9) + word for word in prose(1).split())]
    found = signals.measure([Document(f"{n:032x}", text, "web") for n, text in enumerate([*good, *bad])])
    probability = detector.shipped()["text"].probability(found)
    assert probability[60:].min() > np.quantile(probability[:60], 0.9)


def test_a_rung_without_its_signals_is_refused_and_else_the_costliest_is_taken() -> None:
    offered = {rung: toy() for rung in RUNGS}
    text = signals.measure([Document("0" * 32, prose(1), "web")])
    assert detector.choose(text, offered).rung == "text"
    with pytest.raises(NoRung, match="needs"):
        detector.choose(text, offered, "lineage")
    with pytest.raises(NoRung, match="expected one of"):
        detector.choose(text, offered, "none")


@pytest.mark.parametrize("texts", [[], ["One document alone."], ["", " "], ["日本語の文章です。" * 20] * 3])
def test_odd_corpora_give_a_table_that_duckdb_reads(tmp_path: Path, texts: list[str]) -> None:
    out = tmp_path / "flagged.parquet"
    table, used = flagged.flag(None, write_jsonl(tmp_path / "d.jsonl", texts), None, out)
    assert duckdb.sql(f"select count(*) from '{out}'").fetchall() == [(len(texts),)]
    assert pq.read_schema(out).names == flagged.SCHEMA.names
    assert all(0 <= score <= 1 for score in table["score"].to_pylist())
    assert used.rung == "text"
    assert str(len(texts)) in flagged.summary(table, used)


def test_ranks_go_down_and_evidence_is_there_for_what_is_flagged(tmp_path: Path) -> None:
    texts = [prose(n, 6) for n in range(50)] + ["you know what you know what " * 80]
    table, _ = flagged.flag(None, write_jsonl(tmp_path / "d.jsonl", texts), None, tmp_path / "f.parquet")
    scores = table["score"].to_pylist()
    assert scores == sorted(scores, reverse=True)
    assert table["rank"].to_pylist() == list(range(1, 52))
    first = table.slice(0, 1).to_pylist()[0]
    assert first["begins"].startswith("you know")
    assert first["reasons"]
    assert first["signal"] == first["reasons"][0]["signal"]
    assert first["evidence"].startswith(first["reasons"][0]["says"])


def test_a_model_and_a_reference_add_their_signals(tmp_path: Path) -> None:
    rows = [row(prose(n, 4)) for n in range(24)]
    run = write_run(tmp_path / "run", rows)
    small = recipe.Recipe(
        tokenizer=recipe.Tokenizer(vocab=320),
        data=recipe.Data(sequence_length=32),
        model=recipe.Model(depth=1, width=16, head_width=16),
        train=recipe.Train(
            tokens=16_384, batch_tokens=512, device="cpu", threads=1, sample_prompts=(), evaluate_every=99
        ),
    )
    train.train(small, [run], tmp_path / "model")
    table, _ = flagged.flag(tmp_path / "model", run, None, tmp_path / "f.parquet")
    assert table.num_rows == 24
    found = flagged.measure(documents.load(run), tmp_path / "model", tmp_path / "model", "full", "last", "cpu")
    assert found.known() > {"seen_mean", "seen_bpb", "tokens_per_byte", "raw_bpb", "reference_bpb"}
    assert np.abs(found.values["contrast"]).max() < 1e-6  # a model beside itself
    seen = found.values["seen_mean"][np.isfinite(found.values["seen_mean"])]
    assert ((seen > 0) & (seen < 2 * math.log(320))).all()
    assert found.table()["later_drop"].null_count < 24


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["flag"])
    assert result.exit_code
    assert "--corpus" in str(result.exception)
    with pytest.raises(flagged.CannotFlag, match="MODEL"):
        flagged.flag(None, write_jsonl(tmp_path / "d.jsonl", ["a"]), tmp_path, tmp_path / "f.parquet")
