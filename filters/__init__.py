"""The filter room: measures documents, knows nothing of Beam or torch.

A filter is a file: ``filters/quality.py`` defines ``Quality``. The directory listing is the registry.

url         domain and URL-word lists (UT1 layout or plain)
language    fastText language identification
extraction  the extractor's own doubt
quality     Gopher quality heuristics
repetition  Gopher repetition heuristics, all thirteen ratios
c4          C4 page rules
c4_lines    C4 line rules, as edits (an editor)
fineweb     FineWeb's own heuristics
score       probability from a fastText classifier trained on good and bad text
bias        lexicon density and identity-term mentions
kernels/    compiled loops over Arrow buffers that the filters share
models/     shipped model files with their notices
lexicons/   shipped word lists

This file holds the contract: ``Filter``, ``Editor``, ``Rule``, and the registry functions.
"""

import dataclasses
import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.compute as pc

Operator = Literal["<", "<=", ">", ">=", "==", "!=", "in", "not in"]
Threshold = bool | int | float | str | tuple[str, ...]

# One row per span that an editor removes or replaces. `start` and `end` count code points (as Python
# and SQL do) in the text that the editor was given; spans of one row ascend and do not overlap.
EDITS = pa.schema(
    [
        ("row", pa.int32()),
        ("rule", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("replacement", pa.large_string()),
    ]
)

_ARROW = {
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
    "==": pc.equal,
    "!=": pc.not_equal,
}


@dataclasses.dataclass(frozen=True)
class Rule:
    """A document is rejected for `reason` where `signal operator threshold` holds. A null signal never fires."""

    reason: str
    signal: str
    operator: Operator
    threshold: Threshold

    def fires(self, signals: pa.Table) -> pa.BooleanArray:
        """Evaluate the rule with Arrow: one boolean per row of `signals`, never null."""
        column = signals[self.signal]
        if self.operator in ("in", "not in"):
            hit = pc.is_in(column, value_set=pa.array(list(self.threshold), type=column.type))  # type: ignore[arg-type]
            if self.operator == "not in":
                hit = pc.invert(hit)
            fired = pc.and_(hit, pc.is_valid(column))
        else:
            fired = pc.fill_null(_ARROW[self.operator](column, pa.scalar(self.threshold)), False)
        return fired.combine_chunks() if isinstance(fired, pa.ChunkedArray) else fired

    def sql(self, prefix: str) -> str:
        """The same rule as a DuckDB expression; `prefix` is the struct column that holds the filter's signals."""
        column = f"{prefix}.{self.signal}"
        operator = {"==": "=", "!=": "<>"}.get(self.operator, self.operator)
        return f"coalesce({column} {operator} {_literal(self.threshold)}, false)"


def _literal(value: Threshold) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(_literal(v) for v in value) + ")"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    # DuckDB reads 0.65 as DECIMAL and would compare in decimal; Arrow compares doubles.
    return f"{value!r}::double" if isinstance(value, float) else repr(value)


@runtime_checkable
class Filter(Protocol):
    """Measures documents; never drops, edits, writes or counts."""

    needs: ClassVar[tuple[str, ...]]  # document columns that `measure` reads
    version: ClassVar[int]  # raised whenever a signal or a verdict may change

    def measure(self, docs: pa.Table) -> pa.Table:
        """One row per document; typed signal columns; no NaN."""

    def rules(self) -> Sequence[Rule]:
        """What is rejected, as data."""


@runtime_checkable
class Editor(Protocol):
    """Proposes spans to cut or replace; `apply_edits` carries them out."""

    needs: ClassVar[tuple[str, ...]]
    version: ClassVar[int]

    def edits(self, docs: pa.Table) -> pa.Table:
        """A table of schema `EDITS`, `row` counting from 0 in `docs`."""


def threshold(default: Any) -> Any:
    """A setting that only `rules` reads: changing it never needs another pass over the text."""
    factory = {"default_factory": default} if callable(default) else {"default": default}
    return dataclasses.field(metadata={"threshold": True}, **factory)


def measured_settings(step: Filter | Editor) -> dict[str, Any]:
    """The settings of a filter that change its signals; thresholds are left out."""
    fields = dataclasses.fields(step)  # type: ignore[arg-type]
    return {f.name: getattr(step, f.name) for f in fields if not f.metadata.get("threshold")}


def apply_edits(text: "pa.Array[Any]", edits: pa.Table) -> "pa.Array[Any]":
    """Carry out `edits` on `text`; rows without an edit are returned as they were."""
    if edits.num_rows == 0:
        return text
    from filters.kernels import spans  # compiled: this file is read by those who only look up a name

    return spans.applied(text, edits)


def names() -> list[str]:
    """Every filter and editor there is: the files of this folder."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def find(name: str) -> type[Any]:
    """The class of a filter or editor. Raises KeyError with the accepted names."""
    if name not in names():
        raise KeyError(f"no filter is called {name!r}; there are: {', '.join(names())}")
    return getattr(importlib.import_module(f"filters.{name}"), class_name(name))  # type: ignore[no-any-return]


def class_name(name: str) -> str:
    """c4_lines -> C4Lines"""
    return re.sub(r"(?:^|_)(\w)", lambda m: m[1].upper(), name)
