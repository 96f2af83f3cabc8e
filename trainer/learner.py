"""One step's losses and gradients, over micro-batches and ranks, with the lineage of both.

Every loss counts the same, on whatever rank and in whatever micro-batch it falls.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from trainer import memory
from trainer.lanes import Lanes
from trainer.lineage import Lineage
from trainer.model import Transformer
from trainer.optimizer import Optimizers
from trainer.ranks import Ranks
from trainer.recipe import Recipe
from trainer.shards import IGNORED, Batch
from trainer.start import Start


@dataclass(frozen=True)
class Gradients:
    """What a step's backward pass came to, the same on every rank."""

    loss: float  # nats per token
    tokens: int  # learnt from
    sources: dict[str, dict[str, float]]  # name -> loss, tokens
    norm: float  # of all gradients, before clipping
    stop: bool  # whether some rank was asked to


class Learner:
    """The model of one rank, with what moves it and what watches it."""

    def __init__(self, recipe: Recipe, start: Start, out: Path, ranks: Ranks) -> None:
        self.model, self._forward = _model(recipe, start, ranks)
        self.optimizers = Optimizers(self.model.matrices(), self.model.rest(), recipe.optimizer)
        self._adapters = {name: x.clone() for name, x in self.model.state_dict().items() if ".lora_" in name}
        full = recipe.train.lineage == "full"
        self.lineage = Lineage(out, ranks.rank, start.shards, recipe.data.sequence_length, full)
        self._ranks, self._settings = ranks, recipe.train
        self._sources, self._weights = start.shards.sources, start.document_weights
        self._clip = recipe.optimizer.clip or math.inf
        self._first_row = start.order.batch_rows * ranks.rank // ranks.size
        self.lanes = Lanes(start.lanes)

    def close(self) -> None:
        self.lanes.close()

    def reset(self, weights: dict[str, Tensor] | None) -> None:
        """Back to the beginning: the first weights, or those that the seed gives; adapters as they were put in."""
        self.optimizers.load({})
        if weights is None:
            self.model.initialise(self._settings.seed)
            return
        own = self.model.state_dict().keys()
        # peft renames a matrix that it puts an adapter beside
        named = {
            name if name in own else name.replace(".weight", ".base_layer.weight"): x for name, x in weights.items()
        }
        self.model.load_state_dict({**self._adapters, **named})

    def gradients(self, step: int, batches: Sequence[Batch], asked_to_stop: bool) -> Gradients:
        """Forward and backward of this rank's micro-batches, summed over all ranks, clipped."""
        device = self._ranks.device
        learnt = sum(int((batch.targets_BT != IGNORED).sum()) for batch in batches)
        # Divided by all targets of the step, on whatever rank: a mean of means would weigh short rows more.
        total = self._ranks.sum(torch.tensor(learnt, dtype=torch.float64, device=device))
        scale = (self._ranks.size / total.clamp(min=1)).float()  # DDP takes the mean over ranks
        sums = torch.zeros(2, len(self._sources), dtype=torch.float64, device=device)  # nats, tokens
        row = self._first_row
        for batch, losses in zip(batches, self._backward(batches, scale), strict=True):
            sums += self._by_source(batch, losses[0])
            if self._settings.lineage != "off":
                self.lineage.add(step, row, batch, losses)
            row += len(batch.row_B)
        norm = torch.nn.utils.clip_grad_norm_(self.optimizers.parameters, self._clip)
        asked = torch.tensor([asked_to_stop], dtype=torch.float64, device=device)
        told = self._ranks.sum(torch.cat([sums.flatten(), norm.double().reshape(1), asked]))
        self.lineage.collect(before=step)  # the host adds up the step before while the device is at work on this one
        return self._told(told.tolist())

    def _backward(self, batches: Sequence[Batch], scale: Tensor) -> Iterator[list[Tensor]]:
        """Add each micro-batch's gradient to the parameters'; what `losses` gives of it, without a graph."""

        def objective(batch: Batch) -> tuple[Tensor, list[Tensor]]:
            losses_BT, *others = self.losses(batch)
            return self._weighted(batch, losses_BT).sum() * scale, [losses_BT.detach(), *others]

        if self._ranks.size == 1:
            yield from self.lanes.backward(objective, batches, self.optimizers.parameters)
            return
        for place, batch in enumerate(batches):
            with self._unsynchronised(place < len(batches) - 1):
                [losses] = self.lanes.backward(objective, [batch], self.optimizers.parameters)
            yield losses

    def losses(self, batch: Batch) -> list[Tensor]:
        """Nats of every target, BT, and EL2N where the lineage is full."""
        tokens, targets = (_moved(x, self._ranks.device) for x in (batch.tokens_BT, batch.targets_BT))
        documents = torch.from_numpy(batch.documents_BT)
        if self._settings.lineage == "full":
            return list(self._forward(tokens, targets, documents, el2n=True))
        return [self._forward(tokens, targets, documents)]

    def _weighted(self, batch: Batch, losses_BT: Tensor) -> Tensor:
        """Losses as they count in the gradient; what is told of them counts all alike."""
        if self._weights is None:
            return losses_BT
        return losses_BT * _moved(self._weights.of(batch.documents_BT), self._ranks.device)

    def _by_source(self, batch: Batch, losses_BT: Tensor) -> Tensor:
        """Nats and tokens of every source, 2 x sources, float64."""
        device = losses_BT.device
        numbers = torch.arange(len(self._sources), device=device)
        is_source_SB = numbers[:, None] == torch.from_numpy(batch.source_B).to(device)
        tokens_B = torch.from_numpy((batch.targets_BT != IGNORED).sum(1)).to(device)
        nats_B = losses_BT.sum(1, dtype=torch.float64)
        # 0 * nan is nan: choose, rather than multiply, so that one source's nan stays its own
        return torch.stack([torch.where(is_source_SB, x, 0).sum(1).double() for x in (nats_B, tokens_B)])

    def _told(self, numbers: list[float]) -> Gradients:
        *sums, norm, stop = numbers
        nats, tokens = sums[: len(self._sources)], sums[len(self._sources) :]
        sources = {
            name: {"loss": n / t, "tokens": int(t)} for name, n, t in zip(self._sources, nats, tokens, strict=True) if t
        }
        learnt = sum(map(int, tokens))
        return Gradients(sum(nats) / max(learnt, 1), learnt, sources, norm / self._ranks.size, stop > 0)

    def _unsynchronised(self, wanted: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients are averaged over the ranks once per step, not per micro-batch."""
        if wanted and isinstance(self._forward, DistributedDataParallel):
            return self._forward.no_sync()
        return contextlib.nullcontext()


def _model(recipe: Recipe, start: Start, ranks: Ranks) -> tuple[Transformer, Callable[..., Any]]:
    """The model on its device, and what its training calls: the same, or DDP around it."""
    dtype = torch.bfloat16 if memory.dtype_bytes(recipe, ranks.device) == 2 else torch.float32
    half = memory.half_products(recipe, ranks.device)
    model = Transformer(start.shape, recipe.train.attention, dtype, half).to(ranks.device)
    if recipe.adapter.rank:
        from trainer import adapters

        adapters.inject(model, recipe.adapter.rank, recipe.adapter.alpha, recipe.adapter.targets, recipe.train.seed)
    if recipe.train.compile == "on" or (recipe.train.compile == "auto" and ranks.device.type == "cuda"):
        model.compile()
    if ranks.size == 1:
        return model, model
    where = [ranks.device] if ranks.device.type == "cuda" else None
    return model, DistributedDataParallel(model, device_ids=where, gradient_as_bucket_view=True)


def _moved(array: Any, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
