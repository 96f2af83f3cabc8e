"""The result of `attribute` as one table: a row for each error and document, with every stage's score and evidence.

`id`, `score`, `signal`, `evidence`, `start` and `end` are what `correct propose` reads.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from eval.evidence import shared_run

if TYPE_CHECKING:
    from eval.ladder import Ladder, Trace

SCORES = ("bm25", "spans", "hidden", "drop", "gradient")
ROWS = pa.schema(
    [
        ("error", pa.string()),
        ("rank", pa.int32()),  # from 1, by the fused ranks of all stages
        ("id", pa.string()),  # of the document
        ("source", pa.string()),
        ("score", pa.float64()),  # fused; 1 is first in every stage
        ("verdict", pa.string()),  # suspect, or harmful where a proof was asked for and held
        ("proof", pa.string()),  # which proof: tail-patch, leave-out, both, none
        *[(name, pa.float64()) for name in SCORES],  # null where the stage did not look at it
        ("tail_patch", pa.float64()),  # nats that one step on the document adds to log p(wrong) - log p(right)
        ("leave_out", pa.float64()),  # nats that log p(wrong) - log p(right) falls without this error's documents
        ("evidence", pa.string()),  # longest run of words shared with prompt and wrong answer
        ("start", pa.int64()),  # its characters in the document
        ("end", pa.int64()),
        ("shared_words", pa.int32()),
        ("signal", pa.string()),
        ("prompt", pa.string()),
        ("wrong", pa.string()),
        ("right", pa.string()),
        ("seconds", pa.float64()),  # of all stages, an equal part for each error
    ]
)


def table(ladder: "Ladder", traces: Sequence["Trace"], top: int, left_out: Sequence[Any] = ()) -> pa.Table:
    """The first `top` documents of each error. `left_out` are proof.LeftOut, one per error, or nothing."""
    seconds = sum(cost.seconds for cost in ladder.costs.of.values()) / max(len(traces), 1)
    rows = []
    for number, trace in enumerate(traces):
        result = left_out[number] if left_out else None
        for rank, (document, score) in enumerate(trace.fused[:top], 1):
            rows.append(_row(ladder, trace, rank, document, score, result) | {"seconds": seconds})
    return pa.Table.from_pylist(rows, schema=ROWS)


def _row(ladder: "Ladder", trace: "Trace", rank: int, number: int, score: float, left_out: Any) -> dict[str, Any]:
    document, mistake = ladder.documents[number], trace.mistake
    found = shared_run(mistake.text(), document.text)
    proofs = [name for name, run in (("tail-patch", trace.proved), ("leave-out", left_out)) if run]
    return {
        "error": mistake.id,
        "rank": rank,
        "id": document.id,
        "source": document.source,
        "score": score,
        "verdict": "harmful" if number in trace.harmful else "suspect",
        "proof": " and ".join(proofs) or "none",
        **{name: trace.scores.get(name, {}).get(number) for name in SCORES},
        "tail_patch": trace.proved.get(number),
        "leave_out": left_out.change if left_out else None,
        "evidence": document.text[found.start : found.end],
        "start": found.start,
        "end": found.end,
        "shared_words": found.words,
        "signal": "attribution",
        "prompt": mistake.prompts[0],
        "wrong": mistake.wrong,
        "right": mistake.right,
    }
