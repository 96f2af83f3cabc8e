"""The learning rate of every step, as a share of its peak: pure functions, so a resumed run needs no state here."""

import math

from trainer.recipe import Optimizer


def share(step: int, steps: int, settings: Optimizer) -> float:
    """What step 1, 2, … `steps` multiplies the learning rate with, from 0 to 1.

    Warm-up is linear. `wsd` (warm-up, stable, decay; arXiv 2404.06395) then holds the peak and falls on a line at the
    end, `cosine` falls from the end of the warm-up, `constant` never does.
    """
    warmup = warmup_steps(steps, settings)
    if step <= warmup:
        return step / warmup
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "cosine":
        fallen = 0.5 - 0.5 * math.cos(math.pi * (step - warmup) / max(steps - warmup, 1))
    else:
        # The last step still learns: its share is one part of the decay above the final one.
        last = stable_until(steps, settings)
        fallen = max(step - last, 0) / (steps - last + 1)
    return 1 - fallen * (1 - settings.final_lr)


def warmup_steps(steps: int, settings: Optimizer) -> int:
    """Steps that rise to the peak; none of more than zero is ever without one."""
    return math.ceil(settings.warmup * steps)


def stable_until(steps: int, settings: Optimizer) -> int:
    """The last step of a wsd run before its rate falls: the point to go on from with more data. 0: there is none."""
    if settings.schedule != "wsd":
        return 0
    return max(steps - math.ceil(settings.decay * steps), warmup_steps(steps, settings))
