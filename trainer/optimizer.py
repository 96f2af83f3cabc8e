"""Muon on the hidden matrices, AdamW on embeddings, head and gains; as one object whose state has names.

State is kept by parameter name, so that a checkpoint needs no pickle and no order of parameters.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Parameter

from trainer.failures import Failure
from trainer.muon import Muon

if TYPE_CHECKING:
    from trainer import recipe

Named = Sequence[tuple[str, Parameter]]


class Optimizers:
    """What moves the parameters: one step for all, one learning rate schedule, one state."""

    def __init__(self, matrices: Named, rest: Named, settings: "recipe.Optimizer") -> None:
        self._names = {parameter: name for name, parameter in [*matrices, *rest]}
        self.parameters = list(self._names)
        self._each: list[torch.optim.Optimizer] = []
        if settings.matrices == "muon" and matrices:
            self._each.append(_muon([p for _, p in matrices], settings))
            matrices = ()
        self._each.append(_adamw([p for _, p in matrices], [p for _, p in rest], settings))
        self._peaks = [[group["lr"] for group in one.param_groups] for one in self._each]

    def set_share(self, share: float) -> None:
        """Let the next step learn at this share of each group's peak."""
        for one, peaks in zip(self._each, self._peaks, strict=True):
            for group, peak in zip(one.param_groups, peaks, strict=True):
                group["lr"] = peak * share

    def step(self) -> None:
        for one in self._each:
            one.step()

    def zero_grad(self) -> None:
        for one in self._each:
            one.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """`PARAMETER/KEY` -> tensor: moments, and AdamW's own count of its steps."""
        return {
            f"{name}/{key}": value
            for one in self._each
            for parameter, name in self._names.items()
            for key, value in one.state.get(parameter, {}).items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave. Raises Failure where it belongs to another model or optimiser."""
        by_name: dict[str, dict[str, Tensor]] = {}
        for name, value in state.items():
            parameter, _, key = name.rpartition("/")
            by_name.setdefault(parameter, {})[key] = value
        if unknown := sorted(by_name.keys() - set(self._names.values())):
            raise Failure(f"optimizer.safetensors: {unknown[0]}: this model has no such parameter")
        for one in self._each:
            one.state.clear()
            for group in one.param_groups:
                for parameter in group["params"]:
                    found = by_name.get(self._names[parameter])
                    if found is not None:  # none yet where no step was taken before the checkpoint
                        one.state[parameter] = {key: _place(key, value, parameter) for key, value in found.items()}


def _muon(parameters: list[Parameter], settings: "recipe.Optimizer") -> torch.optim.Optimizer:
    """Muon (Jordan 2024). `original` scales an update to spectral norm sqrt(max(1, out / in)), whatever the width.

    So one learning rate holds over sizes (arXiv 2310.17813), which the depth dial and `scale` rest on. The other one,
    `match_rms_adamw` (arXiv 2502.16982), lets AdamW's rate be used, but the spectral norm then grows with the width.
    """
    return Muon(
        parameters,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        adjust_lr_fn="original",
    )


def _adamw(matrices: list[Parameter], rest: list[Parameter], settings: "recipe.Optimizer") -> torch.optim.Optimizer:
    """AdamW; vectors (gains) are not decayed towards zero, since their natural value is 1."""
    groups: list[dict[str, Any]] = [
        {"params": matrices, "lr": settings.lr, "weight_decay": settings.weight_decay},
        {"params": [p for p in rest if p.ndim > 1], "lr": settings.lr_rest, "weight_decay": settings.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "lr": settings.lr_rest, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]] or groups[:1]
    return torch.optim.AdamW(groups, betas=settings.betas, eps=1e-8, fused=True)


def _place(key: str, value: Tensor, parameter: Parameter) -> Tensor:
    if key != "step" and value.shape != parameter.shape:
        raise Failure(f"optimizer.safetensors: shape {list(value.shape)} where the model has {list(parameter.shape)}")
    return value.to(parameter.device).clone()
