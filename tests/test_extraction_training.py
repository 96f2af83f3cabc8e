"""How the model of `blocks` is made: labels, folds, drawn pages, trees."""

import dataclasses
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from corpus.extraction.blocks import main_text
from corpus.extraction.learned.forest import probabilities
from corpus.extraction.learned.parse import well_formed
from corpus.extraction.learned.walk import walk
from corpus.extraction.training import augment, crossed, examples, fit, layouts
from corpus.extraction.training.align import labels, words
from corpus.extraction.training.folds import NUM_FOLDS, domain, fold
from corpus.extraction.training.gold import GoldPage, pages
from corpus.extraction.training.scores import contained, interval, word_f1

PROSE = [
    "The harbour was quiet when the first boats came in, and nobody spoke for a while.",
    "Later in the morning the market opened, and the noise of the town came back at once.",
    "By noon the fish were sold, the nets were hung up to dry, and the men went home to sleep.",
]


def label(blocks: list[str], gold: str) -> list[float]:
    return labels([words(block) for block in blocks], words(gold)).tolist()


def test_blocks_of_the_gold_text_are_found_in_order() -> None:
    blocks = ["Home", "About us", *PROSE, "Read more", "The market", ""]
    assert label(blocks, "\n".join(PROSE)) == [0, 0, 1, 1, 1, 0, 0, 0]


def test_a_short_heading_counts_among_its_paragraphs_only() -> None:
    blocks = ["Boats", PROSE[0], "Boats", PROSE[1]]
    assert label(blocks, f"{PROSE[0]} Boats {PROSE[1]}") == [0, 1, 1, 1]


def test_a_block_that_was_moved_is_found() -> None:
    assert label([*PROSE, "x"], "\n".join([PROSE[2], PROSE[0], PROSE[1]])) == [1, 1, 1, 0]


@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=6), max_size=6), st.lists(st.sampled_from("abcd"), max_size=20)
)
def test_labels_are_shares(blocks: list[list[str]], gold: list[str]) -> None:
    found = labels(blocks, gold)
    assert len(found) == len(blocks)
    assert np.all((found >= 0) & (found <= 1))


def test_a_site_is_in_one_fold() -> None:
    assert domain("https://news.example.co.uk/a") == domain("http://example.co.uk") == "example.co.uk"
    assert fold("https://a.b.example.com/x") == fold("https://example.com/y")
    assert {fold(f"https://site{k}.com") for k in range(60)} == set(range(NUM_FOLDS))
    assert fold("http://[broken") in range(NUM_FOLDS)


def test_word_f1() -> None:
    assert word_f1("a b b c", "A, b! d") == pytest.approx(2 * 2 / 7)
    assert word_f1("", "") == 1
    assert word_f1("", "a") == 0
    assert contained(["a b", "c"], "x a\n b") == 1
    low, high = interval([0.0, 1.0] * 50)
    assert 0.35 < low < 0.5 < high < 0.65


def test_a_short_copy_keeps_what_surrounds_the_article() -> None:
    long = [f"<p>{sentence} {k}</p>" for k, sentence in enumerate(PROSE * 5)]
    page = walk(well_formed(f"<nav>Home</nav><article>{''.join(long)}</article><aside><p>{PROSE[0]} Rail</p></aside>"))
    label_of = np.array([0] + [1] * 15 + [0], np.float32)
    keep = augment.shortened(page, label_of, np.random.default_rng(0))
    assert keep[0]
    assert keep[-1]
    assert 1 <= keep[1:-1].sum() < 15
    copy = augment.subset(page, keep)
    for k, element in enumerate(copy.blocks.element):
        assert copy.elements.first[element] <= k < copy.elements.last[element]


def test_drawn_pages_hold_their_text_and_differ() -> None:
    told = layouts.story("Harbour life", "\n".join(PROSE))
    other = layouts.story("Other", "\n".join(sentence.upper() for sentence in PROSE))
    assert told
    assert other
    assert layouts.story("x", "too short") is None
    seen = set()
    for seed in range(30):
        html, body = layouts.page(told, [other], np.random.default_rng(seed))
        text = main_text(html, _forest())[0]
        page = " ".join(examples.block_texts(walk(well_formed(html))))
        assert all(paragraph in page for paragraph in body)
        assert isinstance(text, str)
        seen.add(html)
    assert len(seen) == 30
    assert layouts.page(told, [other], np.random.default_rng(1)) == layouts.page(
        told, [other], np.random.default_rng(1)
    )


def _forest() -> object:
    tree = {
        "split_feature": 0,
        "threshold": 60.0,
        "left_child": {"leaf_value": -2.0},
        "right_child": {"leaf_value": 2.0},
    }
    return fit.flat([tree, {"leaf_value": 0.5}])


def test_trees_become_arrays() -> None:
    rows = np.array([[60.0, 0], [60.001, 0]], np.float32)
    expected = 1 / (1 + np.exp([1.5, -2.5]))
    assert probabilities(_forest(), rows) == pytest.approx(expected)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 small pages with gold texts, and two without, in the layout of the benchmark's data."""
    place = tmp_path_factory.mktemp("web")
    archive, rows = io.BytesIO(), []
    for k in range(62):
        told = ("The harbour", [f"{sentence} Number {k} of many, as it is told." for sentence in PROSE * 2])
        html, body = layouts.page(told, [("Other things", [s.upper() for s in PROSE])] * 9, np.random.default_rng(k))
        record = {"record_id": f"<urn:uuid:{k}>", "url": f"https://site{k}.example/a", "with": [body[0]], "without": [],
                  "main_content": "\n".join(body) if k < 60 else None, "page_type": "article",
                  "gold_kind": "full_text" if k < 60 else "snippets"}  # fmt: skip
        rows.append(json.dumps(record))
        payload = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html.encode()
        head = (f"WARC/1.1\r\nWARC-Type: response\r\nWARC-Record-ID: {record['record_id']}\r\n"
                "WARC-Date: 2024-01-01T00:00:00Z\r\n"
                "Content-Type: application/http; msgtype=response\r\n"
                f"Content-Length: {len(payload)}\r\n\r\n")  # fmt: skip
        archive.write(gzip.compress(head.encode() + payload + b"\r\n\r\n"))
    (place / "web.warc.gz").write_bytes(archive.getvalue())
    (place / "web_gold.jsonl.zst").write_bytes(zstandard.compress("\n".join(rows).encode()))
    return place


def test_pages_come_with_their_gold(folder: Path) -> None:
    found = list(pages(folder))
    assert len(found) == 62
    assert [page.text is None for page in found] == [False] * 60 + [True] * 2
    assert all("<html>" in page.html for page in found)


def test_every_kind_of_example_is_made_and_weighs_as_it_should(folder: Path) -> None:
    said: list[str] = []
    found = crossed.all_examples(folder, said.append)
    assert {example.kind for example in found} == set(examples.WEIGHT)
    assert len(said) == len(examples.WEIGHT)
    for example in found:
        assert len(example.rows) == len(example.label) == len(example.weight) <= examples.MAX_BLOCKS
        assert np.isfinite(example.rows).all()
        assert example.weight.min() >= 0
    gold = next(example for example in found if example.kind == "gold")
    assert (gold.weight * gold.label).sum() == pytest.approx(1, rel=0.05)


def test_training_is_repeatable_and_learns(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    from corpus.extraction.learned import model

    files = []
    for name in ("one", "two"):
        made = crossed.all_examples(folder, lambda line: None)
        model.save(fit.grown(made, 20), tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
    forest = model.load(tmp_path / "one")
    scores = [word_f1(main_text(page.html, forest)[0], page.text or "") for page in pages(folder) if page.text]
    assert np.mean(scores) > 0.9


def test_a_page_that_engines_see_differently_teaches_nothing() -> None:
    page = GoldPage("x", "http://x.example", "<p>one two three four five</p>", "", None, (), ())
    assert examples.silver(page) is None
    assert examples.gold(dataclasses.replace(page, html="", text="x")) is None
