"""What is planted is what the sealed list says, and nothing else changed; the same for the same seed."""

import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import prose

from corpus.normalise import normalise
from eval import hard_negatives
from eval.documents import Document, load, split
from eval.planted_phrases import offensive_words
from eval.planting import KINDS, Planted, in_run, plant, write
from eval.text_checks import longest_repeat


@pytest.fixture(scope="module")
def clean() -> list[Document]:
    from eval.chance import digest

    texts = [f"In {1900 + n} Anna Berg of Lund counted {n * 7 + 31} boats. {prose(n)}" for n in range(160)]
    return sorted((Document(digest(n)[:32], text, "s", "en") for n, text in enumerate(texts)), key=lambda d: d.id)


def test_the_sealed_list_is_exact(clean: list[Document]) -> None:
    planted = plant(clean, 0.5, seed=1)
    rows = planted.sealed.to_pylist()
    assert len(rows) == 80
    assert {kind: sum(row["kind"] == kind for row in rows) for kind in KINDS} == dict.fromkeys(KINDS, 10)
    texts = {d.id: d.text for d in planted.documents}
    bases = {d.id: d.text for d in clean}
    assert len(texts) == len(clean)
    assert texts.keys() - bases.keys() == {row["id"] for row in rows}
    assert bases.keys() - texts.keys() == {row["base_id"] for row in rows}
    assert all(texts[key] == bases[key] for key in texts.keys() & bases.keys())
    assert all(texts[row["id"]] != bases[row["base_id"]] for row in rows)


def test_it_follows_from_the_seed_and_not_from_the_order(clean: list[Document]) -> None:
    first = plant(clean, 0.2, seed=3)
    again = plant(clean[::-1], 0.2, seed=3)
    assert first.documents == again.documents
    assert first.sealed.equals(again.sealed)
    assert not first.sealed.equals(plant(clean, 0.2, seed=4).sealed)


def test_what_is_held_out_does_not_depend_on_the_planting(clean: list[Document]) -> None:
    planted = plant(clean, 0.5)
    back = dict(zip(planted.sealed["id"].to_pylist(), planted.sealed["base_id"].to_pylist(), strict=True))
    held = {back.get(d.id, d.id) for d in split(planted.documents, 0.1)[1]}
    assert held == {d.id for d in split(clean, 0.1)[1]}


def test_planted_documents_are_known_again_after_a_build(clean: list[Document], tmp_path: Path) -> None:
    planted = plant([replace(one, key=f"key-{n}") for n, one in enumerate(clean)], 0.5)
    write(planted, tmp_path)
    read = load(tmp_path / "source-000.jsonl")
    assert sorted(in_run(read, planted.sealed).values()) == sorted(planted.sealed["kind"].to_pylist())


_PLANTED: dict[str, Planted] = {}  # planting reads every document for names: once per kind is enough


def planted_texts(clean: list[Document], kind: str) -> list[tuple[str, str]]:
    planted = _PLANTED.setdefault(kind, _PLANTED.get(kind) or plant(clean, 0.2, [kind]))
    texts, bases = {d.id: d.text for d in planted.documents}, {d.id: d.text for d in clean}
    found = [(bases[row["base_id"]], texts[row["id"]]) for row in planted.sealed.to_pylist()]
    assert len(found) == 32
    return found


def test_each_kind_does_what_its_name_says(clean: list[Document]) -> None:
    for before, after in planted_texts(clean, "boilerplate"):
        assert 1.2 < len(after) / len(before) < 3
    for before, after in planted_texts(clean, "repetition"):
        assert len(zlib.compress(after.encode())) < 0.6 * len(zlib.compress(before.encode()))
        assert longest_repeat(after) > 0.4
    for before, after in planted_texts(clean, "wrong_language"):
        assert len(set(before.split()) & set(after.split())) < 12
    for kind in (
        "boilerplate",
        "wrong_language",
        "spam",
        "toxic",
        "shuffled",
    ):  # how texts are joined gives nothing away
        assert {after.count("\n") > 0 for _, after in planted_texts(clean, kind)} == {True}
        assert all(" \n" not in after and "\n\n" not in after for _, after in planted_texts(clean, kind))
    for before, after in planted_texts(clean, "shuffled"):
        assert [len(line) > 0 for line in after.split("\n")] == [len(line) > 0 for line in before.split("\n")]
        assert sorted(before.split()) == sorted(after.split())
    words = set(offensive_words())
    assert not words & set(offensive_words(held_apart=True))
    for _, after in planted_texts(clean, "toxic"):
        assert sum(word.strip(".,?!") in words for word in after.lower().split()) >= 3
    for before, after in planted_texts(clean, "swapped_facts"):
        assert 1 <= sum(a != b for a, b in zip(before.split(), after.split(), strict=True)) <= 9
    copies = [after for _, after in planted_texts(clean, "spam")]
    assert len(set(copies)) == len(copies)
    shared = [len(set(a.split()) & set(copies[0].split())) / len(set(a.split())) for a in copies[1:25]]
    assert sum(s > 0.5 for s in shared) > 10


def test_most_mojibake_survives_a_build(clean: list[Document]) -> None:
    found = planted_texts(clean, "mojibake")
    survived = [normalise(after)[0] for _, after in found]
    assert sum(text.isascii() for text in survived) == 0
    assert sum(sum(not c.isascii() for c in text) > 5 for text in survived) > 24


def test_small_and_odd_corpora_are_no_error(clean: list[Document]) -> None:
    assert plant([], 0.5).sealed.num_rows == 0
    assert plant(clean[:1], 1.0).sealed.num_rows == 1
    assert plant([Document("0" * 32, "short")], 1.0).sealed.num_rows == 0
    chinese = [
        Document(f"{n:032x}", f"图书馆建于{1900 + n}年。馆内有地图。阅览室很安静。" * 20, lang="zh") for n in range(24)
    ]
    assert plant(chinese, 1.0).sealed.num_rows == 24
    with pytest.raises(ValueError, match="unknown kind"):
        plant(clean, 0.1, ["nonsense"])


def test_hard_negatives_are_of_every_kind_and_unlike() -> None:
    made = hard_negatives.make(45, seed=2, length=800)
    assert made == hard_negatives.make(45, seed=2, length=800)
    assert {d.title for d in made} == set(hard_negatives.KINDS)
    assert len({d.text for d in made}) == 45
    assert all(300 < len(d.text) < 3000 for d in made)
