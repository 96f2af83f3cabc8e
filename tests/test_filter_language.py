"""Language identification keeps what FineWeb keeps."""

from pathlib import Path

import pyarrow as pa
import pytest

from filters.language import _SHIPPED, Language
from filters.models import fasttext_model, hierarchical

TEXTS = [
    "The house stands on the hill and the river runs below it to the sea.",
    "Das Haus steht auf dem Hügel, und der Fluss läuft darunter zum Meer.",
    "La maison est sur la colline et la rivière coule vers la mer.",
    "ok",
    "1 2 3 4 5",
    "",
    "Zeile eins\nZeile zwei und noch mehr deutsche Wörter",
]
DOCS = pa.table({"text": pa.array(TEXTS, pa.large_string())})


def test_the_decision_is_that_of_fineweb() -> None:
    step = Language(keep=("en", "de"), characters=10_000)
    signals = step.measure(DOCS)
    fired = [rule.fires(signals).to_pylist() for rule in step.rules()]
    kept = [not any(row) for row in zip(*fired, strict=True)]
    plain = []
    for text in TEXTS:
        labels, scores = fasttext_model.load(_SHIPPED).predict([text.replace("\n", " ")], k=1)
        plain.append(labels[0][0] in ("__label__en", "__label__de") and float(scores[0][0]) >= 0.65)
    assert kept == plain
    assert kept[:3] == [True, True, False]


def test_signals() -> None:
    rows = Language(top=2).measure(DOCS).to_pylist()
    assert [row["lang"] for row in rows[:3]] == ["en", "de", "fr"]
    for row in rows:
        assert len(row["candidates"]) == 2
        assert row["candidates"][0] == {"lang": row["lang"], "score": row["score"]}
        assert 0 <= row["score"] <= 1


def test_only_the_beginning_is_read() -> None:
    mixed = pa.table({"text": [TEXTS[0] * 20 + TEXTS[1] * 200]})
    assert Language(characters=500).measure(mixed)["lang"].to_pylist() == ["en"]
    assert Language(characters=10**6).measure(mixed)["lang"].to_pylist() == ["de"]


def test_no_rule_on_the_language_when_every_one_is_kept() -> None:
    assert [rule.reason for rule in Language().rules()] == ["uncertain_language"]


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no file .*none\.bin"):
        Language(model=str(tmp_path / "none.bin"))
    with pytest.raises(ValueError, match="at least 1"):
        Language(characters=0)


def test_the_compiled_loop_answers_as_fasttext_itself_does() -> None:
    odd = [
        "</s> hello",
        "hello </s> wie geht es",
        "__label__en x",
        "\0\0 a",
        "日本語のテキストです。",
        "é" * 999,
        " \t\r\f",
    ]
    texts = [*TEXTS, *odd, *(text * 7 for text in TEXTS)]
    step = Language(characters=100, top=4)
    signals = step.measure(pa.table({"text": pa.array([*texts, None], pa.large_string())})).to_pylist()
    labels, scores = fasttext_model.predict(_SHIPPED, [*(text[:100] for text in texts), ""], 4)
    for row, names, values in zip(signals, labels, scores, strict=True):
        assert [found["lang"] for found in row["candidates"]] == names
        assert [found["score"] for found in row["candidates"]] == pytest.approx([min(v, 1.0) for v in values], abs=2e-6)
        assert (row["lang"], row["score"]) == (names[0], row["candidates"][0]["score"])


def test_a_model_of_another_kind_is_left_to_fasttext(tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    other.write_bytes(b"\0" * 100)
    assert hierarchical.load(str(other)) is None
