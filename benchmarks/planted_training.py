"""Trainings of the planted benchmark: which models there are, two at a time, each resumable by itself."""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer import recipe as recipes


@dataclass(frozen=True)
class Job:
    """One model: of which run, with which tokenizer ("": its own), for so many tokens."""

    run: Path
    out: Path
    tokenizer: Path | None
    tokens: int
    seed: int
    lineage: str = "off"


def recipe(job: Job) -> recipes.Recipe:
    """0.85 million parameters: three layers of 128, 2,048 tokens of vocabulary."""
    return recipes.Recipe(
        tokenizer=recipes.Tokenizer(path=str(job.tokenizer or ""), vocab=2048),
        data=recipes.Data(sequence_length=256, validation=0.001),
        model=recipes.Model(depth=3, width=128, head_width=32),
        train=recipes.Train(
            tokens=job.tokens,
            batch_tokens=2048,
            seed=job.seed,
            device="cpu",
            threads=1,
            evaluate_every=100_000,
            checkpoint_every=100,
            lineage=job.lineage,  # type: ignore[arg-type]
            spike_sigmas=0.0,  # a batch of bad documents is what is studied here
            sample_prompts=(),
        ),
    )


def train_all(jobs: Sequence[Job], workers: int) -> None:
    """Train what is not trained yet; in order, `workers` at a time."""
    each(train_one, [(job,) for job in jobs if not done(job.out)], workers)


def each(work: Callable[..., Any], asked: Sequence[tuple[Any, ...]], workers: int) -> list[Any]:
    """work(*arguments) for each, `workers` at a time, in fresh processes of one thread each; in their order."""
    if workers <= 1 or len(asked) <= 1:
        return [work(*arguments) for arguments in asked]
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        return list(pool.map(work, *zip(*asked, strict=True)))


def done(out: Path) -> bool:
    return (out / "done.json").exists()


def train_one(job: Job) -> None:
    """Train or go on; `done.json` says that it came to its end, and what CPU time it took since it last went on."""
    from trainer.train import train

    started = os.times()
    result = train(recipe(job), [job.run], job.out)
    if not result.finished:
        raise KeyboardInterrupt
    used = os.times()
    spent = {"steps": result.steps, "cpu_s": used.user - started.user + used.system - started.system}
    (job.out / "done.json").write_text(json.dumps(spent), "utf-8")


def held_out_losses(model: Path, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(bits, bytes) of each text under the last checkpoint of a model; kept beside it."""
    kept = model / "held_out.json"
    if not kept.exists():
        from eval.forwards import open_reader

        found = open_reader(model, "last").read(texts)
        bits = [float(losses.nats.sum() / np.log(2)) for losses in found]
        sizes = [float(losses.num_bytes.sum()) for losses in found]
        kept.write_text(json.dumps({"bits": bits, "bytes": sizes}), "utf-8")
    told = json.loads(kept.read_text("utf-8"))
    return np.array(told["bits"]), np.array(told["bytes"])
