"""Offensive words and mentions of groups, against a plain Python count."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.bias import _LEXICONS, Bias, _groups

PHRASES = {
    "": ["damn", "piece of junk", "Ärger"],
    "a": ["old man", "man", "straße"],
    "b": ["men's shed", "man", "नमस्ते"],
}
WORDS = ["damn", "DAMN!", "piece", "of", "junk", "old", "man,", "Man", "ärger", "STRASSE", "straße", "men's", "shed"]
WORDS += ["नमस्ते", "नमस्", "old-man", "(man)", "manly", "x", "\n", "mén", "_man"]


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("lexicons")
    (folder / "offensive.txt").write_text("# words\n" + "\n".join(PHRASES[""]), encoding="utf-8")
    groups = "\n".join(f"[{name}]\n" + "\n".join(PHRASES[name]) for name in ("a", "b"))
    (folder / "identity.txt").write_text(groups, encoding="utf-8")
    return str(folder / "offensive.txt"), str(folder / "identity.txt")


def reference(text: str) -> list[int]:
    def tokens(s: str) -> list[str]:
        return re.findall(r"[\w\u0900-\u0903\u093a-\u094f]+", s.lower())

    found = tokens(text)
    wanted = [[tokens(phrase) for phrase in PHRASES[group]] for group in ("", "a", "b")]
    return [sum(found[i : i + len(p)] == p for p in phrases for i in range(len(found))) for phrases in wanted]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join), max_size=4))
def test_counts_equal_the_plain_definition(lists: tuple[str, str], texts: list[str]) -> None:
    step = Bias(offensive=lists[:1], identity=lists[1:])
    rows = step.measure(pa.table({"text": pa.array(texts, pa.large_string())})).to_pylist()
    assert [[r["offensive_words"], r["mentions_a"], r["mentions_b"]] for r in rows] == [reference(t) for t in texts]
    for row, text in zip(rows, texts, strict=True):
        assert row["offensive_per_1000_words"] == 1000 * (row["offensive_words"] / max(len(text.split()), 1))


def test_mentions_alone_never_reject() -> None:
    docs = pa.table({"text": ["a gay man and a muslim woman from Nigeria are refugees " * 20]})
    signals = Bias().measure(docs)
    assert signals["mentions_sexual_orientation"].to_pylist() == [20]
    assert not any(rule.fires(signals)[0].as_py() for rule in Bias().rules())


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_shipped_lists_load_and_repeat_nothing(language: str) -> None:
    Bias(languages=(language,))
    for file in _LEXICONS.glob(f"*.{language}.txt"):
        groups = _groups((), (str(file),)) if "identity" in file.name else _groups((str(file),), ())
        for phrases in groups.values():
            assert len(set(phrases)) == len(phrases)
            assert all(phrase == phrase.lower() for phrase in phrases)


def test_english_identity_terms_come_in_eight_groups() -> None:
    names = [name for name in Bias().measure(pa.table({"text": ["x"]})).column_names if name.startswith("mentions_")]
    assert len(names) == 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("word before a group\n", "before the first"),
        ("[two words]\nx\n", "named by letters"),
        ("[a]\n1 2 3 4 5\n", "1 to 4"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "identity.txt"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        Bias(identity=(str(file),)).measure(pa.table({"text": ["x"]}))


def test_a_missing_list_is_named() -> None:
    with pytest.raises(ValueError, match=r"offensive\.xx\.txt: no such word list"):
        Bias(languages=("xx",))
