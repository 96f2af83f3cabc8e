"""Stages find what they should, exactly; fusion needs no common scale; odd input is no error."""

import numpy as np
import pytest
from conftest import prose
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.documents import Document
from eval.retrieval import (
    GRAM,
    Bm25,
    Retrieval,
    Spans,
    Vectors,
    fuse,
    part_terms,
    recall,
    reciprocal_rank,
    word_terms,
)
from eval.text_checks import words

TEXTS = [prose(n, 6) for n in range(30)]


def slow_longest(a: list[str], b: list[str]) -> int:
    """Length of the longest common span, by the textbook's table."""
    best, row = 0, [0] * (len(b) + 1)
    for word in a:
        row = [0] + [row[at] + 1 if word == other else 0 for at, other in enumerate(b)]
        best = max(best, *row)
    return best


@given(st.lists(st.text("ab ", max_size=60), min_size=1, max_size=4), st.text("ab ", max_size=60))
@settings(deadline=None)
def test_the_longest_shared_span_is_exact(texts: list[str], query: str) -> None:
    found = {document: size for document, size, _ in Spans(texts).search(query, 99)}
    asked = words(query)
    for number, text in enumerate(texts):
        true = slow_longest(asked, words(text))
        assert found.get(number, 0) == (true if true >= GRAM else 0)


def test_a_copied_passage_is_found_with_its_words() -> None:
    said = " ".join(TEXTS[7].split()[10:31])
    found = Retrieval([Document(f"{n:032x}", text) for n, text in enumerate(TEXTS)]).search("He said: " + said)
    assert found[0].id == f"{7:032x}"
    assert found[0].span.words >= 21
    assert found[0].span.text in " ".join(words(TEXTS[7]))
    assert found[0].ranks["spans"] == 1
    assert found[0].ranks["bm25"] == 1


def test_bm25_puts_rare_words_first() -> None:
    index = Bm25(["the cat sat", "the dog sat", "the zebra ran", "the cow ran"])
    assert index.search("the Zebra", 2)[0][0] == 2
    assert index.search("quagga", 5) == []
    assert [at for at, _ in index.search("sat", 9)] == [0, 1]  # equal scores by number


@pytest.mark.parametrize(
    ("said", "asked"),
    [("Annalia Berginaul came", "Annal Bergina"), ("η Αθηναίων πόλη", "Αθηναίος"), ("他在图书馆里", "旧图书")],
)
def test_parts_of_words_lead_to_other_endings(said: str, asked: str) -> None:
    texts = [*TEXTS, said]
    assert Bm25(texts).search(asked, 1)[0][0] == len(TEXTS)
    if asked.isascii():
        assert Bm25(texts, word_terms).search(asked, 1) == []


@given(st.text(max_size=80))
def test_part_terms_are_words_and_what_stands_in_them(text: str) -> None:
    found, plain = part_terms(text), word_terms(text)
    assert found[: len(plain)] == plain
    assert all(len(part) in (2, 4) for part in found[len(plain) :])
    assert sum(len(part) == 4 for part in found[len(plain) :]) == sum(len(w) - 3 for w in plain if len(w) > 4)


def test_vectors_are_compared_by_direction() -> None:
    found = Vectors(np.array([[1, 0], [0, 5], [3, 3], [0, 0]], np.float32)).search(np.array([2, 0], np.float32), 4)
    assert [at for at, _ in found] == [0, 2, 1, 3]
    assert found[0][1] == pytest.approx(1)
    assert found[1][1] == pytest.approx(0.5**0.5)


def test_fusion_prefers_what_several_stages_found() -> None:
    assert [at for at, _ in fuse({"a": [1, 2, 3], "b": [3, 4]})] == [3, 1, 2, 4]
    assert fuse({"a": [5]})[0][1] == pytest.approx(1 / 61)
    assert [at for at, _ in fuse({"a": [1, 2], "b": [2, 1]}, {"b": 3.0})] == [2, 1]
    assert fuse({}) == []


def test_figures_of_retrieval() -> None:
    found = [["a", "b", "c"], ["x", "y", "z"], ["q"]]
    gold = [{"b"}, {"n"}, set()]
    assert recall(found, gold, 2).value == 0.5
    assert recall(found, gold, 1).value == 0
    assert reciprocal_rank(found, gold).value == pytest.approx(0.25)
    assert recall([["a"]], [{"a", "b"}], 1).value == 1  # no more than k can be found
    assert recall(found, gold, 2).units == 2


@pytest.mark.parametrize("texts", [[], [""], ["one"], ["\ud800 \x00"], ["图书馆建于一九零零年馆内有地图"] * 3])
def test_odd_corpora_are_no_error(texts: list[str]) -> None:
    store = Retrieval([Document(f"{n:032x}", text) for n, text in enumerate(texts)])
    for query in ("", "one", "馆内有地图建于", "\ud800"):
        assert len(store.search(query)) <= len(texts)
