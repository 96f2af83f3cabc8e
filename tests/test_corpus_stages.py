"""The pure functions between bytes and shards: extract, measure, edit, decide, divide."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import prose, write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus import schema
from corpus.decide import check_bound, fired, rules
from corpus.edited import carry_out
from corpus.extract import EXTRACTED, Extractor, _records, document_id
from corpus.guard import READING, Heartbeat
from corpus.measure import STAGE_EDITS, Measured, measure
from corpus.plan import Task, plan
from corpus.readers import Record
from corpus.recipe import Recipe
from corpus.write import Tally, divide
from filters import Rule

TEXTS = [prose(n) for n in range(6)] + ["Too short.", "", None, prose(7) + "\nPlease enable javascript now."]


def extracted(texts: list[str | None]) -> pa.Table:
    return pa.Table.from_pylist([row(number, text) for number, text in enumerate(texts)], EXTRACTED)


def name(number: int) -> str:
    return f"{number:032x}"


def row(number: int, text: str | None) -> dict[str, Any]:
    failure = {"reason": "no_text", "detail": ""} if text is None else None
    place = {"file": "f", "record": number}
    told = {"id": name(number), "source": "s", "url": f"https://a.org/{number}", "text": text}
    return told | {"provenance": place, "failure": failure}


@pytest.fixture
def recipe(make_recipe: Callable[..., Recipe]) -> Recipe:
    return make_recipe(
        steps=["url", "extract", "language", "quality", "c4_lines", "fineweb"], c4_lines={"min_words": 3}
    )


def extract_records(recipe: Recipe, records: list[Record], skip: Any, tmp_path: Path) -> list[dict[str, Any]]:
    Heartbeat.create(tmp_path / "beat")
    with contextlib.closing(Heartbeat(tmp_path / "beat")) as beat:
        extractor = Extractor(recipe, "s", "CC0", skip, beat)
        return [row for _, _, row in extractor.rows([("f", n, record) for n, record in enumerate(records)])]


def test_every_record_becomes_one_row(recipe: Recipe, tmp_path: Path) -> None:
    records = [
        Record(0, text=prose(1), url="https://a.org/1"),
        Record(10, failure=("broken_record", "cut off")),
        Record(20, text="   "),
        Record(30, text="killed a worker"),
        Record(40, html=b"<html><body><p>" + prose(2).encode() + b"</p></body></html>", charset="utf-8"),
    ]
    rows = extract_records(recipe, records, {3: ("extract_timeout", "took long")}, tmp_path)
    reasons = [(row.get("failure") or {}).get("reason") for row in rows]
    assert reasons == [None, "broken_record", "no_text", "extract_timeout", None]
    assert rows[0]["text"] == prose(1)
    assert prose(2).splitlines()[0] in rows[4]["text"]
    assert rows[4]["provenance"]["extractor"].startswith("blocks")
    assert {row["license"] for row in rows} == {"CC0"}
    assert pa.Table.from_pylist(rows, EXTRACTED).num_rows == len(records)


SPANISH = "<p>El río llevaba las cartas más allá del molino y nadie en el puente las miraba, porque llovía mucho.</p>"


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        (SPANISH * 4, "other_language"),
        (f"<html lang='en-GB'>{SPANISH * 4}", None),  # declares a wanted language: extracted first
        (SPANISH, None),  # too little to be sure
        ("<script>" + "var llovía = {{'el río': 'llevaba las cartas'}}; " * 50 + f"</script><p>{prose(3)}</p>", None),
    ],
)
def test_quick_look_at_the_language(
    make_recipe: Callable[..., Recipe], tmp_path: Path, html: str, reason: str | None
) -> None:
    recipe = make_recipe(steps=["extract", "language"], language={"keep": ["en"]}, extract={"quick_language": True})
    row = extract_records(recipe, [Record(0, html=html.encode(), charset="utf-8")], {}, tmp_path)[0]
    failure = row.get("failure") or {}
    assert (failure.get("reason") if "before extraction" in failure.get("detail", "") else None) == reason


def test_where_a_reader_ended_its_worker_the_split_ends_in_a_ledger_row(
    make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    files = [write_jsonl(tmp_path / f"{n}.jsonl", [{"text": f"{n} {row}"} for row in range(3)]) for n in range(2)]
    [part] = plan(make_recipe(steps=[])).parts
    Heartbeat.create(tmp_path / "beat")
    task = Task(tmp_path, part, make_recipe(steps=[]), {})
    skip = {READING + 1: ("extract_crash", "the worker was ended by SIGABRT")}
    with contextlib.closing(Heartbeat(tmp_path / "beat")) as beat:
        read = list(_records(task, skip, beat))
    assert [number for _, number, _ in read] == list(range(5))  # one record, why there are no more, the next file
    assert [file for file, _, _ in read] == [str(files[0])] * 2 + [str(files[1])] * 3
    failure = read[1][2].failure
    assert failure
    assert failure[0] == "broken_record"
    assert failure[1].startswith("the worker was ended by SIGABRT; bytes 0 to ")


def test_ids_follow_from_source_origin_and_content() -> None:
    first = Record(0, url="https://a.org", html=b"x")
    assert document_id("s", first, "f:0") == document_id("s", dataclasses.replace(first, position=9), "g:9")
    others = [
        document_id("t", first, ""),
        document_id("s", Record(0, url="https://b.org", html=b"x"), ""),
        document_id("s", Record(0, url="https://a.org", html=b"y"), ""),
        document_id("s", Record(0, origin="https://a.org", html=b"x"), ""),
    ]
    assert len({document_id("s", first, ""), *others}) == 5
    broken = Record(5, failure=("broken_record", ""))
    assert document_id("s", broken, "f:5") != document_id("s", broken, "f:6")


def test_signals_have_a_row_for_every_row_and_null_where_there_is_no_text(recipe: Recipe) -> None:
    measured = measure(extracted(TEXTS), recipe)
    assert measured.signals.num_rows == measured.keys.num_rows == len(TEXTS)
    assert [n for n, words in enumerate(measured.signals["words"].to_pylist()) if words is None] == [8]
    assert measured.signals["quality"].combine_chunks().is_valid().to_pylist() == [text is not None for text in TEXTS]
    assert measured.keys["record"].is_valid().to_pylist() == [text is not None for text in TEXTS]
    assert measured.edits["removed"].to_pylist() == ["\nPlease enable javascript now."] or measured.edits.num_rows > 0


def concat(pieces: list[Measured]) -> list[pa.Table]:
    tables = [[getattr(m, table) for m in pieces] for table in ("signals", "keys", "edits")]
    return [pa.concat_tables(table).combine_chunks() for table in tables]


def test_batching_changes_nothing(recipe: Recipe) -> None:
    whole = extracted(TEXTS)
    one = concat([measure(whole, recipe)])
    three = concat([measure(whole.slice(at, 3), recipe, first_row=at) for at in range(0, len(TEXTS), 3)])
    assert all(a.equals(b) for a, b in zip(one, three, strict=True))


def test_fired_equals_the_rules_one_by_one(recipe: Recipe) -> None:
    signals = measure(extracted(TEXTS), recipe).signals
    matrix = fired(signals, recipe)
    assert matrix.shape == (len(TEXTS), len(rules(recipe)))
    short = [bound.name for bound in rules(recipe)].index("quality.too_short")
    words = signals["words"].to_pylist()
    assert matrix[:, short].tolist() == [w is not None and w < 50 for w in words]
    assert not matrix[8].any()


def test_a_rule_on_a_signal_that_does_not_exist_is_an_error(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    signals = measure(EXTRACTED.empty_table(), recipe).signals
    check_bound(recipe, signals.schema)
    monkeypatch.setattr(type(recipe.settings["quality"]), "rules", lambda self: [Rule("odd", "wordz", "<", 3)])
    with pytest.raises(ValueError, match=r"rule quality.odd reads the signal 'wordz'"):
        check_bound(recipe, signals.schema)


def test_what_is_read_is_kept_once_or_told_once(recipe: Recipe) -> None:
    table = extracted(TEXTS)
    measured = measure(table, recipe)
    verdicts = {2: {"row": 2, "kind": "near", "kept_id": "k", "jaccard": 0.9, "containment": 0.95, "bands": 5}}
    docs, ledger, kept = divide(carry_out(table, local(measured.edits)), measured.signals, verdicts, recipe)
    assert docs.schema == schema.DOCUMENT
    assert ledger.schema == schema.LEDGER
    assert sorted([*docs["id"].to_pylist(), *ledger["id"].to_pylist()]) == sorted(table["id"].to_pylist())
    told = {row["id"]: row for row in ledger.to_pylist()}
    near = told[name(2)]
    assert (near["stage"], near["reason"], near["kept_id"]) == ("dedup", "near_duplicate", "k")
    assert near["evidence"]["bands"] == 5
    assert (told[name(8)]["stage"], told[name(8)]["reason"]) == ("extract", "no_text")
    short = told[name(6)]
    assert (short["stage"], short["reason"]) == ("filter", short["hits"][0]["reason"])
    hit = {"filter": "quality", "reason": "too_short", "signal": "words", "operator": "<", "threshold": "50"}
    assert hit | {"value": "2"} in short["hits"]
    assert kept.tolist() == [name(n) in docs["id"].to_pylist() for n in range(len(TEXTS))]


def local(edits: pa.Table) -> pa.Table:
    return edits.set_column(edits.column_names.index("row"), "row", edits["row"].cast(pa.int32()))


def edit(row: int, step: str, start: int, end: int, replacement: str = "") -> dict[str, Any]:
    told = {"id": "x", "step": step, "rule": "r", "start": start, "end": end}
    return told | {"removed": "", "replacement": replacement, "row": row}


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=10, max_size=40), st.data())
def test_chapters_move_with_the_edits(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=4, max_size=4)))
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2)))
    table = extracted([text])
    chapters = pa.array([[{"title": "t", "start": ends[0], "end": ends[1]}]], schema.DOCUMENT.field("chapters").type)
    table = table.set_column(table.column_names.index("chapters"), "chapters", chapters)
    spans = [edit(0, "a", cuts[0], cuts[1], "+"), edit(0, "a", cuts[2], cuts[3])]
    done = carry_out(table, local(pa.Table.from_pylist(spans, STAGE_EDITS)))
    chapter = done["chapters"][0].as_py()[0]
    marked = [text[: cuts[0]], "+", text[cuts[1] : cuts[2]], text[cuts[3] :]]
    assert done["text"][0].as_py() == "".join(marked)
    assert 0 <= chapter["start"] <= chapter["end"] <= len("".join(marked))
    if cuts[1] < ends[0] and ends[1] < cuts[2]:  # a chapter that no edit touches keeps its text
        assert done["text"][0].as_py()[chapter["start"] : chapter["end"]] == text[ends[0] : ends[1]]


def test_steps_edit_one_after_the_other() -> None:
    table = extracted(["0123456789", "abc"])
    edits = [edit(0, "first", 0, 5), edit(1, "first", 1, 2, "--"), edit(0, "second", 0, 2, "x")]
    done = carry_out(table, local(pa.Table.from_pylist(edits, STAGE_EDITS)))
    assert done["text"].to_pylist() == ["x789", "a--c"]


def test_tallies_add_up_in_any_split(recipe: Recipe) -> None:
    table = extracted(TEXTS)
    measured = measure(table, recipe)
    docs, ledger, _ = divide(table, measured.signals, {}, recipe)
    whole = Tally()
    whole.add(docs, ledger)
    pieces = Tally()
    for at in reversed(range(max(docs.num_rows, ledger.num_rows))):
        pieces.add(docs.slice(at, 1), ledger.slice(at, 1))
    assert whole.counts() == pieces.counts()
    assert whole.rows == len(TEXTS)
    assert np.all([len(whole.counts()[key]) == 32 for key in ("docs_hash", "ledger_hash")])
