"""Signatures equal datasketch's, shingles equal a plain Python reading of the rule, and batching changes nothing."""

import itertools

import datasketch
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.kernels import signature

MASK = (1 << 64) - 1
# letters of all widths, spaceless scripts, punctuation of each kind, and code points beside the borders of the rule
ALPHABET = "abZ09 \n.,'_é¿ÀÿßКжİſ“”—…⁠⁰€กฮ་ကႠកᤀぁヿ漢㐀鿿가、。々〇，！Ａ０ｱﾟ｡𠀀😀ꦱ"
texts = st.text(st.sampled_from(ALPHABET) | st.characters(codec="utf-8"), max_size=60)


def mix(h: int) -> int:
    h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCD & MASK
    h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53 & MASK
    return h ^ (h >> 33)


def kind(c: str) -> str:
    if ord(c) < 0x80:
        return "letter" if c.isalnum() else "gap"
    gaps = [(0x80, 0xBF), (0x2000, 0x206F), (0x3000, 0x3004), (0x3008, 0x303F), (0xFF00, 0xFF0F), (0xFF1A, 0xFF20)]
    gaps += [(0xFF3B, 0xFF40), (0xFF5B, 0xFF65)]
    alone = [(0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3040, 0x30FF)]
    alone += [(0x3400, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F), (0x20000, 0x33FFF)]
    for name, ranges in (("gap", gaps), ("alone", alone)):
        if any(first <= ord(c) <= last for first, last in ranges):
            return name
    return "letter"


def words(text: str) -> list[str]:
    found, run = [], ""
    for c in [*pc.utf8_lower(pa.scalar(text)).as_py(), " "]:
        if kind(c) == "letter":
            run += c
            continue
        found += [run] * bool(run) + [c] * (kind(c) == "alone")
        run = ""
    return found


def shingles(text: str, n: int) -> list[int]:
    hashes = []
    for word in words(text):
        h = 0xCBF29CE484222325
        for byte in word.encode():
            h = (h ^ byte) * 0x100000001B3 & MASK
        hashes.append(mix(h))
    found = set()
    for i in range(len(hashes) - n + 1):
        h = 0
        for word_hash in hashes[i : i + n]:
            h = (h * 0x9E3779B97F4A7C15 + word_hash) & MASK
        found.add(mix(h))
    return sorted(found)


def sets(text: pa.Array, n: int) -> list[list[int]]:
    values, offsets = signature.shingle_sets(text, n)
    return [values[a:b].tolist() for a, b in itertools.pairwise(offsets)]


def oracle(hashes: list[int], num_permutations: int) -> np.ndarray:
    minhash = datasketch.MinHash(num_permutations, seed=1, scheme="affine32", hashfunc=int)
    minhash.update_batch([h >> 32 for h in hashes])
    return minhash.hashvalues


@given(st.lists(texts, max_size=6), st.integers(1, 6))
@settings(max_examples=200, deadline=None)
def test_shingles_follow_the_rule(batch: list[str], n: int) -> None:
    assert sets(pa.array(batch, pa.large_string()), n) == [shingles(text, n) for text in batch]


@given(st.lists(texts, min_size=1, max_size=5), st.integers(1, 5), st.sampled_from([1, 7, 112]))
@settings(max_examples=100, deadline=None)
def test_signatures_equal_datasketch(batch: list[str], n: int, num_permutations: int) -> None:
    column = pa.array(batch, pa.large_string())
    found = signature.signatures(column, n, num_permutations)
    assert found.dtype == np.uint32
    assert found.shape == (len(batch), num_permutations)
    for row, hashes in zip(found, sets(column, n), strict=True):
        assert (row == oracle(hashes, num_permutations)).all()


def test_documents_longer_than_a_block() -> None:
    long = " ".join(f"w{i}" for i in range(3 * signature.BLOCK + 5))
    for n in (1, 5, 100):
        column = pa.array([long], pa.large_string())
        assert sets(column, n) == [shingles(long, n)]
        assert (signature.signatures(column, n)[0] == oracle(shingles(long, n), 112)).all()


@given(st.lists(st.none() | texts, min_size=1, max_size=8), st.data())
@settings(max_examples=100, deadline=None)
def test_batching_and_slicing_change_nothing(batch: list[str | None], data: st.DataObject) -> None:
    whole = signature.signatures(pa.array(batch, pa.large_string()), 2, 8)
    one_by_one = [signature.signatures(pa.array([text], pa.large_string()), 2, 8) for text in batch]
    assert (whole == np.concatenate(one_by_one)).all()
    start = data.draw(st.integers(0, len(batch)))
    sliced = pa.array(batch, pa.string()).slice(start)
    assert (signature.signatures(sliced, 2, 8) == whole[start:]).all()
    chunked = pa.chunked_array([pa.array(batch[:start], pa.large_string()), pa.array(batch[start:], pa.large_string())])
    assert (signature.signatures(chunked, 2, 8) == whole).all()


def test_short_documents_have_no_signature() -> None:
    column = pa.array(["one two three four", "one two three four five", "", None, "  …  "], pa.large_string())
    found = signature.signatures(column)
    assert signature.has_signature(found).tolist() == [False, True, False, False, False]
    assert (found[0] == signature.EMPTY).all()
    assert signature.signatures(pa.array([], pa.large_string())).shape == (0, 112)


@pytest.mark.parametrize(
    "text",
    ["今天天气很好我们去公园", "วันนี้อากาศดีมากเราไปเที่ยว", "きょうはとてもいいてんきです", "ថ្ងៃនេះអាកាសធាតុល្អណាស់"],
)
def test_scripts_without_spaces_get_shingles_of_characters(text: str) -> None:
    assert len(words(text)) == len(text)
    [found] = sets(pa.array([text], pa.large_string()), 5)
    assert len(found) == len({text[i : i + 5] for i in range(len(text) - 4)})
    [same] = sets(pa.array(["、".join(text)], pa.large_string()), 5)
    assert same == found  # punctuation is no part of a word


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("“It’s” done — really", "it s done really"),
        ("ÉCOLE Привет МИР", "école привет мир"),
        ("no\u00a0break\u2009space", "no break space"),
        ("全角！記号", "全角 記号"),
        ("snake_case", "snake case"),
    ],
)
def test_case_and_punctuation_make_no_difference(text: str, same: str) -> None:
    first, second = sets(pa.array([text, same], pa.large_string()), 2)
    assert first == second


def test_bands() -> None:
    values = np.arange(24, dtype=np.uint32).reshape(2, 12)
    values[1, :4] = values[0, :4]
    found = signature.bands(values, 3, 4)
    assert found.dtype == np.uint64
    assert found.shape == (2, 3)
    assert (found[0] == found[1]).tolist() == [True, False, False]
    assert (signature.bands(values[:1], 3, 4) == found[:1]).all()
    assert (signature.bands(np.asfortranarray(values), 3, 4) == found).all()


def test_impossible_settings_are_refused() -> None:
    column = pa.array(["a b"], pa.large_string())
    with pytest.raises(ValueError, match="bands x rows: 4 x 4"):
        signature.bands(np.zeros((1, 12), np.uint32), 4, 4)
    with pytest.raises(ValueError, match="shingle_words: 0"):
        signature.shingle_sets(column, 0)
    with pytest.raises(ValueError, match="num_permutations: 0"):
        signature.signatures(column, 5, 0)
