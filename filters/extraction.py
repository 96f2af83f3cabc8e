"""The extractor's own doubt."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from filters import Rule, threshold


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The F1 that the extractor expects of its own text.

    Why
        A page whose main text cannot be told from its surroundings gives menus, teasers and comments instead of a
        document. The engine `blocks` knows how sure it is: on 1,268 held-out pages an expected F1 below 0.6 came
        with a true one of 0.57, from 0.6 to 0.8 with 0.74, above 0.9 with 0.97.

    Limits
        Only the engine `blocks` says it; every other text counts as certain (1.0), also text that was never a page.
        Lists, shops and forums are less certain than articles, so a high limit is a filter of page kinds as well.

    Source
        Winnow's own: the expected F1 by which the extractor chooses its blocks.
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "meta")
    version: ClassVar[int] = 1

    min_confidence: float = threshold(0.5)

    def measure(self, docs: pa.Table) -> pa.Table:
        """Between 0 and 1; 1 where nobody says."""
        said = pc.struct_field(docs["meta"], "confidence")
        return pa.table({"confidence": pc.fill_null(pc.cast(said, pa.float64()), 1.0)})

    def rules(self) -> Sequence[Rule]:
        """A text whose expected F1 is too low."""
        return (Rule("uncertain_extraction", "confidence", "<", self.min_confidence),)
