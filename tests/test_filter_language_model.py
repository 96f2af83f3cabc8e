"""A model file that is damaged ends in an error that names it, or in a model whose every index lies in its arrays."""

import itertools
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.kernels import ngram_sum
from filters.models import fasttext_model, hierarchical

DIM, BUCKETS = 4, 40
WORDS = [b"</s>", b"river", b"hill"]
LABELS = [("en", 900), ("de", 500), ("fr", 500), ("it", 20)]
TEXTS = ["the river and the hill", "Hügel", "x", "", "日本語 " * 50]


def model(norms: bool) -> bytes:
    """As fastText 0.9.2 writes a small one, with numbers drawn at random."""
    draw = np.random.default_rng(5)
    kept = [(bucket, row) for row, bucket in enumerate(range(0, BUCKETS, 2))]
    rows = len(WORDS) + len(kept)
    numbers = [793712314, 12, DIM, 5, 5, 1, 5, 1, 1, 3, BUCKETS, 2, 4, 100]
    parts = [struct.pack("<14id", *numbers, 1e-4)]
    parts.append(struct.pack("<3i2q", len(WORDS) + len(LABELS), len(WORDS), len(LABELS), 5000, len(kept)))
    parts += [word + b"\0" + struct.pack("<qb", 100, 0) for word in WORDS]
    parts += [b"__label__" + name.encode() + b"\0" + struct.pack("<qb", count, 1) for name, count in LABELS]
    parts += [struct.pack("<2i", *pair) for pair in kept]
    parts.append(struct.pack("<2?2qi", True, norms, rows, DIM, rows * 2))
    parts.append(draw.integers(256, size=rows * 2, dtype=np.uint8).tobytes())
    parts += [struct.pack("<4i", DIM, 2, 2, 2), draw.normal(size=DIM * 256).astype("<f4").tobytes()]
    if norms:
        parts.append(draw.integers(256, size=rows, dtype=np.uint8).tobytes())
        parts += [struct.pack("<4i", 1, 1, 1, 1), draw.uniform(0.5, 2, 256).astype("<f4").tobytes()]
    parts += [struct.pack("<?2q", False, len(LABELS), DIM), draw.normal(size=len(LABELS) * DIM).astype("<f4").tobytes()]
    return b"".join(parts)


def answers(found: hierarchical.Model) -> list[tuple[list[str], list[float]]]:
    encoded = [text.encode() for text in TEXTS]
    offsets = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
    data = np.frombuffer(b"".join(encoded), np.uint8)
    labels, scores, ends = ngram_sum.best(data, offsets, 1_000, found.ngrams, found.tree, 4)
    assert np.isfinite(scores).all()
    return [([found.labels[label] for label in labels[a:b]], scores[a:b].tolist()) for a, b in itertools.pairwise(ends)]


def read(data: bytes) -> hierarchical.Model | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ftz"
        path.write_bytes(data)
        return hierarchical.load.__wrapped__(str(path))


@pytest.mark.parametrize("norms", [False, True])
def test_the_small_model_is_one_that_fasttext_reads(tmp_path: Path, norms: bool) -> None:
    (tmp_path / "model.ftz").write_bytes(model(norms))
    found = hierarchical.load(str(tmp_path / "model.ftz"))
    assert found is not None
    labels, scores = fasttext_model.predict(str(tmp_path / "model.ftz"), TEXTS, 4)
    for (names, values), wanted, theirs in zip(answers(found), labels, scores, strict=True):
        assert names == wanted
        assert values == pytest.approx(theirs.tolist(), abs=2e-6)


NUMBERS = st.sampled_from([0, 1, -1, 2, 255, 256, 10**6, 2**31 - 1, -(2**31), 2**33, 2**62, -(2**63)])
DAMAGE = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(0)),
    st.tuples(st.just("flip"), st.floats(0, 1), st.integers(0, 7)),
    st.tuples(st.just("int"), st.floats(0, 1), NUMBERS),
    st.tuples(st.just("long"), st.floats(0, 1), NUMBERS),
    st.tuples(st.just("head"), st.floats(0, 1), NUMBERS),
)


def damaged(data: bytes, kind: str, where: float, what: int) -> bytes:
    at = int(where * (min(len(data), 320) if kind == "head" else len(data) - 1))
    if kind == "cut":
        return data[:at]
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ 1 << what]) + data[at + 1 :]
    width = 8 if kind == "long" else 4
    lie = (what % (1 << 8 * width)).to_bytes(width, "little")
    return (data[:at] + lie + data[at + width :])[: len(data)]


@given(st.booleans(), st.lists(DAMAGE, min_size=1, max_size=3))
@settings(max_examples=1_000, deadline=None)
def test_a_damaged_model_is_an_error_or_a_model(norms: bool, damages: list[tuple[str, float, int]]) -> None:
    data = model(norms)
    for damage in damages:
        data = damaged(data, *damage) if data else data
    try:
        found = read(data)
    except hierarchical.BadModel:
        return
    if found is None:  # of another kind
        return
    ngrams, tree = found.ngrams, found.tree
    known = np.unpackbits(ngrams.known, bitorder="little")[: ngrams.row.size].astype(bool)
    assert (known == (ngrams.row >= 0)).all()
    for rows in (ngrams.row[known], ngrams.ids[ngrams.ids >= 0], np.array([max(ngrams.end, 0)])):
        assert ((rows >= 0) & (rows < len(ngrams.rows))).all()
    assert (ngrams.ids < 0).any()  # or a word that is not there would be sought for ever
    assert ngrams.rows.shape[1] == tree.weights.shape[1]
    leaves = len(found.labels)
    assert len(tree.weights) == len(tree.children) == leaves - 1
    assert sorted(tree.children.flatten().tolist()) == list(range(2 * leaves - 2))  # every node once, but the root
    answers(found)


@pytest.mark.parametrize("cut", [60, 100, 200, 300, 1_000])
def test_a_model_that_is_cut_off_is_no_model_of_another_kind(tmp_path: Path, cut: int) -> None:
    (tmp_path / "model.ftz").write_bytes(model(False)[:cut])
    with pytest.raises(hierarchical.BadModel, match=r"model\.ftz is damaged or cut off"):
        hierarchical.load(str(tmp_path / "model.ftz"))
