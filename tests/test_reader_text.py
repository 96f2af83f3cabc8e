"""The text reader: charsets, Gutenberg's licence, and chapters."""

import gzip
import json
from pathlib import Path

import pytest

from corpus.normalise import normalise
from corpus.readers import Record, Settings, text
from corpus.readers._chapters import chapters

DATA = Path(__file__).parents[2] / "shared" / "data"
BODY = "It was a day like any other, and nobody in the house expected it to end as it did. " * 5


def read(path: Path, data: bytes) -> Record:
    path.write_bytes(data)
    [record] = text.read(text.splits(str(path), len(data), 10)[0], Settings())
    return record


def after_edits(record: Record) -> str:
    whole = record.text or ""
    for _, start, end, replacement in reversed(record.edits or []):
        whole = whole[:start] + replacement + whole[end:]
    return whole


GUTENBERG = f"""\ufeffThe Project Gutenberg EBook of A Book, by Somebody

Title: A Book
       And Its Subtitle

Author: Some Body

Release Date: June 27, 2008 [EBook #11]
Language: French

*** START OF THIS PROJECT GUTENBERG EBOOK A BOOK ***

Produced by Volunteers

CHAPTER I.

{BODY}

CHAPTER II.

{BODY}

End of the Project Gutenberg EBook of A Book, by Somebody

*** END OF THIS PROJECT GUTENBERG EBOOK A BOOK ***

Licence.
"""


def test_the_licence_is_cut_as_edits_and_the_header_read(tmp_path: Path) -> None:
    record = read(tmp_path / "a.txt", GUTENBERG.replace("\n", "\r\n").encode())
    assert [edit[0] for edit in record.edits or []] == ["gutenberg_header", "gutenberg_footer"]
    book = after_edits(record)
    assert book.startswith("CHAPTER I.")
    assert book.endswith("as it did.")
    assert (record.title, record.author) == ("A Book And Its Subtitle", "Some Body")
    assert (record.date, record.language_hint) == ("2008-06-27", "fr")


def test_chapters_count_in_the_text_after_edits(tmp_path: Path) -> None:
    record = read(tmp_path / "a.txt", GUTENBERG.encode())
    book = after_edits(record)
    found = record.chapters or []
    assert [title for title, _, _ in found] == ["CHAPTER I.", "CHAPTER II."]
    assert all(book.startswith(title, start) for title, start, _ in found)
    assert found[-1][2] == len(book)


def test_a_text_without_licence_stays_whole(tmp_path: Path) -> None:
    record = read(tmp_path / "a.txt", b"Just a note.\r\n\r\nAnd more.")
    assert (record.text, record.edits, record.chapters) == ("Just a note.\n\nAnd more.", None, None)


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "cp1252"])
def test_charsets_are_found(tmp_path: Path, charset: str) -> None:
    written = "Der Bär wäre größer als die Füchse, sagte Jürgen über das Gespräch. " * 5
    assert read(tmp_path / "a.txt", written.encode(charset)).text == written.strip()


def test_compressed_texts_are_read(tmp_path: Path) -> None:
    assert read(tmp_path / "a.txt.gz", gzip.compress(b"A note.")).text == "A note."


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "no_text"), (b"\x00\x01\x02" * 99, "bad_encoding"), (b"\x1f\x8b\x08broken", "broken_record")],
)
def test_what_is_no_text_is_a_failure(tmp_path: Path, data: bytes, reason: str) -> None:
    record = read(tmp_path / "a.txt", data)
    assert record.failure is not None
    assert record.failure[0] == reason


@pytest.mark.parametrize(
    "headings",
    [
        ["CHAPTER I", "CHAPTER II", "CHAPTER III"],
        ["Chapter 1. The Door", "Chapter 2. The Key"],
        ["BOOK THE FIRST", "BOOK THE SECOND"],
        ["CHAPITRE PREMIER", "CHAPITRE II", "CHAPITRE III"],
        ["PREMIÈRE PARTIE", "DEUXIÈME PARTIE"],
        ["Capítulo I", "Capítulo II"],
        ["CAPITOLO PRIMO", "CAPITOLO SECONDO"],
        ["Erstes Kapitel", "Zweites Kapitel"],
        ["CAPÍTULO PRIMEIRO", "CAPÍTULO SEGUNDO"],
        ["I", "II", "III", "IV"],
        ["1", "2", "3"],
    ],
)
def test_headings_of_many_languages(headings: list[str]) -> None:
    whole = "\n\n".join(f"{heading}\n\n{BODY}" for heading in headings)
    assert [title for title, _, _ in chapters(whole)] == headings


def test_a_table_of_contents_is_no_chapter() -> None:
    names = [f"CHAPTER {n}" for n in ("I", "II", "III", "IV")]
    whole = "CONTENTS\n\n" + "\n".join(names) + f"\n\nPREFACE\n\n{BODY}\n\n"
    whole += "\n\n".join(f"{name}\n\n{BODY}" for name in names)
    found = chapters(whole)
    assert [title for title, _, _ in found] == names
    assert found[0][1] > whole.index("PREFACE")


def test_sentences_are_no_headings() -> None:
    assert chapters(f"{BODY}\n\nPart one of the plan was simple.\n\n{BODY}\n\nPart two was not.\n\n{BODY}") == []


def test_real_gutenberg_books_lose_their_licence() -> None:
    index = DATA / "books" / "index.jsonl"
    if not index.exists():
        pytest.skip("shared/data is not here")
    rows = [json.loads(line) for line in index.read_text().splitlines()]
    rows = [row for row in rows if row["pg_header"] and row["file"].endswith(".txt")]
    for row in rows[::4]:
        path = DATA / row["file"]
        [record] = text.read(text.splits(str(path), 1, 1)[0], Settings())
        book = after_edits(record)
        assert len(record.edits or []) == 2, path
        assert "*** START OF" not in book, path
        assert "*** END OF" not in book, path
        assert normalise(book)[0] == book, path
        assert record.author, path
