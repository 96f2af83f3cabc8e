"""The HTML reader: a file is a page."""

from pathlib import Path

from corpus import files
from corpus.readers import Settings, html


def test_every_file_is_a_record(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.html").write_bytes(b"<p>a</p>")
    (tmp_path / "sub" / "b.html").write_bytes(b"<p>b</p>")
    found = files.find(f"{tmp_path}/**/*.html")
    records = [r for f in found for s in html.splits(f.path, f.size, 1) for r in html.read(s, Settings())]
    assert [r.html for r in records] == [b"<p>a</p>", b"<p>b</p>"]
    assert [r.origin for r in records] == ["a.html", "b.html"]  # no folder: an id is the same wherever the input lies


def test_a_large_file_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(b"x" * 100)
    [record] = html.read(html.splits(str(path), 100, 10)[0], Settings(max_record_bytes=50))
    assert record.failure is not None
    assert record.failure[0] == "too_large"
