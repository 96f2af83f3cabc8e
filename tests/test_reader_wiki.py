"""The wiki reader: every page is a text or a row with a reason, whatever became of the dump; and wikitext as read."""

import bz2
import gzip
import json
import lzma
import re
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.build import build
from corpus.extraction.wikitext.page import extract
from corpus.readers import Record, Settings, Split, Wikitext, wiki

DATA = Path(__file__).parents[2] / "shared" / "data" / "wiki"
HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="de">
  <siteinfo><base>https://de.example.org/wiki/Wikipedia:Hauptseite</base><namespaces>
  <namespace key="-2" case="first-letter">Medium</namespace><namespace key="0" case="first-letter" />
  <namespace key="6" case="first-letter">Datei</namespace><namespace key="10" case="first-letter">Vorlage</namespace>
  <namespace key="14" case="first-letter">Kategorie</namespace></namespaces></siteinfo>
"""
TAIL = "</mediawiki>\n"


def page(title: str, text: str = "Es regnet.", ns: str | None = "0", more: str = "", model: str = "wikitext") -> str:
    number = f"<ns>{ns}</ns>" if ns else ""
    return (
        f"  <page>\n    <title>{title}</title>{number}<id>7</id>{more}<revision><id>70</id>"
        f"<timestamp>2020-02-03T04:05:06Z</timestamp><contributor><username>Bob</username><id>1</id></contributor>"
        f"<model>{model}</model><format>text/x-wiki</format>"
        f'<text bytes="9" xml:space="preserve">{text}</text></revision>\n  </page>\n'
    )


def read(path: Path, data: bytes | str, given: Settings = Settings()) -> list[Record]:  # noqa: B008
    data = data.encode() if isinstance(data, str) else data
    path.write_bytes(data)
    return [r for part in wiki.splits(str(path), len(data), 1 << 30) for r in wiki.read(part, given)]


def told(records: list[Record]) -> list[str]:
    return [record.failure[0] if record.failure else "text" for record in records]


def shown(source: str, form: str = "text") -> str:
    return extract(Wikitext(source, frozenset({"file", "image", "category", "datei"})), form)


def test_a_page_has_address_title_date_and_language(tmp_path: Path) -> None:
    [record] = read(tmp_path / "a.xml", HEAD + page("Grüne Wiese/A &amp; B?", "Ein &lt;b&gt;Text&lt;/b&gt;") + TAIL)
    assert record.url == "https://de.example.org/wiki/Gr%C3%BCne_Wiese/A_%26_B%3F"
    assert (record.title, record.date, record.language_hint) == ("Grüne Wiese/A & B?", "2020-02-03T04:05:06Z", "de")
    assert record.extra == {"page_id": "7", "revision_id": "70"}
    assert (record.author, record.media_type, record.charset) == (None, "text/x-wiki", "utf-8")
    assert record.wikitext is not None
    assert record.wikitext.source == "Ein <b>Text</b>"
    assert {"datei", "kategorie", "medium", "file", "image", "category"} <= record.wikitext.unseen


def test_a_dump_that_says_nothing_of_its_wiki_has_pages_all_the_same(tmp_path: Path) -> None:
    [record] = read(tmp_path / "a.xml", "<mediawiki>" + page("Wiese", ns=None) + TAIL)
    assert (record.url, record.origin, record.title, record.failure) == (None, "Wiese", "Wiese", None)


@pytest.mark.parametrize(
    ("written", "reason", "detail"),
    [
        (page("Vorlage:A", ns="10"), "other_namespace", "10"),
        (page("Vorlage:A", ns=None), "other_namespace", "10"),
        (page("A", "#REDIRECT [[B]]", more='<redirect title="B &amp; C" />'), "redirect", "B & C"),
        (page("A", "#redirect:[[B#c|d]] x"), "redirect", "B#c"),
        (page("Q1", "{}", model="wikibase-item"), "not_wikitext", "wikibase-item"),
        (page("A", "\n "), "no_text", "the page is empty"),
        (page("A").replace("<title>A</title>", ""), "broken_record", "a page without a title"),
        (page("A", "a &amp b"), "broken_record", "not well-formed"),
        (page("A", "&lol9;"), "broken_record", "not well-formed: undefined entity"),
        (page("A", "<a>" * 99 + "</a>" * 99), "broken_record", "more than 16 levels"),
        (page("A", "<!DOCTYPE a []>"), "broken_record", "not well-formed"),
    ],
)
def test_what_is_no_article_is_a_row_with_a_reason(tmp_path: Path, written: str, reason: str, detail: str) -> None:
    before, record, behind = read(tmp_path / "a.xml", HEAD + page("Davor") + written + page("Danach") + TAIL)
    assert told([before, behind]) == ["text", "text"]
    assert record.failure is not None
    assert record.failure[0] == reason
    assert detail in record.failure[1]
    assert record.wikitext is None


def test_an_entity_bomb_and_outside_entities_stay_shut(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY e0 "bomb">{levels}<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    found = read(tmp_path / "a.xml", bomb + HEAD + page("A", "&e11;") + page("B", "&x;") + page("C") + TAIL)
    assert told(found) == ["broken_record", "broken_record", "text"]


def test_a_page_that_is_too_large_is_a_row_and_the_next_is_read(tmp_path: Path) -> None:
    data = HEAD + page("A", "x" * 900_000) + page("B") + TAIL
    found = read(tmp_path / "a.xml", data, Settings(max_record_bytes=10_000))
    assert told(found) == ["too_large", "text"]


def test_bytes_that_are_no_utf_8_spoil_their_page_only(tmp_path: Path) -> None:
    data = (HEAD + page("A", "Öl") + page("B") + TAIL).encode("latin-1")
    assert told(read(tmp_path / "a.xml", data)) == ["bad_encoding", "text"]


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_read(tmp_path: Path, charset: str) -> None:
    text = (HEAD + page("Öl", "Ein 🜁 Öl.") + page("B", "half") + page("C") + TAIL).encode(charset)
    half = "half".encode(charset[:9] if charset != "utf-16" else "utf-16-le")
    lone = "\ud800".encode("utf-16-be" if charset.endswith("be") else "utf-16-le", "surrogatepass")
    found = read(tmp_path / "a.xml", text.replace(half, lone * 4))
    assert told(found) == ["text", "bad_encoding", "text"]
    assert found[0].wikitext is not None
    assert found[0].wikitext.source == "Ein 🜁 Öl."
    assert found[0].charset == ("utf-16-be" if charset.endswith("be") else "utf-16-le")


@pytest.mark.parametrize(
    ("written", "reasons"),
    [
        (HEAD + page("A") + page("B")[:90], ["text", "broken_record"]),
        (HEAD + page("A") + "  <page>\n <title>B", ["text", "broken_record"]),
        (HEAD + page("A"), ["text", "broken_record"]),
        (HEAD + page("A") + "junk" + page("B") + TAIL, ["text", "broken_record", "text"]),
        (HEAD + page("A").replace("</page>", "") + page("B") + TAIL, ["broken_record", "text"]),
        (HEAD + page("A") + "</page>" + page("B") + TAIL, ["text", "broken_record", "text"]),
        (HEAD + page("A") + TAIL + "more", ["text", "broken_record"]),
        ("a,b\n1,2\n", ["broken_record"]),
        ("", ["broken_record"]),
        (HEAD, ["broken_record"]),
        (HEAD + TAIL, []),
    ],
)
def test_a_dump_that_stops_or_holds_something_else_says_so(tmp_path: Path, written: str, reasons: list[str]) -> None:
    assert told(read(tmp_path / "a.xml", written)) == reasons


@pytest.mark.parametrize("suffix", ["bz2", "xz", "gz", "zst"])
def test_compressed_dumps_and_what_is_left_of_them(tmp_path: Path, suffix: str) -> None:
    make = {"bz2": bz2.compress, "xz": lzma.compress, "gz": gzip.compress, "zst": zstandard.compress}[suffix]
    texts = ["".join(chr(97 + (i * j * 7919) % 26) for j in range(3_000)) for i in range(300)]
    data = make((HEAD + "".join(page(f"P{i}", text) for i, text in enumerate(texts)) + TAIL).encode())
    path = tmp_path / f"a.xml.{suffix}"
    whole = read(path, data)
    assert told(whole) == ["text"] * 300
    cut = read(path, data[: len(data) * 9 // 10])
    assert cut[-1].failure is not None
    assert cut[-1].failure[0] == "broken_record"
    assert cut[:-1] == whole[: len(cut) - 1]
    assert wiki.splits(str(path), 10**9, 10**6) == [Split(str(path), 0, 10**9)]


def test_of_several_revisions_the_last_is_read(tmp_path: Path) -> None:
    old = "<revision><id>1</id><timestamp>2001-01-01T00:00:00Z</timestamp><model>css</model><text>old</text></revision>"
    [record] = read(tmp_path / "a.xml", HEAD + page("A", "new", more=old) + TAIL)
    assert record.wikitext is not None
    assert (record.wikitext.source, record.date) == ("new", "2020-02-03T04:05:06Z")


SHOWN = {
    "'''Bold''' and ''it'' and '''''both'''''.": "Bold and it and both.",
    "l''''homme''''": "l'homme'",
    "A [[River|river]], [[Mill]]s, [[:Category:X]], [[wikt:a|b]].": "A river, Mills, Category:X, b.",
    "[[fr:Titre]][[zh-min-nan:X]][[Category:X]][[Datei:a.png|thumb|A [[b]] c]][[Bild:A b.jpg|c]]x": "x",
    "[http://a.example/ Site] [http://b.example/] http://c.example/ [//d.example D]": "Site http://c.example/ D",
    "a{{b|c={{d|[[e]]}}}}f<!-- g {{ -->h<ref name=i>j {{k}}</ref><ref name=i />": "afh",
    "__NOTOC____БЕЗ_ЗМІСТУ__x __init__": "x __init__",
    "{|\n|-\n| a || {{b}}\n{|\n| c\n|}\n|}\nd": "d",
    "{|\n| a\n{{end}}\nb": "b",
    "{{Infobox\n| a = b\nc": "c",
    "a<br>b<div>c</div><span style='x'>d</span><small>e</small>": "a\nb\nc\nde",
    "<nowiki>[[a]] ''b'' {{c}}</nowiki> &lt;br&gt; &#91;[d]]&nbsp;e &amp;amp;": "[[a]] ''b'' {{c}} <br> [[d e &amp;",
    "<math>x_{{1}}</math> is": "x_{{1}} is",
    "<pre>\n# a\n* b &lt;\n</pre>": "# a\n* b <",
    "x\n<syntaxhighlight lang=c>\nint a[] = {{1}};\n</syntaxhighlight>": "x\n\nint a[] = {{1}};",
    "* a\n** b\n# c\n# d\n## e\n# f\n: g\n; h : i\n* {{j}}\n* .": "- a\n  - b\n1. c\n2. d\n  1. e\n3. f\ng\nh : i",
    "Born ({{c}}; 1900) in {{d}}, x ( {{e}} ).": "Born (1900) in, x.",
    "{{PAGENAME}} #REDIRECTs": "#REDIRECTs",
    "{{unclosed [[also '''this": "",
    "text {{unclosed [[also '''this": "text unclosed also this",
    "[[[http://a.example x]]]": "x",
    "&#xD800;&#1;a": "a",
    "": "",
}


@pytest.mark.parametrize("source", SHOWN)
def test_what_a_reader_sees_of(source: str) -> None:
    assert shown(source).strip() == SHOWN[source]


def test_headings_stay_where_something_is_below_them() -> None:
    source = (
        "a\n== B ==\n=== C ===\nd\n== ''E'' {{f}} ==\n=== G ===\n{{h}}\n== See also ==\n* {{i}}\n"
        "== Links ==\n[[Category:X]]\n"
    )
    assert shown(source) == "a\n\nB\n\nC\n\nd"
    assert shown(source, "markdown") == "a\n\n## B\n\n### C\n\nd"
    assert shown("a\n== ''E'' {{f}} &lt; ==\nb", "markdown") == "a\n\n## E <\n\nb"


PIECES = "a b {{ }} {{{ }}} [[ ]] [ ] | = == \n * # : ; '' ''' <ref> </ref> <br/> <b> </b> {| |} |- ! &lt;".split(" ")
NESTED = st.recursive(
    st.sampled_from(["a", "b c", "é", "''x''", "http://a.b", "&amp;", ""]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        inner.map(lambda x: f"{{{{t|k={x}}}}}"),
        inner.map(lambda x: f"[[L|{x}]]"),
        inner.map(lambda x: f"[[File:f.png|thumb|{x}]]"),
        inner.map(lambda x: f"<ref>{x}</ref>"),
        inner.map(lambda x: f"'''{x}'''"),
        inner.map(lambda x: f"\n* {x}\n"),
        inner.map(lambda x: f"\n== {x} ==\n"),
        inner.map(lambda x: f"\n{{|\n| {x}\n|}}\n"),
    ),
    max_leaves=12,
)


@given(st.one_of(st.text(max_size=300), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)))
@settings(max_examples=300, deadline=None)
def test_no_text_crashes_the_parser(source: str) -> None:
    assert not re.search("[\x00-\x08\x0e-\x1f]", shown(source))
    shown(source, "markdown")


@given(NESTED)
@settings(max_examples=300, deadline=None)
def test_nothing_is_left_of_what_is_closed(source: str) -> None:
    text = shown(source)
    assert not re.search(r"\{\{|\}\}|\[\[|\]\]|''|<ref|\{\|", text), text


def test_a_build_counts_every_page_and_outlives_one_that_never_ends(tmp_path: Path) -> None:
    hostile = "{|\n" * 20_000  # the parser did not end in 20 s
    text = "\n\n".join(f"Satz {n} steht ''hier'' in der Mitte." for n in range(9))
    pages = [page("A", text), page("B", hostile), page("V", ns="10"), page("C", text + " Ende.")]
    (tmp_path / "a.xml.bz2").write_bytes(bz2.compress((HEAD + "".join(pages)).encode()))
    (tmp_path / "r.toml").write_text(
        f'steps = []\n[[sources]]\nname = "wiki"\nkind = "wiki"\nfiles = [{json.dumps(str(tmp_path / "a.xml.bz2"))}]\n'
        "[extract]\nseconds = 2\n[dedup]\nnear = false\n"
    )
    counts = build(tmp_path / "r.toml", tmp_path / "run", num_workers=1)
    assert (counts["read"], counts["docs"], counts["ledger"]) == (5, 2, 3)
    import duckdb

    run = tmp_path / "run"
    reasons = duckdb.sql(f"select reason, url from '{run}/ledger/*.parquet' order by reason").fetchall()
    assert [reason for reason, _ in reasons] == ["broken_record", "extract_timeout", "other_namespace"]
    docs = duckdb.sql(f"select text, provenance.extractor, meta.charset from '{run}/docs/*.parquet'").fetchall()
    assert all("''" not in text and "steht hier in" in text for text, _, _ in docs)
    assert all(extractor.startswith("wikitext ") and charset == "utf-8" for _, extractor, charset in docs)


def test_real_dumps() -> None:
    paths = sorted(DATA.glob("*"))
    if not paths:
        pytest.skip("shared/data is not here")
    for path in paths:
        [split] = wiki.splits(str(path), path.stat().st_size, 1 << 20)
        found = list(wiki.read(split, Settings()))
        counts = Counter(told(found))
        cut = [r.failure for r in found if r.failure and r.failure[0] not in ("redirect", "other_namespace")]
        assert cut == ([("broken_record", "the dump stops within this page")] if "truncated" in path.name else [])
        assert counts["text"] >= 1
        for record in [r for r in found if r.wikitext][:8]:
            assert record.wikitext is not None
            text = extract(record.wikitext, "markdown")
            assert len(text) > 200
            assert not re.search(r"^\s*(\{?\||\}\}|==)|<ref|\[\[|'''", text, re.MULTILINE), record.title
