"""FineWeb's rules against a plain Python reading of their definition."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.fineweb import Fineweb

PIECES = [
    "A line.",
    "a longer line that has more than thirty characters",
    "Ende。",
    "a",
    " ",
    "",
    "what? ",
    "«Oui»",
    "x" * 30,
]
TEXT = st.lists(st.sampled_from(PIECES), max_size=12).map("\n".join)


def reference(text: str) -> dict[str, float]:
    lines = [line for line in text.split("\n") if line.strip()]
    seen: set[str] = set()
    copies = 0
    for line in lines:
        copies += len(line) * (line in seen)
        seen.add(line)
    words, newlines = len(text.split()), text.count("\n")
    return {
        "lines": len(lines),
        "terminal_lines": sum(line[-1] in Fineweb().terminal_marks for line in lines) / max(len(lines), 1),
        "short_lines": sum(len(line) <= 30 for line in lines) / max(len(lines), 1),
        "repeated_line_characters": copies / max(len(text) - newlines, 1),
        "newlines_per_word": newlines / words if words else 0.0,
    }


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(TEXT, st.text()), max_size=5))
def test_signals_equal_the_plain_definition(texts: list[str]) -> None:
    found = Fineweb().measure(pa.table({"text": pa.array(texts, pa.large_string())})).to_pylist()
    assert found == [reference(text) for text in texts]


def test_limits_are_those_of_the_released_code() -> None:
    limits = {rule.signal: rule.threshold for rule in Fineweb().rules()}
    assert limits == {
        "lines": 1,
        "terminal_lines": 0.12,
        "short_lines": 0.67,
        "repeated_line_characters": 0.01,
        "newlines_per_word": 0.3,
    }
