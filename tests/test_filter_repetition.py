"""Gopher's thirteen ratios against a plain Python reading of their definition."""

import re
from collections import Counter

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filters.repetition import SIGNALS, Repetition

FEW_WORDS = st.lists(st.sampled_from(["a", "bb", "ccc", "é", "a\n", "bb\n\n", "\n", "\n\n\n", " "]), max_size=80)
LOOPS = st.tuples(FEW_WORDS, st.integers(1, 12)).map(lambda t: t[0] * t[1])
TEXT = st.one_of(FEW_WORDS, LOOPS).map(" ".join)


def repeated(pieces: list[str]) -> tuple[int, int]:
    seen: set[str] = set()
    copies = []
    for piece in pieces:
        if piece in seen:
            copies.append(piece)
        seen.add(piece)
    return len(copies), sum(map(len, copies))


def top_gram(words: list[str], n: int) -> int:
    grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    gram, count = max(grams.items(), key=lambda item: item[1], default=((), 0))  # max keeps the first of equals
    return len(" ".join(gram)) * count if count > 1 else 0


def repeated_grams(words: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    characters = i = 0
    while i <= len(words) - n:
        gram = tuple(words[i : i + n])
        if gram in seen:
            characters += len("".join(gram))
            i += n
        else:
            seen.add(gram)
            i += 1
    return characters


def reference(text: str) -> dict[str, float]:
    if not text:
        return dict.fromkeys(SIGNALS, 0.0)
    lines, paragraphs = re.split("\n+", text), re.split("\n{2,}", text.strip())
    counts = [repeated(lines), repeated(paragraphs)]
    words = text.split()
    values = [
        counts[0][0] / len(lines),
        counts[0][1] / len(text),
        counts[1][0] / len(paragraphs),
        counts[1][1] / len(text),
    ]
    values += [top_gram(words, n) / len(text) for n in (2, 3, 4)]
    values += [repeated_grams(words, n) / len(text) for n in range(5, 11)]
    return dict(zip(SIGNALS, values, strict=True))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(TEXT, st.text()), max_size=4))
@example(["\n", "a\n\n", "\na\n", " \n \n\n x \n\n x", "a b c d e f " * 40])
def test_signals_equal_the_plain_definition(texts: list[str]) -> None:
    found = Repetition().measure(pa.table({"text": pa.array(texts, pa.large_string())})).to_pylist()
    assert found == [reference(text) for text in texts]


def test_an_ngram_that_occurs_once_is_no_repetition() -> None:
    docs = pa.table({"text": ["two words"]})
    assert Repetition().measure(docs)["top_2_gram"].to_pylist() == [0.0]


def test_a_long_document_does_not_disturb_the_ones_after_it() -> None:
    short = "one two one two one two"
    docs = pa.table({"text": [" ".join(f"w{i % 5000}" for i in range(20_000)), short]})
    assert Repetition().measure(docs).to_pylist()[1] == reference(short)


def test_limits_are_gophers() -> None:
    assert [rule.threshold for rule in Repetition().rules()] == [
        *(0.30, 0.20, 0.30, 0.20),
        *(0.20, 0.18, 0.16),
        *(0.15, 0.14, 0.13, 0.12, 0.11, 0.10),
    ]
    assert [rule.signal for rule in Repetition().rules()] == list(SIGNALS)
