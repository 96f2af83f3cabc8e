"""Which documents pull a model away from trusted text: gradients, beside the mean one of a trusted set.

Self-influence is the squared norm of a document's whitened gradient (TracIn, arXiv 2002.08484: mislabelled examples
have much); agreement its cosine with the trusted mean. Both over checkpoints at which the model still learnt, weighed
by learning rate. Cost: a forward and a backward of every document at each. Used by the planted benchmark alone.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from eval.documents import Document
from eval.gradients import Projector, token_moments, unit
from eval.ladder import Ladder, Settings, open_subject
from eval.pieces import Piece
from eval.whitening import of_moments

Floats = npt.NDArray[np.float64]
_CHECKPOINTS = 3
_WIDTH = 16
_SAMPLE = 300  # rows of trusted text whose moments whiten


def measure(model: Path, documents: Sequence[Document], trusted: Sequence[Document]) -> dict[str, Floats]:
    """`self_influence`: log of the squared norm per token; `agreement`: cosine, -1 to 1. NaN without a trusted one."""
    unknown = np.full(len(documents), np.nan)
    if not documents or not trusted:
        return {"self_influence": unknown, "agreement": unknown}
    steps = Ladder(open_subject(model, num_checkpoints=_CHECKPOINTS), [*trusted, *documents], Settings())
    rows, first = steps.pieces(range(len(steps.documents))), len(trusted)
    tokens = np.zeros(len(steps.documents))
    np.add.at(tokens, [row.document for row in rows], [len(row.tokens) for row in rows])
    found, total = np.zeros((2, len(steps.documents))), 0.0
    for step, weight in steps.subject.steps.items() or [(None, 1.0)]:
        with steps.at(step):
            scales = of_moments(token_moments(steps.subject.model, rows_of_trusted(rows, first), steps.end))
            phi_ND = Projector(steps.subject.model, _WIDTH, 0, scales).of(rows, steps.end, len(steps.documents))
        size = phi_ND.square().sum(1).numpy() / np.maximum(tokens, 1)
        towards_D = unit(unit(phi_ND[:first]).mean(0, keepdim=True))[0]
        found += weight * np.stack([np.log(np.maximum(size, 1e-12)), torch.mv(unit(phi_ND), towards_D).numpy()])
        total += weight
    return dict(zip(("self_influence", "agreement"), found[:, first:] / total, strict=True))


def rows_of_trusted(rows: Sequence[Piece], first: int) -> list[Piece]:
    """Rows of the documents before `first`, as many as moments need."""
    return [row for row in rows if row.document < first][:_SAMPLE]
