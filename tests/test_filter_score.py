"""The classifier of `score`: training is repeatable, measured on unseen documents, and survives NaN."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from filters.models import train as training
from filters.score import Score

SMALL = training.Training(buckets=1 << 17)


def documents(words: str, num: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(words.split(), k=20)) + f" {i}" for i in range(num)]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sets")
    good, bad = folder / "good.jsonl", folder / "bad.txt"
    rows = documents("river theory because chapter king and of the", 200, 1)
    good.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    bad.write_text("\n".join(documents("click buy now login cart and of the", 200, 2)))
    return good, bad


@pytest.fixture(scope="module")
def model(sets: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "score.bin"
    training.train(*sets, out, SMALL, print)
    return out


def test_the_report_is_kept_beside_the_model(model: Path) -> None:
    report = json.loads(Path(f"{model}.json").read_text())
    assert report["auroc"] > 0.95
    assert report["precision"] > 0.9
    assert report["recall"] > 0.9
    assert 0 < report["held_out_good"] < report["held_out"]
    assert report["learned_from"] + report["held_out"] == 400
    assert [row["min_score"] for row in report["thresholds"]] == pytest.approx(np.arange(0.05, 1, 0.05).tolist())
    recalls = [row["recall"] for row in report["thresholds"]]
    assert recalls == sorted(recalls, reverse=True)


def test_the_filter_scores_the_good_label(model: Path) -> None:
    docs = pa.table({"text": ["the king and the river theory", "buy now click login", ""]})
    good = Score(model=str(model)).measure(docs)["score"].to_pylist()
    bad = Score(model=str(model), label="bad").measure(docs)["score"].to_pylist()
    assert good[0] > 0.8
    assert good[1] < 0.2
    assert np.allclose(np.add(good, bad), 1, atol=1e-3)


def test_training_is_repeatable_in_any_order_of_documents(sets: tuple[Path, Path], tmp_path: Path) -> None:
    good, bad = sets
    turned = tmp_path / "turned.jsonl"
    turned.write_text("".join(reversed(good.read_text().splitlines(keepends=True))))
    training.train(good, bad, tmp_path / "a.bin", SMALL, print)
    training.train(turned, bad, tmp_path / "b.bin", SMALL, print)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_a_quantized_model_is_smaller_and_nearly_as_good(sets: tuple[Path, Path], tmp_path: Path) -> None:
    narrow = training.Training(dimensions=4, buckets=1 << 21)  # quantizing takes as long as there are dimensions
    report = training.train(*sets, tmp_path / "m.ftz", narrow, print)
    assert report["auroc"] > 0.95
    assert (tmp_path / "m.ftz").stat().st_size < 1 << 23


def test_nan_lowers_the_rate_and_says_so(sets: tuple[Path, Path], tmp_path: Path, monkeypatch: Any) -> None:
    real, said = fasttext.train_supervised, []

    def fails_above_a_tenth(**settings: Any) -> Any:
        if settings["lr"] > 0.2:
            raise RuntimeError("Encountered NaN.")
        return real(**settings)

    monkeypatch.setattr(fasttext, "train_supervised", fails_above_a_tenth)
    report = training.train(*sets, tmp_path / "m.bin", SMALL, said.append)
    assert report["settings"]["learning_rate"] == 0.125
    assert said[0] == "fastText met NaN at the learning rate 0.5; trying 0.25"
    monkeypatch.setattr(fasttext, "train_supervised", lambda **_: fails_above_a_tenth(lr=1))
    with pytest.raises(ValueError, match="NaN at every learning rate"):
        training.train(*sets, tmp_path / "m.bin", SMALL, said.append)


def test_every_kind_of_file_is_read(tmp_path: Path) -> None:
    line = json.dumps({"text": "a\nb"}) + "\n"
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write(line)
    with zstandard.open(tmp_path / "b.jsonl.zst", "wt") as file:
        file.write(line + "\n")
    (tmp_path / "c.txt").write_text("one\n\ntwo\n")
    pq.write_table(pa.table({"text": ["three", None], "x": [1, 2]}), tmp_path / "d.parquet")
    (tmp_path / "notes.md").write_text("not read")
    assert list(training.texts(tmp_path)) == ["a b", "a b", "one", "two", "three"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such file"):
        list(training.texts(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"a kind that can be read: \.txt"):
        list(training.texts(tmp_path))
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "fine"}\n{"body": "x"}\n')
    with pytest.raises(ValueError, match=r"broken\.jsonl, line 2: not a JSON object with a `text`"):
        list(training.texts(broken))


def test_settings_that_cannot_work_are_named(sets: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.bin or"):
        training.train(*sets, tmp_path / "model.txt", SMALL, print)
    few = tmp_path / "few.txt"
    few.write_text("one\n")
    with pytest.raises(ValueError, match="more documents are needed"):
        training.train(few, few, tmp_path / "m.bin", SMALL, print)
    with pytest.raises(ValueError, match="must be at least"):
        training.Training(buckets=1000)
    with pytest.raises(ValueError, match="no file"):
        Score(model=str(tmp_path / "none"))
    with pytest.raises(ValueError, match="knows no 'great'; it knows bad, good"):
        Score(model=str(model), label="great").measure(pa.table({"text": ["x"]}))


def test_auroc_counts_ties_half() -> None:
    good = np.array([True, True, False, False])
    assert training.auroc(np.array([0.9, 0.8, 0.2, 0.1]), good) == 1.0
    assert training.auroc(np.array([0.5, 0.5, 0.5, 0.5]), good) == 0.5
    assert training.auroc(np.array([0.9, 0.1, 0.5, 0.2]), good) == 0.5
