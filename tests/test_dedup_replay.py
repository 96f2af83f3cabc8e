"""The whole of deduplication: how documents are split into parts, and in which order, never changes a verdict."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from corpus.dedup import Settings, keys, replay

DOCS = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("text", pa.large_string()),
        ("date", pa.string()),
        ("source", pa.string()),
    ]
)
CONFIG = Settings(shingle_words=2, bands=10, rows=1, min_jaccard=0.5, source_priority=("book",))


@dataclasses.dataclass(frozen=True)
class Memory:
    """A part held in memory."""

    docs: pa.Table

    @property
    def keys(self) -> pa.Table:
        return keys.keys(self.docs, CONFIG)

    def texts(self, rows: npt.NDArray[np.int64]) -> Any:
        return self.docs["text"].take(rows)


row = st.fixed_dictionaries(
    {
        "url": st.none() | st.integers(0, 9).map(lambda i: f"http://h/{i}"),
        "text": st.none() | st.lists(st.sampled_from(["a", "B", "é", "漢"]), max_size=9).map(" ".join),
        "date": st.none() | st.sampled_from(["2020", "2021"]),
        "source": st.sampled_from(["web", "book"]),
    }
)


def verdicts(parts: list[list[dict[str, Any]]], partitions: int = 1) -> dict[str, tuple[Any, ...]]:
    memory = [Memory(pa.Table.from_pylist(rows, schema=DOCS)) for rows in parts]
    alive = [np.array([row["alive"] for row in rows], bool) for rows in parts]
    found = replay.deduplicate(memory, alive, CONFIG, partitions).verdicts.drop_columns(["docref"])
    return {verdict["id"]: tuple(verdict.values()) for verdict in found.to_pylist()}


@given(st.lists(st.tuples(row, st.booleans()), max_size=30), st.data(), st.integers(1, 5))
@hypothesis_settings(max_examples=150, deadline=None)
def test_order_and_splitting_change_nothing(
    rows: list[tuple[dict[str, Any], bool]], data: st.DataObject, partitions: int
) -> None:
    docs = [{"id": f"{i:03d}", "alive": alive or i % 3 > 0, **values} for i, (values, alive) in enumerate(rows)]
    whole = verdicts([docs])
    shuffled = data.draw(st.permutations(docs))
    cut = data.draw(st.integers(0, len(docs)))
    assert verdicts([shuffled[:cut], [], shuffled[cut:]], partitions) == whole
    assert not {docs[int(found)]["id"] for found in whole if not docs[int(found)]["alive"]}


def test_equal_records_in_two_parts() -> None:
    record = {"id": "x", "url": None, "text": "a b c d", "date": None, "source": "web", "alive": True}
    assert verdicts([[record], [record]]) == {"x": ("x", "record", "x", None, None, None)}


def test_a_rejected_document_is_no_keeper() -> None:
    better = {"id": "a", "url": None, "text": "a b c d e f", "date": None, "source": "web", "alive": False}
    worse = {**better, "id": "b", "alive": True}
    assert verdicts([[better], [worse]]) == {}


def test_no_documents() -> None:
    assert verdicts([]) == {}
    assert verdicts([[], []]) == {}


def test_survives_must_fit() -> None:
    part = Memory(DOCS.empty_table())
    with pytest.raises(ValueError, match="1 values for 0 documents"):
        replay.deduplicate([part], [np.ones(1, bool)], CONFIG)


@given(st.lists(row, max_size=20), st.lists(row, max_size=20), st.integers(1, 3))
@hypothesis_settings(max_examples=80, deadline=None)
def test_documents_of_earlier_runs_are_keepers_whatever_their_rank(
    old: list[dict[str, Any]], new: list[dict[str, Any]], cuts: int
) -> None:
    before = [{"id": f"o{i:03d}", **values} for i, values in enumerate(old) if values["text"]]
    fresh = [{"id": f"n{i:03d}", **values} for i, values in enumerate(new)]

    def against(earlier: list[list[dict[str, Any]]]) -> dict[str, tuple[Any, ...]]:
        part = Memory(pa.Table.from_pylist(fresh, schema=DOCS))
        others = [Memory(pa.Table.from_pylist(rows, schema=DOCS)) for rows in earlier]
        outcome = replay.deduplicate([part], [np.ones(len(fresh), bool)], CONFIG, earlier=others)
        assert len(outcome.keepers) == outcome.verdicts.num_rows
        found = outcome.verdicts.drop_columns(["docref"]).to_pylist()
        return {verdict["id"]: tuple(verdict.values()) for verdict in found}

    found = against([before])
    assert all(name.startswith("n") for name in found)
    assert against([before[cut::cuts] for cut in range(cuts)]) == found
    assert {verdict[2] for verdict in found.values()} <= {row["id"] for row in before} | {
        row["id"] for row in fresh if row["id"] not in found
    }
    told = {" ".join(row["text"].lower().split()) for row in before} - {""}
    for document in fresh:
        if document["text"] and " ".join(document["text"].lower().split()) in told:
            assert document["id"] in found
    assert against([]) == verdicts([[{**document, "alive": True} for document in fresh]])
