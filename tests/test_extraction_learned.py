"""The parts of the learned engine: walk, measures, features, trees, selection, text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.markdown_cases import CASES
from corpus.extraction import ExtractionError, Page, engine
from corpus.extraction.learned import hydration, model
from corpus.extraction.learned.arrays import HIDDEN, NO_WIDTH, Walked
from corpus.extraction.learned.features import COLUMNS, features
from corpus.extraction.learned.forest import Forest, probabilities
from corpus.extraction.learned.machine import readable
from corpus.extraction.learned.measures import COLUMNS as MEASURES
from corpus.extraction.learned.measures import measure
from corpus.extraction.learned.parse import well_formed
from corpus.extraction.learned.select import best
from corpus.extraction.learned.tame import MAX_DEPTH, tamed
from corpus.extraction.learned.walk import walk

PIECES = ["<p>", "</p>", "<div class='nav a1'>", "</div>", "a b ", "<b>", "</b>", "<br>", "<ul><li>", "<table><td>", "x",
          "<pre> a\n b</pre>", "<script>if (a<b) {}</script>", "&nbsp;&lt;", "é日本", "<a href='#x'>", "</a>", "\u200b",
          "<svg><p>", "<select><option>", "<p id=a\"b>", "<!-- > -->", "<plaintext>", "<textarea>", "<h1>", "<code>"]  # fmt: skip
HTML = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def walked(html: str) -> Walked:
    return walk(well_formed(html))


def texts(page: Walked) -> list[str]:
    data = page.text.tobytes()
    return [
        data[a:b].translate(None, b"\1\2\3").decode() for a, b in zip(page.blocks.start, page.blocks.end, strict=True)
    ]


@given(html=HTML)
@settings(max_examples=200, deadline=None)
def test_ranges_nest_and_blocks_follow_each_other(html: str) -> None:
    page = walked(html)
    e, b = page.elements, page.blocks
    assert np.all(e.parent[1:] < np.arange(1, len(e.tag)))
    assert np.all(e.first[e.parent] <= e.first)
    assert np.all(e.last <= e.last[e.parent])
    assert (e.first[0], e.last[0]) == (0, len(b.start))
    assert np.all(b.start < b.end)
    assert np.all(b.end[:-1] <= b.start[1:])
    for k, element in enumerate(b.element):
        assert e.first[element] <= k < e.last[element]
    assert all(text.strip() for text in texts(page))
    rows = features(page, measure(page))
    assert rows.shape == (len(b.start), len(COLUMNS))
    assert np.isfinite(rows).all()


def test_blocks_end_at_block_tags_and_empty_lines() -> None:
    page = walked(
        "<p>One <b>bold</b> word<br>and a line<br><br>next<div>third&nbsp;&amp; last</div><script>no</script>"
    )
    assert texts(page) == ["One bold word\nand a line", "next", "third & last"]


def test_code_keeps_its_white_space() -> None:
    assert texts(walked("<pre>  def f():\n\n      return 1\n</pre>")) == ["  def f():\n\n      return 1"]


def test_links_strong_and_hidden_text_are_known() -> None:
    page = walked("<p>ab <a href=/x>cde</a> <b>fg</b><p style='display: none'>x<p style='font-size:0'>y<p hidden>z")
    assert (page.blocks.link[0], page.blocks.links[0], page.blocks.strong[0]) == (3, 1, 2)
    flags = page.elements.flags[page.blocks.element]
    assert [bool(flag & HIDDEN) for flag in flags] == [False, True, False, True]
    assert bool(flags[2] & NO_WIDTH)


def test_what_is_never_shown_is_not_read() -> None:
    page = walked(
        "<title>T &amp; x</title><p>a</p><script>var a='<p>b'</script><style>p{}</style><svg><text>c</text></svg>"
    )
    assert texts(page) == ["a"]
    assert page.title.tobytes() == b"T &amp; x"


def test_a_broken_attribute_swallows_nothing() -> None:
    assert texts(walked('<p>a</p><img alt="x" y" src="z"><p>b</p><noscript><iframe src=x /></noscript><p>c</p>')) == [
        "a",
        "b",
        "c",
    ]


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [("One two. Three!", "stops", 2), ("今日は。", "stops", 1), ("a, b、c", "commas", 2), ("© Me", "copyright", 1),
     ("— “Ab”", "words", 1), ("année été", "words", 2), ("Ab cd", "begins_upper", 1), ("so: ", "ends_colon", 1)],
)  # fmt: skip
def test_measures(text: str, column: str, value: int) -> None:
    assert measure(walked(f"<p>{text}</p>")).value[0, MEASURES.index(column)] == value


def test_texts_that_are_equal_have_equal_hashes() -> None:
    found = measure(walked("<p>One, two</p><p>one two</p><p>two one</p>")).hash
    assert found[0] == found[1] != found[2]


@given(html=HTML)
@settings(max_examples=50, deadline=None)
def test_scripts_change_nothing(html: str) -> None:
    page, other = walked(f"<p>{html}"), walked(f"<script>x<p></script><p>{html}")
    assert np.array_equal(page.blocks.link, other.blocks.link)
    assert texts(page) == texts(other)


def test_forest_walks_its_trees() -> None:
    forest = Forest(
        root=np.array([0, 5], np.int32),
        depth=np.array([2, 1], np.int16),
        column=np.array([0, 0, 1, 0, 0, 1, 0, 0], np.int16),
        threshold=np.array([1, 0, 5, 0, 0, 0, 0, 0], np.float32),
        child=np.array([[1, 2], [1, 1], [3, 4], [3, 3], [4, 4], [1, 2], [1, 1], [2, 2]], np.int16),
        value=np.array([0, -1, 0, 2, 4, 0, 10, 20], np.float32),
    )
    rows = np.array([[1, 0], [2, 5], [2, 6]] * 5, np.float32)
    assert probabilities(forest, rows) == pytest.approx(1 / (1 + np.exp([-9.0, -22.0, -24.0] * 5)))


@pytest.mark.parametrize("number", [0, 1, 7, 8, 63, 64, 65, 136])
def test_a_row_is_judged_alike_alone_and_among_others(number: int) -> None:
    forest = model.shipped()
    rows = np.random.default_rng(number).normal(size=(number, len(model.COLUMNS))).astype(np.float32)
    rows[::3, ::5] = np.nan
    alone = [probabilities(forest, rows[k : k + 1]) for k in range(number)]
    assert np.array_equal(probabilities(forest, rows), np.concatenate([np.empty(0, np.float32), *alone]))


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 50)), min_size=1, max_size=8))
def test_the_best_set_of_blocks(blocks: list[tuple[float, int]]) -> None:
    p, w = np.array([b[0] for b in blocks]), np.array([b[1] for b in blocks])
    chosen, expected = best(p, w)
    if not p.sum():
        assert (chosen.sum(), expected) == (0, 0.0)
        return
    sets = [np.array([bit >> k & 1 for k in range(len(p))], bool) for bit in range(1, 1 << len(p))]
    scores = [2 * (w * p)[s].sum() / (w[s].sum() + (w * p).sum()) for s in sets]
    assert expected == pytest.approx(max(scores))
    assert expected == pytest.approx(2 * (w * p)[chosen].sum() / (w[chosen].sum() + (w * p).sum()))


def test_hostile_nesting_and_attributes_are_cut_and_nothing_else() -> None:
    plain = b"<DIV><BR>" * 900 + b"x" + b"</DIV>" * 900 + b'<p class="a > b">y</p><script>"<div>" < 3</script>'
    assert tamed(plain) == plain
    assert tamed(b"<BR>" * 9000) == b"<BR>" * 9000
    deep = tamed(b"<div>" * 9000 + b"x" + b"</div>" * 9000)
    assert deep.count(b"<div>") == MAX_DEPTH
    assert len(tamed(b"<p " + b"a=b " * 9000 + b">x")) < 3000
    assert len(texts(walked("<div>" * 100_000 + "x"))) == 1


@pytest.mark.parametrize("text", ["PHP Warning: x in /a/b.php on line 3", "[object Object]", "Array (", "{{ title }}",
                                  "[vc_row][vc_column width=1]", "window.x = 1", "Lorem ipsum dolor sit amet, x"])  # fmt: skip
def test_machine_text_is_cut(text: str) -> None:
    assert readable(text) == ""


@pytest.mark.parametrize(
    "text", ["He said [sic] it [1].", "An array (of boats) it was.", "Undefined terms remain.", "a < b, {x}"]
)
def test_human_text_is_not(text: str) -> None:
    assert readable(text) == text
    assert readable(f"[vc_row el=1]{text}[/vc_row]") == text


BODY = " ".join(f"Sentence number {k} tells of the sea." for k in range(20))


def test_json_ld_stands_in_where_nothing_is_shown() -> None:
    page = f'<title>T</title><div id=root></div><script type="application/ld+json">{{"@type":"Article","articleBody":"{BODY}"}}</script>'
    assert engine("blocks").extract(Page(page, None, "utf-8")).text == BODY
    assert hydration.text(page, BODY * 3) is None


def test_hydration_data_stand_in_too() -> None:
    page = f'<div></div><script id="__NEXT_DATA__" type="application/json">{{"a":[{{"body":"<p>{BODY}</p><p>And more.</p>","id":1}}]}}</script>'
    assert hydration.text(page, "") == f"{BODY}\nAnd more."
    assert hydration.text("<script type='application/json'>{broken", "") is None


def test_a_products_description_is_added_to_a_thin_page() -> None:
    visible = "A lamp of brass and glass. Price 20."
    page = f'<script type="application/ld+json">[{{"@type":"Product","description":"{BODY}"}}]</script>'
    long = visible * 12
    assert hydration.text(page, long) == f"{long}\n\n{BODY}"
    assert hydration.text(page, f"{long} {BODY}") is None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_markdown_keeps(case: object) -> None:
    text = engine("blocks").extract(Page(case.html, None, "utf-8", "markdown")).text  # type: ignore[attr-defined]
    for expected in case.expected:  # type: ignore[attr-defined]
        assert expected in text


def test_plain_text_has_no_marks() -> None:
    text = engine("blocks").extract(Page(CASES[4].html, None, "utf-8")).text
    assert "```" not in text
    assert "\n    if width < 0:\n" in text
    assert "\1" not in text


def test_confidence_is_between_0_and_1_and_repeats() -> None:
    page = Page(CASES[0].html, None, "utf-8")
    first, second = (engine("blocks").extract(page) for _ in range(2))
    assert first == second
    assert first.confidence is not None
    assert 0 < first.confidence <= 1


def test_a_model_for_other_features_is_refused(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.npz"  # type: ignore[operator]
    monkeypatch.setattr(model, "COLUMNS", ("x",))
    model.save(model.Forest(*(np.zeros(1) for _ in range(6))), path)  # type: ignore[arg-type]
    monkeypatch.undo()
    with pytest.raises(model.WrongModel):
        model.load(path)


def test_a_page_of_nothing_but_noise_is_an_error() -> None:
    with pytest.raises(ExtractionError):
        engine("blocks").extract(Page("<p style='font-size:0'>invisible words</p>", None, "utf-8"))
