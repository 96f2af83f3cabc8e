"""What holds for every filter and editor there is, found by the registry.

After a wanted change of verdicts raise the filter's `version` and run ``python tests/test_filters_laws.py``, which
adds the new version to the golden file.
"""

import dataclasses
import inspect
import itertools
import json
import math
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import filters
from filters.kernels import c4_lines as c4_lines_kernel
from filters.models import train as training

GOLDEN = Path(__file__).parent / "golden_filters.json"
PROSE = (
    "The river runs below the town, and the people of the town have always lived with it. "
    "They fish in it, they wash in it, and in spring they watch it rise to the first steps of the market. "
    "That is how it has been as far back as anyone can remember, to be sure. "
    "Nobody would think of moving, though there have been years when the water stood in every kitchen."
)
# For each reason a document that is rejected for it.
REJECTED = {
    "bias.offensive": "You fucking piece of shit. " + PROSE,
    "c4.too_few_sentences": "Only one sentence here.",
    "c4.too_long": "A long page. " * 15_000,
    "c4.lorem_ipsum": PROSE + " Lorem ipsum dolor sit amet.",
    "c4.curly_bracket": PROSE + " function f() { return 1 }",
    "c4.bad_words": PROSE + " A DREADFUL word!",
    "c4_lines.citation": "The river runs below the town.[12]",
    "c4_lines.long_word": "The river runs below the " + "x" * 1001 + ".",
    "c4_lines.unpunctuated_line": "The river runs below the town",
    "c4_lines.short_line": "The river runs.",
    "c4_lines.javascript": "Please switch on JavaScript to read this page.",
    "c4_lines.policy": "We use cookies to make this page better.",
    "extraction.uncertain_extraction": "confidence 0.25",
    "fineweb.empty": " \n ",
    "fineweb.unpunctuated_lines": "The river runs below the town\n" * 3,
    "fineweb.short_lines": "Home.\nAbout us.\nContact.",
    "fineweb.repeated_lines": (PROSE + "\n") * 2,
    "fineweb.list_like": "one\ntwo\nthree",
    "language.other_language": "Der Fluss fließt unter der Stadt, und die Leute haben immer mit ihm gelebt.",
    "language.uncertain_language": "1 2 3 4 5",
    "quality.too_short": "Too short.",
    "quality.too_long": "word " * 100_001,
    "quality.short_words": "a b c d",
    "quality.long_words": "incomprehensibilities antidisestablishmentarianism",
    "quality.many_hashes": "#one #two #three",
    "quality.many_ellipses": "wait... what… no...",
    "quality.bullet_list": "- one\n• two\n- three",
    "quality.unfinished_lines": "read more...\nread on…\nend",
    "quality.few_alphabetic_words": "1 2 3 4 five",
    "quality.few_stop_words": "nothing common here",
    "repetition.repeated_lines": "a line\n" * 4,
    "repetition.repeated_line_characters": "a line that is rather long\n" * 4,
    "repetition.repeated_paragraphs": "a paragraph\n\n" * 4,
    "repetition.repeated_paragraph_characters": "a paragraph that is rather long\n\n" * 4,
    **{f"repetition.top_{n}_gram": "one two three four " * 9 for n in (2, 3, 4)},
    **{f"repetition.repeated_{n}_grams": PROSE * 3 for n in range(5, 11)},
    "score.low_score": "click buy now",
    "url.listed_domain": "http://www.bad.example/page",
    "url.listed_url": "http://host.example/bad/page",
    "url.hard_words": "http://other.example/hard-word",
    "url.soft_words": "http://other.example/soft-softer",
}
HOSTILE = [
    "",
    " ",
    "\n\n\n",
    "\0",
    "\u2028\u0085",
    "é" * 3000,
    "日本語" * 500,
    "😀 👩‍👩‍👧",
    "a" * 100_000,
    "[" * 3000,
    "\u202e\ufeff x",
]
HOSTILE += [
    "{}[]()#...…-•",
    "\r\n\r\n",
    "x\n" * 3000,
    "http://[::1",
    "https://%ff%00/?#",
    "__label__good x",
    "\U0010ffff",
]
# Rejected for what its extractor says, not for its words; so the recorded verdicts of other filters do without it.
UNCERTAIN = "extraction.uncertain_extraction"
TEXTS = [PROSE, *(text for case, text in REJECTED.items() if case != UNCERTAIN), *HOSTILE]
META = pa.struct([("confidence", pa.float64())])


def documents(texts: list[str | None]) -> pa.Table:
    """The columns that filters read; the extractor's confidence is what a text says of it, if it does."""
    said = [{"confidence": float(t[11:]) if t and t.startswith("confidence ") else None} for t in texts]
    column = pa.array(texts, pa.large_string())
    return pa.table({"text": column, "url": column, "meta": pa.array(said, META)})


DOCS = documents(TEXTS)
NAMES = filters.names()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("filters"))


def write_files(folder: Path) -> Path:
    """The lists and the model that some filters are given."""
    lists = {
        "domains": "bad.example",
        "urls": "host.example/bad",
        "hard": "hard",
        "soft": "soft\nsofter",
        "en.txt": "dreadful",
    }
    for name, content in lists.items():
        (folder / name).write_text(content)
    for name, text in (("good.txt", "the river theory"), ("bad.txt", "click buy now")):
        (folder / name).write_text("".join(f"{text} {i}\n" for i in range(100)))
    small = training.Training(buckets=1 << 17)
    training.train(folder / "good.txt", folder / "bad.txt", folder / "score.bin", small, print)
    return folder


def build(name: str, folder: Path) -> Any:
    given: dict[str, Any] = {
        "c4": {"bad_words": (str(folder / "en.txt"),)},
        "language": {"keep": ("en",)},
        "score": {"model": str(folder / "score.bin")},
        "url": {
            "domains": (str(folder),),
            "hard_words": (str(folder / "hard"),),
            "soft_words": (str(folder / "soft"),),
        },
    }
    return filters.find(name)(**given.get(name, {}))


def result(step: Any, docs: pa.Table) -> pa.Table:
    return step.edits(docs) if isinstance(step, filters.Editor) else step.measure(docs)


def reasons(step: Any, docs: pa.Table) -> list[list[str]]:
    """For each document the reasons it is rejected for, or for an editor the rules of its edits."""
    found = result(step, docs)
    if isinstance(step, filters.Editor):
        edits = found.to_pylist()
        return [[e["rule"] for e in edits if e["row"] == row] for row in range(docs.num_rows)]
    fired = [(rule.reason, rule.fires(found).to_pylist()) for rule in step.rules()]
    return [[reason for reason, rows in fired if rows[row]] for row in range(docs.num_rows)]


def values(step: Any, table: pa.Table) -> Iterator[Any]:
    for column in table.columns:
        for value in column.to_pylist():
            yield from (v[k] for v in value for k in v) if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", NAMES)
def test_fulfils_its_contract(name: str, folder: Path) -> None:
    step = build(name, folder)
    assert isinstance(step, filters.Filter) != isinstance(step, filters.Editor)
    assert type(step).__name__ == filters.class_name(name)
    assert type(step).__dataclass_params__.frozen
    assert set(step.needs) <= set(DOCS.column_names)
    assert step.version >= 1


@pytest.mark.parametrize("name", NAMES)
def test_manual_has_its_headings(name: str) -> None:
    lines = inspect.cleandoc(filters.find(name).__doc__).splitlines()
    assert lines[0].endswith(".")
    assert [line for line in lines if line in ("Why", "Limits", "Source")] == ["Why", "Limits", "Source"]


@pytest.mark.parametrize("name", NAMES)
def test_reads_only_what_it_needs_and_answers_for_every_document(name: str, folder: Path) -> None:
    step = build(name, folder)
    found = result(step, DOCS.select(step.needs))
    if isinstance(step, filters.Editor):
        assert found.schema == filters.EDITS
        edited = filters.apply_edits(DOCS["text"].combine_chunks(), found)
        assert len(edited) == len(TEXTS)
        edits = found.to_pylist()
        for one, after in itertools.pairwise(edits):
            assert one["row"] < after["row"] or one["end"] <= after["start"], "spans ascend and do not overlap"
        assert all(0 <= e["start"] < e["end"] <= len(TEXTS[e["row"]]) for e in edits)
    else:
        assert found.num_rows == len(TEXTS)
        assert all(pa.types.is_int64(t) or pa.types.is_float64(t) or pa.types.is_boolean(t) or pa.types.is_string(t)
                   or pa.types.is_list(t) for t in found.schema.types)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_value_is_missing_nan_or_infinite(name: str, folder: Path) -> None:
    step = build(name, folder)
    for value in values(step, result(step, DOCS)):
        assert value is not None
        assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("name", NAMES)
def test_batching_changes_nothing(name: str, folder: Path) -> None:
    step = build(name, folder)
    whole = result(step, DOCS)
    parts = []
    for start in range(0, DOCS.num_rows, 7):
        part = result(step, DOCS.slice(start, 7))
        if isinstance(step, filters.Editor):
            rows = pa.array([row + start for row in part["row"].to_pylist()], pa.int32())
            part = part.set_column(0, filters.EDITS.field("row"), rows)
        parts.append(part)
    assert pa.concat_tables(parts).to_pylist() == whole.to_pylist()
    chunked = pa.concat_tables([DOCS.slice(0, 5), DOCS.slice(5)])
    assert result(step, chunked).to_pylist() == whole.to_pylist()


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_has_the_same_schema(name: str, folder: Path) -> None:
    step = build(name, folder)
    assert result(step, DOCS.slice(0, 0)).schema == result(step, DOCS).schema
    assert result(step, DOCS.schema.empty_table()).num_rows == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_null_is_read_as_empty(name: str, folder: Path) -> None:
    step = build(name, folder)
    nulls, empty = (documents([v, "x", v]) for v in (None, ""))
    assert result(step, nulls).to_pylist() == result(step, empty).to_pylist()


@pytest.mark.parametrize("name", NAMES)
def test_pickles_small_even_after_use(name: str, folder: Path) -> None:
    step = build(name, folder)
    expected = result(step, DOCS).to_pylist()
    pickled = pickle.dumps(step)
    assert len(pickled) < 3000
    assert pickle.loads(pickled) == step
    assert result(pickle.loads(pickled), DOCS).to_pylist() == expected


def test_each_reason_occurs(folder: Path) -> None:
    there = {f"c4_lines.{rule}" for rule in c4_lines_kernel.RULES}
    for name in NAMES:
        step = build(name, folder)
        if isinstance(step, filters.Filter):
            there |= {f"{name}.{rule.reason}" for rule in step.rules()}
    assert set(REJECTED) == there, "REJECTED has a document for each reason"


@pytest.mark.parametrize("case", REJECTED)
def test_its_document_is_rejected_for_it(case: str, folder: Path) -> None:
    name, reason = case.split(".")
    docs = documents([REJECTED[case]])
    assert reason in reasons(build(name, folder), docs)[0]


def test_good_prose_is_kept_by_every_filter(folder: Path) -> None:
    docs = documents([PROSE]).set_column(1, "url", pa.array(["https://good.example/river"]))
    for name in set(NAMES) - {"score"}:  # whose model here knows three words
        assert reasons(build(name, folder), docs) == [[]], name


@pytest.mark.parametrize("name", NAMES)
def test_thresholds_do_not_change_what_is_measured(name: str, folder: Path) -> None:
    step = build(name, folder)
    other = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v / 2, tuple: lambda v: (*v, "de")}
    measured = result(step, DOCS).to_pylist()
    for field in dataclasses.fields(step):
        if field.metadata.get("threshold"):
            value = getattr(step, field.name)
            changed = dataclasses.replace(step, **{field.name: other[type(value)](value)})
            assert result(changed, DOCS).to_pylist() == measured
            assert list(changed.rules()) != list(step.rules()), field.name


@pytest.mark.parametrize("name", [n for n in NAMES if hasattr(filters.find(n), "rules")])
def test_arrow_and_duckdb_agree_row_for_row(name: str, folder: Path) -> None:
    step = build(name, folder)
    found = step.measure(DOCS)
    signals = found.append_column("row", pa.array(range(found.num_rows)))  # noqa: F841 (DuckDB reads it by its name)
    for rule in step.rules():
        assert rule.signal in found.column_names, "a rule bound to no signal can never fire"
        query = f"select {rule.sql('s')} as fired from (select signals as s from signals) order by s.row"
        assert [row[0] for row in duckdb.sql(query).fetchall()] == rule.fires(found).to_pylist(), rule


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_verdict_needs_a_changed_version(name: str, folder: Path) -> None:
    step = build(name, folder)
    golden = json.loads(GOLDEN.read_text())
    key = f"{name}@{step.version}"
    assert key in golden, f"{key} has no golden verdicts yet: run python {Path(__file__).name}"
    assert golden_of(step) == golden[key], f"{key} decides or measures otherwise than it did: raise its version"


def golden_of(step: Any) -> dict[str, Any]:
    """Reasons of every document, and a short form of its signals; a trained model's numbers depend on the machine."""
    kept: dict[str, Any] = {"reasons": [" ".join(row) for row in reasons(step, DOCS)]}
    if "model" not in {field.name for field in dataclasses.fields(step)}:
        rows = result(step, DOCS).to_pylist()
        kept["values"] = [[round(v, 6) if isinstance(v, float) else v for v in row.values()] for row in rows[:200]]
    return kept


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        place = write_files(Path(temporary))
        known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        for each in NAMES:
            known.setdefault(f"{each}@{filters.find(each).version}", golden_of(build(each, place)))
        lines = (f"{json.dumps(key)}: {json.dumps(known[key])}" for key in sorted(known))
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
