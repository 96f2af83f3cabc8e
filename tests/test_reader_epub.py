"""The EPUB reader: order, chapters, metadata, and archives that mean harm."""

import io
import zipfile
from pathlib import Path

import pytest

from corpus.normalise import normalise
from corpus.readers import Record, Settings, epub

DATA = Path(__file__).parents[2] / "shared" / "data"
CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="O/p.opf"/></rootfiles></container>'
)
OPF = """<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>
<dc:title>The Book</dc:title><dc:creator>A. Writer</dc:creator><dc:creator>B. Other</dc:creator>
<dc:language>en-GB</dc:language><dc:date>1999-12-31T00:00:00Z</dc:date><dc:rights>CC BY 4.0</dc:rights></metadata>
<manifest>
<item id="two" href="two.xhtml" media-type="application/xhtml+xml"/>
<item id="one" href="sub/one%20a.xhtml" media-type="application/xhtml+xml"/>
<item id="gone" href="gone.xhtml" media-type="application/xhtml+xml"/>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
</manifest><spine><itemref idref="one"/><itemref idref="gone"/><itemref idref="two"/></spine></package>"""
NAV = """<html xmlns="http://www.w3.org/1999/xhtml"><body><nav><ol><li><a href="sub/one%20a.xhtml">First Steps</a></li>
<li><a href="two.xhtml">Second Steps</a></li><li><a href="two.xhtml#b">Third Steps</a></li></ol></nav></body></html>"""
ONE = "<html><head><title>x</title></head><body><h1>First Steps</h1><p>It began.</p><p>It went on.</p></body></html>"
TWO = "<html><body><h1>Second Steps</h1><p>More &amp; more.</p><h1 id='b'>Third Steps</h1><p>The end.</p></body></html>"
FILES = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": CONTAINER,
    "O/p.opf": OPF,
    "O/nav.xhtml": NAV,
    "O/sub/one a.xhtml": ONE,
    "O/two.xhtml": TWO,
}


def archive(**changes: str | None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in (FILES | {k.replace("__", "/"): v for k, v in changes.items()}).items():
            if text is not None:
                file.writestr(name, text)
    return out.getvalue()


def read(tmp_path: Path, data: bytes, settings: Settings = Settings()) -> Record:  # noqa: B008
    path = tmp_path / "a.epub"
    path.write_bytes(data)
    [record] = epub.read(epub.splits(str(path), len(data), 1)[0], settings)
    return record


def test_pages_come_in_the_order_of_the_spine(tmp_path: Path) -> None:
    record = read(tmp_path, archive())
    assert record.text == (
        "First Steps\n\nIt began.\n\nIt went on.\n\nSecond Steps\n\nMore & more.\n\nThird Steps\n\nThe end."
    )


def test_metadata_and_chapters(tmp_path: Path) -> None:
    record = read(tmp_path, archive())
    assert (record.title, record.author, record.language_hint) == ("The Book", "A. Writer, B. Other", "en-gb")
    assert (record.date, record.license) == ("1999-12-31", "CC BY 4.0")
    text, found = record.text or "", record.chapters or []
    assert [title for title, _, _ in found] == ["First Steps", "Second Steps", "Third Steps"]
    assert all(text.startswith(title, start) for title, start, _ in found)
    assert found[-1][2] == len(text)


def test_without_a_table_of_contents_headings_name_the_chapters(tmp_path: Path) -> None:
    record = read(tmp_path, archive(O__nav__xhtml=None, **{"O/nav.xhtml": "broken"}))
    assert [title for title, _, _ in record.chapters or []] == ["First Steps", "Second Steps"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"META-INF/container.xml": None}, "broken_record"),
        ({"META-INF/container.xml": "<container/>"}, "broken_record"),
        ({"O/p.opf": ""}, "broken_record"),
        ({"O/p.opf": "<package/>"}, "broken_record"),
        ({"O/sub/one a.xhtml": None, "O/two.xhtml": None}, "no_text"),
        ({"O/two.xhtml": "\x00\x01\x02" * 99}, "bad_encoding"),
    ],
)
def test_a_broken_book_is_a_failure(tmp_path: Path, changes: dict[str, str | None], reason: str) -> None:
    record = read(tmp_path, archive(**changes))
    assert record.failure is not None
    assert record.failure[0] == reason


def test_an_entity_bomb_and_outside_entities_stay_shut(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]><package>&x;</package>'
    assert read(tmp_path, archive(**{"O/p.opf": bomb})).failure is not None


def test_a_zip_bomb_is_bounded(tmp_path: Path) -> None:
    record = read(tmp_path, archive(**{"O/two.xhtml": "<p>" + "x" * 3_000_000}), Settings(max_record_bytes=100_000))
    assert record.failure is not None
    assert record.failure[0] == "too_large"


def test_paths_that_climb_out_find_nothing(tmp_path: Path) -> None:
    record = read(tmp_path, archive(**{"O/p.opf": OPF.replace("two.xhtml", "../../../etc/passwd")}))
    assert record.text == "First Steps\n\nIt began.\n\nIt went on."


def test_real_books() -> None:
    paths = sorted((DATA / "books" / "epub").glob("*.epub"))
    if not paths:
        pytest.skip("shared/data is not here")
    for path in paths:
        [record] = epub.read(epub.splits(str(path), 1, 1)[0], Settings())
        text = record.text or ""
        for _, start, end, _ in reversed(record.edits or []):
            text = text[:start] + text[end:]
        assert "PROJECT GUTENBERG" not in text
        assert normalise(text)[0] == text
        assert len(record.chapters or []) > 8
        words = [title.split()[0].lower() for title, _, _ in record.chapters or []]
        assert [text[s : s + 40].split()[0].lower() for _, s, _ in record.chapters or []][3:] == words[3:]
