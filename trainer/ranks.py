"""The processes of one run: one alone, or those that `torchrun` starts, with gloo on CPUs and NCCL on GPUs.

Everything that all ranks must agree on goes through `sum` and `share`.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from trainer.failures import Failure, UsageFailure

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_MINUTES = 30.0  # that a rank waits for the others; rank 0 may train a tokenizer and pack a corpus meanwhile


@dataclass(frozen=True)
class Ranks:
    """This process's place among those of the run."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this rank prints and writes for all."""
        return self.rank == 0

    def threads(self, asked: int = 0) -> int:
        """Of a CPU rank: as asked, or for 0 its share of the cores that this process may use."""
        here = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))  # set by torchrun: ranks on this machine
        return asked or max(1, len(os.sched_getaffinity(0)) // here)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, in place; the same bits on each."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, value: Any) -> list[Any]:
        """A small Python value of every rank, in their order, on each."""
        found = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(found, value)
        return found

    def share(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        found = [value]
        if self.size > 1:
            dist.broadcast_object_list(found, src=0)
        return found[0]

    def wait(self) -> None:
        """Until every rank is here."""
        if self.size > 1:
            dist.barrier()


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The ranks of this run while the block runs. `device`: auto, cpu or cuda.

    Raises UsageFailure where the environment is half of what torchrun sets, or names a GPU that is not there.
    """
    place = place_of(dict(os.environ))
    if place is None:
        yield Ranks(0, 1, _device(device, 0))
        return
    rank, size, local = place
    where = _device(device, local)
    if where.type == "cuda":
        torch.cuda.set_device(where)
    try:
        # gloo beside NCCL: small Python values travel between hosts without a trip through the GPUs
        backend = "cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(minutes=_MINUTES), rank=rank, world_size=size)
    except (dist.DistError, RuntimeError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise Failure(f"rank {rank} of {size} met no others: {said}; start all of them with torchrun") from None
    try:
        yield Ranks(rank, size, where)
    finally:
        dist.destroy_process_group()


def place_of(environment: dict[str, str]) -> tuple[int, int, int] | None:
    """(rank, ranks, rank on this machine) from what torchrun sets; None without torchrun. Raises UsageFailure."""
    found = {name: environment[name] for name in _VARIABLES if environment.get(name)}
    if "RANK" not in found and "WORLD_SIZE" not in found:
        return None
    if missing := [name for name in _VARIABLES if name not in found]:
        raise UsageFailure(
            f"{', '.join(sorted(found))} set in the environment, but not {', '.join(missing)}: start several ranks "
            "with `torchrun --nproc-per-node N -m trainer ...`, or unset them"
        )
    numbers = []
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        if not found[name].isdigit():
            raise UsageFailure(f"{name}={found[name]} in the environment: expected a number")
        numbers.append(int(found[name]))
    rank, size, local = numbers
    if not rank < size:
        raise UsageFailure(f"RANK={rank} with WORLD_SIZE={size} in the environment: ranks count from 0")
    return (rank, size, local) if size > 1 else None


def _device(wanted: str, local: int) -> torch.device:
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageFailure("train.device: 'cuda', but PyTorch sees no GPU; use 'auto' or 'cpu'")
    if local >= torch.cuda.device_count():
        raise UsageFailure(f"rank {local} of this machine has no GPU of its own: it has {torch.cuda.device_count()}")
    return torch.device("cuda", local)
