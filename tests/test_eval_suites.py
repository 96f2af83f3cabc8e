"""Suites are the same every time, survive any corpus, and their right answer is right."""

import itertools
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from eval import public_suites
from eval.documents import Document, NoDocuments, load, split
from eval.mentions import mentions, sentences
from eval.suite_makers import MAKERS, Settings, make
from eval.suites import BadSuite, Item, Suite, read, slices, write

_TOWNS = "Bremen Lisbon Cracow Dublin Oslo Ghent Turin Malmo Porto Seville".split()


def document(number: int, text: str = "", **more: object) -> Document:
    town = _TOWNS[number % 10]
    said = text or (
        f"The library of {town} was opened on {number % 27 + 1} March {1800 + number}. It holds {number * 37 + 2120} "
        f"maps and many letters. Visitors from {_TOWNS[(number * 7 + 3) % 10]} come in spring. The reading room is "
        f"quiet. A clerk called Jane Miller{'s' * (number % 3)} keeps the keys."
    )
    return Document(
        id=f"{number * 2654435761 % 2**64:016x}{number * 0x9E3779B97F4A7C15 % 2**64:016x}", text=said, **more
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def library() -> list[Document]:
    return sorted((document(n, source="books", lang="en") for n in range(60)), key=lambda d: d.id)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_right_answer_is_what_the_document_says(library: list[Document], kind: str) -> None:
    suite = make(library, kind, Settings(validation=0.2, items=30))
    texts = {d.id: d.text for d in library}
    assert {item.slices["split"] for item in suite.items} == {"in_train", "held_out"}
    held = {d.id for d in split(library, 0.2)[1]}
    for item in suite.items:
        assert len(set(item.choices)) == len(item.choices) >= (2 if kind == "order" else 4)
        context, right = item.pairs()[item.answer]
        assert " ".join((context + right).split()) in " ".join(texts[item.document].split())
        wrong = [context + choice for context, choice in item.pairs() if choice != right]
        assert not any(" ".join(text.split()) in " ".join(texts[item.document].split()) for text in wrong)
        assert (item.slices["split"] == "held_out") == (item.document in held)
    assert len({item.answer for item in suite.items}) > 1  # its place gives nothing away


@pytest.mark.parametrize("kind", MAKERS)
def test_the_same_documents_give_the_same_suite_in_any_order(library: list[Document], kind: str) -> None:
    first = make(library, kind)
    assert make(library[::-1], kind).hash == first.hash
    more = make([*library, document(999, source="books", lang="en")], kind)
    kept = {item.id for item in first.items} & {item.id for item in more.items}
    assert len(kept) >= 0.8 * len(first.items)


def test_cloze_has_the_three_types_and_distractors_of_the_same_form(library: list[Document]) -> None:
    suite = make(library, "cloze")
    assert slices(suite.items)["answer_type"].keys() == {"entity", "date", "number"}
    for item in suite.items:
        if item.slices["answer_type"] == "date":
            assert all(choice.split()[1:2] == ["March"] for choice in item.choices)
        assert len(item.choices) == 10 or item.slices["answer_type"] == "entity"


ODD = {
    "empty": [],
    "one": [document(1)],
    "blank": [document(n, " ") for n in range(3)],
    "chinese": [
        document(n, f"图书馆建于{1900 + n}年。馆内有{n}张地图。阅览室很安静。读者很多。春天最美。") for n in range(30)
    ],
    "arabic": [document(n, f"افتتحت المكتبة عام {1900 + n} وفيها {n + 100} خريطة. القاعة هادئة.") for n in range(30)],
    "one line": [document(n, "word " * n) for n in range(9)],
    "broken": [document(n, "\ud800 \x00 A" * n) for n in range(9)],
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", MAKERS)
def test_odd_corpora_give_a_suite_or_a_reason(name: str, kind: str, tmp_path: Path) -> None:
    suite = make(ODD[name], kind)
    write(suite, tmp_path / "s.jsonl")
    assert read(tmp_path / "s.jsonl") == suite
    assert suite.items or len(suite.notes) == 2
    if name == "chinese":
        assert suite.items


def test_conversations_are_asked_by_their_answers() -> None:
    chats = [
        document(n, "x", turns=(("system", "Be kind."), ("user", f"What is {n}?"), ("assistant", f"It is number {n}.")))
        for n in range(12)
    ]
    items = make(chats, "relevance").items
    assert items
    for item in items:
        assert item.slices["form"] == "chat"
        assert item.prompts[0].removeprefix("What is ").removesuffix("?") in item.choices[item.answer]


def test_mentions_are_found_by_form() -> None:
    text = "On 3 May 1999 Anna of York paid 1,250 coins. She left Paris in 2001. Page 12. 3.5 is pi; v1.2 is not."
    assert [(m.kind, m.text) for m in mentions(text)] == [
        ("date", "3 May 1999"), ("entity", "Anna of York"), ("number", "1,250"), ("entity", "Paris"),
        ("date", "2001"), ("number", "12"), ("number", "3.5"),
    ]  # fmt: skip
    assert [m.text for m in mentions("Le 4 mars 1850, puis 2024-05-06 et 1998年3月.")] == [
        "4 mars 1850",
        "2024-05-06",
        "1998年3月",
    ]


@given(st.text(max_size=200))
@settings(deadline=None)
def test_any_text_has_mentions_in_place_and_sentences_that_cover_it(text: str) -> None:
    last = 0
    for mention in mentions(text):
        assert mention.start >= last
        assert text[mention.start : mention.end] == mention.text
        last = mention.end
    spans = list(sentences(text))
    covered = "".join(text[start:end] for start, end in spans)
    kept, closing = "".join(covered.split()), "\"'”’»)]"
    assert [c for c in "".join(text.split()) if c not in closing] == [c for c in kept if c not in closing]
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_a_changed_suite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    write(Suite("s", (Item("1", "choice", ("a",), (" b", " c"), 1),)), path)
    path.write_text(path.read_text().replace('"answer": 1', '"answer": 0'))
    with pytest.raises(BadSuite, match="not those"):
        read(path)
    path.write_text(path.read_text().replace('"answer": 0', '"answer": 7'))
    with pytest.raises(BadSuite, match="line 2"):
        read(path)
    path.write_text("{}\n")
    with pytest.raises(BadSuite, match="first line"):
        read(path)


def test_documents_come_from_a_file_or_a_run(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": "a"}\n{"text": "b", "id": "00"}\n')
    found = load(path)
    assert sorted(d.text for d in found) == ["a", "a", "b"]
    assert len({d.id for d in found}) == 3
    assert [d.key for d in found if d.text == "b"] == ["00"]
    split(found, 0.5)
    for bad, said in (('{"txt": 1}', "line 1 has no `text`"), ("{", "line 1 is no JSON")):
        path.write_text(bad)
        with pytest.raises(NoDocuments, match=said):
            load(path)
    with pytest.raises(NoDocuments, match="no docs/"):
        load(tmp_path)
    with pytest.raises(NoDocuments, match="no such"):
        load(tmp_path / "x")


def test_the_held_out_part_is_exact_and_never_none_of_two() -> None:
    ids = [f"{'0' * 16}{n:016x}" for n in (0, 2**62, 2**63, 2**64 - 1)]
    docs = [Document(id=name, text="", source="a") for name in ids]
    assert [d.id for d in split(docs, 0.5)[1]] == ids[:2]
    assert [d.id for d in split(docs[2:], 0.1)[1]] == [ids[2]]
    assert split(docs[3:], 0.1)[1] == []
    assert [d.id for d in split(docs[:2], 0.9)[0]] == [ids[1]]  # and one is left to learn from
    assert split([], 0.1) == ([], [])
    assert split(docs, 0)[1] == []


ROWS = {
    "lambada": [{"context": "He saw the ", "continuation": "sea"}],
    "winogrande": [
        {"context_options": ["The cat so the cat", "The cat so the dog"], "continuation": "ran.", "gold": 1}
    ],
    "arc_easy": [{"query": "Question: What?", "choices": ["this", "that", "none"], "gold": 2}],
    "boolq": [{"query": "Passage: x\nQuestion: y?\nAnswer:", "choices": ["no", "yes"], "gold": 0}],
    "blimp": [{"sentence_good": "It is.", "sentence_bad": "It are.", "UID": "u", "linguistics_term": "agreement"}],
}


@pytest.mark.parametrize("name", ROWS)
def test_public_tests_are_read_in_one_form(name: str, tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(row) for row in ROWS[name])
    (tmp_path / f"{name}.jsonl").write_text(lines)
    (tmp_path / f"{name}.jsonl.zst").write_bytes(zstandard.compress(lines.encode()))
    suite = public_suites.load(tmp_path / f"{name}.jsonl")
    assert public_suites.load(tmp_path / f"{name}.jsonl.zst").items == suite.items
    item = suite.items[0]
    assert all(continuation.startswith(" ") or name == "blimp" for _, continuation in item.pairs())
    assert (
        item.pairs()[item.answer]
        == {
            "lambada": ("He saw the", " sea"),
            "winogrande": ("The cat so the dog", " ran."),
            "arc_easy": ("Question: What?\nAnswer:", " none"),
            "boolq": ("Passage: x\nQuestion: y?\nAnswer:", " no"),
            "blimp": ("", "It is."),
        }[name]
    )
    write(suite, tmp_path / "suite.jsonl")
    assert read(tmp_path / "suite.jsonl") == suite


def test_a_file_of_another_form_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"query": "a", "choices": ["b"], "gold": 4}\n')
    with pytest.raises(BadSuite, match="line 1: gold 4"):
        public_suites.load(tmp_path / "x.jsonl")
    (tmp_path / "x.jsonl").write_text('{"question": "a"}\n')
    with pytest.raises(BadSuite, match="line 1: none of the forms"):
        public_suites.load(tmp_path / "x.jsonl")
