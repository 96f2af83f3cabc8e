"""Rules on signals: which documents pass, and for the others every rule that fired.

The same rules run as SQL in `whatif`; a test holds the two together.
"""

import dataclasses

import numpy as np
import pyarrow as pa

from corpus.recipe import Recipe
from filters import Rule


@dataclasses.dataclass(frozen=True)
class Bound:
    """A rule and the step whose signals it reads."""

    step: str
    rule: Rule

    @property
    def name(self) -> str:
        return f"{self.step}.{self.rule.reason}"

    @property
    def sql(self) -> str:
        return self.rule.sql(self.step)


def rules(recipe: Recipe) -> list[Bound]:
    """Every rule of a recipe, in its order."""
    return [Bound(name, rule) for name, step in recipe.filters().items() for rule in step.rules()]


def check_bound(recipe: Recipe, signals: pa.Schema) -> None:
    """Raise ValueError for a rule that reads a signal which does not exist: it could never fire."""
    for bound in rules(recipe):
        struct = signals.field(bound.step).type
        if struct.get_field_index(bound.rule.signal) < 0:
            raise ValueError(
                f"rule {bound.name} reads the signal {bound.rule.signal!r}, which {bound.step} does not measure"
            )


def fired(signals: pa.Table, recipe: Recipe) -> np.ndarray:
    """bool[rows, rules]: which rule fires for which row of a table of signals."""
    columns = [_evaluate(signals, bound) for bound in rules(recipe)]
    return np.stack(columns, axis=1) if columns else np.zeros((signals.num_rows, 0), bool)


def _evaluate(signals: pa.Table, bound: Bound) -> np.ndarray:
    struct = signals[bound.step].combine_chunks()
    if isinstance(struct, pa.ChunkedArray):  # an empty table keeps its chunks
        struct = pa.concat_arrays(struct.chunks) if struct.num_chunks else pa.array([], struct.type)
    # flatten() carries the struct's own nulls into its fields; struct_field on a take()n array need not
    table = pa.table(dict(zip([f.name for f in struct.type], struct.flatten(), strict=True)))
    fires: np.ndarray = bound.rule.fires(table).to_numpy(zero_copy_only=False)
    return fires
