"""How fast a training step is: beside plain PyTorch on a CPU, and against a GPU's peak.

usage: python benchmarks/training.py [--threads 1] [--rounds 9]
       PYTHONPATH=. python benchmarks/training.py --gpu [--sizes 124M,350M,1.5B] [--out FOLDER]

On a CPU every round times one step of each kind, so that what else the machine does touches all alike; the ratio is the
median over rounds, and seconds are the processor's where one thread runs. "no borders" is the work that plain does;
the other kinds also end attention at document borders. With --gpu: bfloat16, compiled, rows of documents, lineage on
and off in turns; it needs torch and numpy alone, and pyarrow for the lineage. MFU counts 6 N and 12 H D T per layer
for each token (PaLM, appendix B).
"""

import argparse
import dataclasses
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from plain_gpt import PlainGpt
from torch import Tensor

from trainer import attention, products
from trainer.failures import UsageFailure
from trainer.lanes import Lanes
from trainer.model import Shape, Transformer, shape_of
from trainer.optimizer import Optimizers

PEAK_TFLOPS = 989.0  # of an H100 or H200 SXM in bfloat16, without sparsity (NVIDIA's data sheet)
MEAN_DOCUMENT, SPREAD = 600, 1.0  # tokens, and sigma of their logarithm: about what web text has
MODEL = {  # recipe.Model's defaults, said here so that no more than torch is needed
    "depth": 4, "width": 0, "heads": 0, "kv_heads": 0, "head_width": 0, "mlp": "swiglu", "mlp_width": 0,
    "qk_norm": True, "tied": None, "window": 0, "window_layers": "L", "document_mask": True,
    "rope_theta": 10_000.0, "norm_eps": 1e-6,
}  # fmt: skip
OPTIMIZER = {"lr": 0.01, "lr_rest": 0.003, "weight_decay": 0.1, "betas": (0.9, 0.95), "momentum": 0.95}


@dataclasses.dataclass(frozen=True)
class Size:
    """A model and what it reads in a step."""

    model: dict[str, Any]
    vocab: int
    length: int
    rows: int  # of a micro-batch
    micro_batches: int
    steps: int  # timed, of each kind

    @property
    def shape(self) -> Shape:
        return shape_of(SimpleNamespace(**{**MODEL, **self.model}), self.vocab)  # type: ignore[arg-type]

    @property
    def tokens(self) -> int:
        return self.rows * self.length * self.micro_batches


SIZES = {
    "tiny": Size({"depth": 2, "width": 64}, 300, 64, 4, 2, 2),
    "124M": Size({"depth": 12, "tied": True}, 50_304, 1024, 64, 8, 5),
    "350M": Size({"depth": 24, "width": 1024, "tied": True}, 50_304, 1024, 32, 16, 4),
    "1.5B": Size({"depth": 26, "width": 2048}, 50_304, 2048, 16, 16, 3),
}
CPU_SIZES = {
    "default recipe": Size({"depth": 3}, 2048, 256, 8, 1, 0),
    "10M": Size({"depth": 6, "width": 320, "tied": True}, 8192, 512, 8, 1, 0),
}


class Corpus:
    """Random tokens in documents of log-normal length, in the form that the loader and the lineage know."""

    sources = ("synthetic",)

    def __init__(self, size: Size, seed: int = 0) -> None:
        self._size, self._random = size, np.random.default_rng(seed)
        total = size.tokens * 4
        mean = MEAN_DOCUMENT * np.exp(-(SPREAD**2) / 2)
        lengths = self._random.lognormal(np.log(mean), SPREAD, 2 * total // MEAN_DOCUMENT + 64).astype(np.int64) + 1
        self.first = np.concatenate([[0], lengths.cumsum()[:-1]])
        self._tokens = self._random.integers(0, size.vocab, total + 1)
        self._rows = total // size.length

    @property
    def documents(self) -> Any:
        import pyarrow as pa

        count = len(self.first)
        ids = pa.array([f"{number:032x}" for number in range(count)], pa.string())
        return pa.table({"id": ids, "source": ["synthetic"] * count, "first": self.first})

    def spans(self, _split: str, _source: int, length: int) -> tuple[Any]:
        """Where each row begins in the stream."""
        return (np.arange(self._rows) * length,)

    def batches(self, step: int) -> list[Any]:
        """A step's micro-batches, as shards.Batch."""
        size, found = self._size, []
        for number in range(size.micro_batches):
            row_B = (np.arange(size.rows) + (step * size.micro_batches + number) * size.rows) % self._rows
            places_BT = row_B[:, None] * size.length + np.arange(size.length)
            found.append(
                SimpleNamespace(
                    tokens_BT=self._tokens[places_BT],
                    targets_BT=self._tokens[places_BT + 1],
                    documents_BT=(np.searchsorted(self.first, places_BT, side="right") - 1).astype(np.int32),
                    source_B=np.zeros(size.rows, np.int32),
                    row_B=row_B,
                )
            )
        return found


class Ours:
    """A step as the loop does it: backward per micro-batch, clipping, the optimisers, and the lineage if asked."""

    def __init__(
        self,
        size: Size,
        device: torch.device,
        matrices: str,
        dtype: torch.dtype,
        compiled: bool,
        backend: str = "auto",
        lanes: int = 1,
        half_products: bool = False,
    ) -> None:
        self.model = Transformer(size.shape, backend, dtype, half_products)
        self.model.initialise(0)
        self.model.to(device)
        if compiled:
            self.model.compile()
        settings: Any = SimpleNamespace(matrices=matrices, **OPTIMIZER)
        self.optimizers = Optimizers(self.model.matrices(), self.model.rest(), settings)
        self.optimizers.set_share(0.01)  # a small rate: random tokens teach nothing
        self._device, self._tokens, self._lanes = device, size.tokens, Lanes(lanes)

    def step(self, number: int, batches: Sequence[Any], lineage: Any = None) -> float:
        """The mean loss; waits for the device, as the loop does to see whether the step is sound."""
        total, row = torch.zeros((), device=self._device), 0
        if self._lanes.count > 1:
            batches = [part for batch in batches for part in parts(batch, self._lanes.count)]
        found = self._lanes.backward(self._objective, batches, self.optimizers.parameters)
        for batch, losses_BT in zip(batches, found, strict=True):
            total += losses_BT.sum()
            if lineage is not None:
                lineage.add(number, row, batch, [losses_BT])
            row += len(batch.row_B)
        norm = torch.nn.utils.clip_grad_norm_(self.optimizers.parameters, 1.0)
        if lineage is not None:
            lineage.collect(before=number)
        loss = float(total / self._tokens)
        if not torch.isfinite(norm):
            raise SystemExit(f"step {number}: the gradient's norm is {float(norm)}")
        self.optimizers.step()
        self.optimizers.zero_grad()
        return loss

    def _objective(self, batch: Any) -> tuple[Tensor, Tensor]:
        losses_BT = self._losses(batch)
        return losses_BT.sum() / self._tokens, losses_BT.detach()

    def _losses(self, batch: Any) -> Tensor:
        tokens, targets = (moved(x, self._device) for x in (batch.tokens_BT, batch.targets_BT))
        losses_BT: Tensor = self.model(tokens, targets, torch.from_numpy(batch.documents_BT))
        return losses_BT


class Plain:
    """The same for plain_gpt, with AdamW."""

    def __init__(self, size: Size, autocast: bool = False) -> None:
        shape, self._autocast = size.shape, autocast
        # 4 times the width; ours has 3 matrices of 8/3 of it, which comes to the same number of parameters
        self.model = PlainGpt(
            shape.vocab, shape.depth, shape.width, shape.heads, 4 * shape.width, size.length, shape.tied
        )
        self._optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)

    def step(self, number: int, batches: Sequence[Any]) -> float:
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=self._autocast):
                loss = self.model(torch.from_numpy(batch.tokens_BT), torch.from_numpy(batch.targets_BT)) / len(batches)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return float(loss.detach())


def parts(batch: Any, count: int) -> list[Any]:
    """A micro-batch as `count` smaller ones."""
    edges = [len(batch.row_B) * number // count for number in range(count + 1)]
    pieces = [slice(*pair) for pair in itertools.pairwise(edges)]
    return [SimpleNamespace(**{name: value[piece] for name, value in vars(batch).items()}) for piece in pieces]


def moved(array: Any, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def new_lineage(folder: Path, corpus: Corpus, length: int) -> Any:
    """The loop's own, or None where pyarrow is missing."""
    try:
        from trainer.lineage import Lineage
    except ImportError as error:
        print(f"lineage is not measured: {error}", file=sys.stderr)
        return None
    return Lineage(folder, 0, corpus, length, False)  # type: ignore[arg-type]


def seconds(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    run()
    return clock() - start


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    print(f"\n{title}")
    for row in [header, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + " |")


def on_cpu(rounds: int, threads: int, sizes: dict[str, Size]) -> dict[str, dict[str, float]]:
    """Tokens/s of each kind, and the median ratio to plain, by size; printed."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    found = {}
    for name, size in sizes.items():
        with tempfile.TemporaryDirectory() as folder:
            times = _cpu_times(size, rounds, Path(folder))
        ratio = {
            kind: statistics.median(p / t for p, t in zip(times["plain"], of, strict=True))
            for kind, of in times.items()
        }
        speed = {kind: size.tokens / statistics.median(of) for kind, of in times.items()}
        shape = size.shape
        table(
            f"{name}: {shape.num_parameters() / 1e6:.1f}M parameters, {size.rows} rows of {size.length},"
            f" {threads} thread(s), float32, {rounds} rounds",
            ["step", "tokens/s", "of plain"],
            [[kind, f"{speed[kind]:,.0f}", f"{ratio[kind]:.2f}"] for kind in times],
        )
        found[name] = {kind: ratio[kind] for kind in times}
    return found


def _cpu_times(size: Size, rounds: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of a step of each kind in each round."""
    cpu, corpus, lanes = torch.device("cpu"), Corpus(size), min(torch.get_num_threads(), size.rows)
    muon = Ours(size, cpu, "muon", torch.float32, False, lanes=lanes)
    free = dataclasses.replace(size, model={**size.model, "document_mask": False})
    squared = dataclasses.replace(free, model={**free.model, "mlp": "relu2"})
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    steps: dict[str, Callable[[int, Any], float]] = {
        "plain": Plain(size).step,
        "AdamW, no borders": Ours(free, cpu, "adamw", torch.float32, False, lanes=lanes).step,
        "AdamW, no borders, squared ReLU": Ours(squared, cpu, "adamw", torch.float32, False, lanes=lanes).step,
        "AdamW": Ours(size, cpu, "adamw", torch.float32, False, lanes=lanes).step,
        "Muon": muon.step,
    }
    if lanes > 1:
        steps["Muon, all threads in each operation"] = Ours(size, cpu, "muon", torch.float32, False).step
    if products.supported():
        half = Ours(free, cpu, "adamw", torch.float32, False, lanes=lanes, half_products=True)
        steps["plain, autocast to bfloat16"] = Plain(size, autocast=True).step
        steps["AdamW, no borders, products of bfloat16"] = half.step
        muon = Ours(size, cpu, "muon", torch.float32, False, lanes=lanes, half_products=True)
        steps["Muon, products of bfloat16"] = muon.step
    lineage = new_lineage(folder, corpus, size.length)
    if lineage is not None:
        steps["the same, lineage"] = lambda number, batches: muon.step(number, batches, lineage)
    times: dict[str, list[float]] = {kind: [] for kind in steps}
    for number in range(rounds + 1):
        batches = corpus.batches(number)
        for kind, step in steps.items():
            spent = seconds(lambda step=step, number=number, batches=batches: step(number, batches), clock)
            if number:  # the first round warms up
                times[kind].append(spent)
    return times


def agreement(device: torch.device) -> list[list[str]]:
    """Largest difference of a target's loss between backends: every kernel that this device has, on one small model."""
    size = Size({"depth": 2, "width": 128, "kv_heads": 1, "window": 40, "window_layers": "SL"}, 512, 128, 4, 1, 1)
    batch = Corpus(size).batches(0)[0]
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        losses: dict[str, Tensor] = {}
        slopes: dict[str, Tensor] = {}
        for backend in attention.BACKENDS:
            try:
                attention.choose(backend, device, dtype)
            except UsageFailure:
                continue
            ours = Ours(size, device, "adamw", dtype, False, backend)
            with torch.no_grad():
                for name, parameter in ours.model.named_parameters():
                    if name.endswith(("o_proj.weight", "down_proj.weight")):
                        parameter.normal_(std=0.1, generator=torch.Generator(device).manual_seed(1))
            tokens, targets = (moved(x, device) for x in (batch.tokens_BT, batch.targets_BT))
            losses[backend] = ours.model(tokens, targets, torch.from_numpy(batch.documents_BT))
            losses[backend].mean().backward()
            losses[backend] = losses[backend].detach()
            slopes[backend] = torch.cat([p.grad.flatten() for p in ours.model.parameters() if p.grad is not None])
            loss = (losses[backend] - losses["sdpa"]).abs().max()
            slope = (slopes[backend] - slopes["sdpa"]).norm() / slopes["sdpa"].norm()
            rows.append([str(dtype).removeprefix("torch."), backend, f"{float(loss):.1e}", f"{float(slope):.1e}"])
    return rows


def on_gpu(
    device: torch.device, names: Sequence[str], backends: Sequence[str], out: Path | None
) -> list[dict[str, Any]]:
    """Measure every size; printed, and written to OUT/training.json after each."""
    torch.set_float32_matmul_precision("high")
    table("largest difference from sdpa", ["dtype", "backend", "loss", "gradient"], agreement(device))
    results: list[dict[str, Any]] = []
    for name in names:
        for backend in backends:
            results.append(_fitting(name, SIZES[name], device, backend))
            print(json.dumps(results[-1]), flush=True)
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                (out / "training.json").write_text(json.dumps(results, indent=1) + "\n")
    header = ["model", "attention", "rows", "tokens/s", "MFU", "with lineage", "its cost", "memory", "compiling"]
    table(f"on {_device_name(device)}, MFU of {PEAK_TFLOPS:.0f} TFLOP/s", header, [_row(result) for result in results])
    return results


def _row(result: dict[str, Any]) -> list[str]:
    lineage = result["tokens_per_second_lineage"]
    return [
        f"{result['size']} ({result['parameters'] / 1e6:.0f}M)",
        result["attention"],
        f"{result['rows']} x {result['length']}",
        f"{result['tokens_per_second']:,.0f}",
        f"{result['mfu']:.1%}",
        f"{lineage:,.0f}" if lineage else "-",
        f"{result['lineage_cost']:.1%}" if lineage else "-",
        f"{result['memory_gib']:.1f} GiB",
        f"{result['first_step_seconds']:.0f} s",
    ]


def _fitting(name: str, size: Size, device: torch.device, backend: str) -> dict[str, Any]:
    """Half the rows and twice the micro-batches until it fits the memory."""
    while True:
        try:
            return {"size": name, "device": _device_name(device), **_measure(size, device, backend)}
        except torch.OutOfMemoryError:
            if size.rows == 1:
                raise
            size = dataclasses.replace(size, rows=size.rows // 2, micro_batches=size.micro_batches * 2)
        torch.cuda.empty_cache()


def _measure(size: Size, device: torch.device, backend: str) -> dict[str, Any]:
    """One size: steps with and without lineage in turns."""
    corpus, cuda = Corpus(size), device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    ours = Ours(size, device, "muon", torch.bfloat16, cuda, backend)
    read = [corpus.batches(number) for number in range(2)]  # made before: the loader reads ahead in a thread
    with tempfile.TemporaryDirectory() as folder:
        lineage = new_lineage(Path(folder), corpus, size.length)
        kinds = [None] if lineage is None else [None, lineage]
        first = seconds(lambda: ours.step(0, read[0]))
        times: dict[bool, list[float]] = {False: [], True: []}
        for number in range(1, (size.steps + 1) * len(kinds) + 1):
            kind = kinds[number % len(kinds)]
            spent = seconds(lambda number=number, kind=kind: _synchronised(ours, number, read[number % 2], kind, cuda))
            if number > len(kinds):  # the second step of each kind is warm
                times[kind is not None].append(spent)
        if lineage is not None:
            lineage.flush()
    plain = statistics.median(times[False])
    with_lineage = statistics.median(times[True]) if times[True] else None
    shape = size.shape
    flops = shape.flops_per_token(size.length)
    return {
        "attention": attention.choose(backend, device, torch.bfloat16),
        "parameters": shape.num_parameters(),
        "rows": size.rows,
        "length": size.length,
        "step_tokens": size.tokens,
        "tokens_per_second": size.tokens / plain,
        "tokens_per_second_lineage": size.tokens / with_lineage if with_lineage else None,
        "lineage_cost": with_lineage / plain - 1 if with_lineage else None,
        "mfu": size.tokens / plain * flops / (PEAK_TFLOPS * 1e12),
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0,
        "first_step_seconds": first,
        "seconds": times[False],
        "seconds_lineage": times[True],
    }


def _synchronised(ours: Ours, number: int, batches: Sequence[Any], lineage: Any, cuda: bool) -> None:
    ours.step(number, batches, lineage)
    if cuda:
        torch.cuda.synchronize()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--device", default="cuda", help="with --gpu; cpu tries the code path")
    parser.add_argument("--sizes", help=f"of {', '.join(SIZES)} with --gpu, of {', '.join(CPU_SIZES)} without")
    parser.add_argument("--attention", default="auto", help="with --gpu: one or more of auto, sdpa, flex, varlen")
    parser.add_argument("--out", type=Path, help="with --gpu: a folder for training.json")
    given = parser.parse_args(arguments)
    if given.gpu:
        names = (given.sizes or "124M,350M,1.5B").split(",")
        on_gpu(torch.device(given.device), names, given.attention.split(","), given.out)
    else:
        names = (given.sizes or ",".join(CPU_SIZES)).split(",")
        on_cpu(given.rounds, given.threads, {name: {**CPU_SIZES, **SIZES}[name] for name in names})


if __name__ == "__main__":
    main()
