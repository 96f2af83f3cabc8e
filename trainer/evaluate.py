"""What a model is worth while it trains: bits per byte of the validation text per source, and a few samples.

Bits per byte, not loss per token: it means the same for every tokenizer.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from trainer import generate as generation
from trainer.lanes import Lanes
from trainer.ranks import Ranks
from trainer.shards import IGNORED

if TYPE_CHECKING:
    from trainer.model import Transformer
    from trainer.shards import Batch, Shards
    from trainer.tokenizer import Tokenizer


Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """Summed losses of some text, and how much of it there is."""

    nats: float
    bytes: int
    tokens: int

    @property
    def bits_per_byte(self) -> float:
        """nan where there is no text."""
        return self.nats / math.log(2) / self.bytes if self.bytes else math.nan


def scores(
    model: "Transformer",
    shards: "Shards",
    length: int,
    max_tokens: int,
    micro_rows: int,
    ranks: Ranks,
    lanes: Lanes | None = None,
) -> dict[str, Score]:
    """The score of every source that has validation text. Every rank reads its share of the rows.

    Bytes are those of the targets' text; the end token has none, but its loss counts.
    """
    source, row = shards.validation_rows(length, max_tokens)
    first, last = (len(row) * rank // ranks.size for rank in (ranks.rank, ranks.rank + 1))
    lanes = lanes or Lanes()

    def summed(batch: "Batch") -> Floats:
        tokens, targets = (torch.from_numpy(x).to(ranks.device) for x in (batch.tokens_BT, batch.targets_BT))
        with torch.no_grad():  # a setting of each thread
            losses_BT = model(tokens, targets, torch.from_numpy(batch.documents_BT))
        found: Floats = losses_BT.double().sum(1).cpu().numpy()
        return found

    sums = np.zeros((3, len(shards.sources)))
    for start in range(first, last, micro_rows * lanes.count):
        edges = range(start, min(start + micro_rows * lanes.count, last), micro_rows)
        pieces = [slice(edge, min(edge + micro_rows, last)) for edge in edges]
        batches = [shards.read("validation", source[piece], row[piece], length) for piece in pieces]
        for batch, nats in zip(batches, lanes.run(summed, batches), strict=True):
            learnt = batch.targets_BT != IGNORED
            size = np.where(learnt, shards.token_bytes[np.where(learnt, batch.targets_BT, 0)], 0).sum(1)
            for line, values in enumerate((nats, size, learnt.sum(1))):
                sums[line] += np.bincount(batch.source_B, values, len(shards.sources))
    total = ranks.sum(torch.from_numpy(sums).to(ranks.device)).tolist()
    return {
        name: Score(nats, int(size), int(tokens))
        for name, nats, size, tokens in zip(shards.sources, *total, strict=True)
        if tokens
    }


def overall(parts: dict[str, Score]) -> float:
    """Bits per byte of all sources together; nan where nothing is held out."""
    nats = math.fsum(part.nats for part in parts.values())
    return Score(nats, sum(part.bytes for part in parts.values()), 0).bits_per_byte


def samples(
    model: "Transformer", tokenizer: "Tokenizer", prompts: tuple[str, ...], tokens: int, seed: int
) -> list[dict[str, str]]:
    """What the model makes of each prompt, drawn with a fixed seed; the empty prompt asks for a document."""
    model.eval()
    encoded = [[tokenizer.end, *tokenizer.encode(prompt)] for prompt in prompts]
    sampling = generation.Sampling(max_tokens=tokens, seed=seed, stop=(tokenizer.end,))
    made = generation.generate(model, encoded, sampling)
    model.train()
    return [{"prompt": prompt, "text": tokenizer.decode(ids)} for prompt, ids in zip(prompts, made, strict=True)]
