"""When a step is refused: its loss or gradient is no number, or the loss stands far above those before.

The decision rests on numbers summed over all ranks, so that every rank decides alike. What is refused is not learnt.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.failures import Failure

WINDOW = 128  # accepted steps that a spike is measured against, as in OLMo-core's SkipStepOptimizer
ENOUGH = 32  # fewer say nothing of the spread
ROLLBACKS = 3  # without a step further than before, and the run gives up


@dataclass
class Refusals:
    """What the run remembers in order to refuse; all of it goes into the checkpoint."""

    sigmas: float  # 0: only what is no number is refused
    in_a_row_allowed: int
    losses: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    in_a_row: list[int] = field(default_factory=list)  # steps refused since the last one accepted
    skipped: set[int] = field(default_factory=set)  # steps that are not done again after going back
    furthest: int = 0  # the last step ever accepted
    times_back: int = 0  # since then

    def reason(self, loss: float, gradient_norm: float, spikes_count: bool) -> str:
        """Why this step must not be learnt from; empty: it may be. Spikes do not count during warm-up."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(gradient_norm):
            return f"the gradient's norm is {gradient_norm}"
        if not (self.sigmas and spikes_count and len(self.losses) >= ENOUGH):
            return ""
        limit = spike_limit(list(self.losses), self.sigmas)
        return f"the loss {loss:.4f} is above {limit:.4f}, {self.sigmas:g} sigmas of the last steps" * (loss > limit)

    def accept(self, step: int, loss: float) -> None:
        self.losses.append(loss)
        self.in_a_row.clear()
        if step > self.furthest:
            self.furthest, self.times_back = step, 0

    def refuse(self, step: int) -> bool:
        """Note a refused step; True when the run should go back to its last good checkpoint."""
        self.in_a_row.append(step)
        return len(self.in_a_row) >= self.in_a_row_allowed

    def go_back(self, to: int, documents: Sequence[str]) -> None:
        """Skip what was refused from now on. Raises Failure when going back did not help."""
        self.times_back += 1
        self.skipped |= set(self.in_a_row)
        steps = sorted(self.in_a_row)
        self.in_a_row.clear()
        if self.times_back >= ROLLBACKS:
            raise Failure(
                f"steps {steps[0]} to {steps[-1]} were refused, and going back to step {to} did not help {ROLLBACKS} "
                f"times: look at documents {', '.join(documents[:5])}, or lower optimizer.lr"
            )

    def state(self) -> dict[str, Any]:
        """As JSON holds it, exactly: floats are written so that they are read back as they were."""
        return {
            "losses": list(self.losses),
            "in_a_row": self.in_a_row,
            "skipped": sorted(self.skipped),
            "furthest": self.furthest,
            "times_back": self.times_back,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.losses = deque(state["losses"], maxlen=WINDOW)
        self.in_a_row = list(state["in_a_row"])
        self.skipped = set(state["skipped"])
        self.furthest, self.times_back = state["furthest"], state["times_back"]


def spike_limit(losses: Sequence[float], sigmas: float) -> float:
    """Mean plus so many standard deviations."""
    mean = math.fsum(losses) / len(losses)
    return mean + sigmas * math.sqrt(math.fsum((loss - mean) ** 2 for loss in losses) / len(losses))
