"""Edits on buffers do what slicing does on strings."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from filters import EDITS, apply_edits
from filters.kernels import spans

TEXT = st.text(st.sampled_from("aß€😀\n "), max_size=12)


@st.composite
def edited(draw: st.DrawFn) -> tuple[list[str | None], list[tuple[int, str, int, int, str]]]:
    texts = draw(st.lists(st.none() | TEXT, max_size=6))
    edits = []
    for row, text in enumerate(texts):
        if text is not None:
            cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
            edits += [(row, "r", a, b, draw(TEXT)) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    return texts, edits


def table(edits: list[tuple[int, str, int, int, str]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(EDITS.names, edit, strict=True)) for edit in edits], EDITS)


@given(edited())
def test_as_on_strings(case: tuple[list[str | None], list[tuple[int, str, int, int, str]]]) -> None:
    texts, edits = case
    column = pa.array([None, *texts], pa.large_string())[1:]
    expected = list(texts)
    for row, _, start, end, new in reversed(edits):
        expected[row] = expected[row][:start] + new + expected[row][end:]
    assert apply_edits(column, table(edits)).to_pylist() == expected
    assert spans.held(column, table(edits)).to_pylist() == [texts[row][start:end] for row, _, start, end, _ in edits]


def test_rows_may_come_in_any_order() -> None:
    edits = [(1, "r", 0, 1, ""), (0, "r", 1, 2, "x"), (1, "r", 2, 3, "yz")]
    assert apply_edits(pa.array(["abc", "abc"], pa.large_string()), table(edits)).to_pylist() == ["axc", "byz"]
