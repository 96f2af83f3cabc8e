"""Gopher's quality rules against a plain Python reading of their definition."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.quality import Quality

PIECES = ["the", "be", "The", "word", "a", "é", "#", "##tag", "...", "…", "wait...", "so…", "-", "•", "- item", "• x"]
PIECES += ["12", "3.5", "日本", "\n", "\n\n", " ", "\t", "....", "\u2028", "!", "and,", "\r\n", "......x"]
TEXT = st.lists(st.sampled_from(PIECES), max_size=40).map(lambda parts: " ".join(parts).replace(" \n ", "\n"))


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def reference(text: str, stop_words: tuple[str, ...]) -> dict[str, float]:
    tokens = text.split()
    words = [t for t in tokens if any(map(str.isalnum, t))]
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return {
        "words": len(words),
        "mean_word_length": ratio(sum(map(len, words)), len(words)),
        "hashes_per_word": ratio(text.count("#"), len(tokens)),
        "ellipses_per_word": ratio(text.count("...") + text.count("…"), len(tokens)),
        "bullet_lines": ratio(sum(line.strip().startswith(("-", "•")) for line in lines), len(lines)),
        "ellipsis_lines": ratio(sum(line.strip().endswith(("...", "…")) for line in lines), len(lines)),
        "alphabetic_words": ratio(sum(any(map(str.isalpha, t)) for t in tokens), len(tokens)),
        "stop_words": len(set(stop_words) & set(tokens)),
    }


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(TEXT, st.text()), max_size=5))
def test_signals_equal_the_plain_definition(texts: list[str]) -> None:
    found = Quality().measure(pa.table({"text": pa.array(texts, pa.large_string())})).to_pylist()
    assert found == [reference(text, Quality().stop_words) for text in texts]


def test_stop_words_of_another_language_and_repeated_ones() -> None:
    german = Quality(stop_words=("der", "die", "und", "und"))
    docs = pa.table({"text": ["der Hund und die Katze und der Rest", "Der Hund", "the dog"]})
    assert german.measure(docs)["stop_words"].to_pylist() == [3, 0, 0]


@pytest.mark.parametrize("words", [("two words",), ("",), tuple(f"w{i}" for i in range(65))])
def test_stop_words_that_cannot_be_counted_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="64 single words"):
        Quality(stop_words=words)


def test_limits_are_gophers() -> None:
    limits = {rule.reason: (rule.operator, rule.threshold) for rule in Quality().rules()}
    assert limits == {
        "too_short": ("<", 50),
        "too_long": (">", 100_000),
        "short_words": ("<", 3.0),
        "long_words": (">", 10.0),
        "many_hashes": (">", 0.1),
        "many_ellipses": (">", 0.1),
        "bullet_list": (">", 0.9),
        "unfinished_lines": (">", 0.3),
        "few_alphabetic_words": ("<", 0.8),
        "few_stop_words": ("<", 2),
    }
