"""Training runs of a second, for the trainer's tests: in this process, or in others that can be killed."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from trainer import recipe as recipes
from trainer.recipe import Recipe

ROOT = Path(__file__).parent.parent
_TINY: dict[str, dict[str, Any]] = {
    "tokenizer": {"vocab": 300},
    "data": {"sequence_length": 32, "validation": 0.1},
    "model": {"depth": 1, "width": 32},
    "optimizer": {"lr": 0.02, "lr_rest": 0.01},
    "train": {
        "tokens": 24 * 256,
        "batch_tokens": 256,
        "evaluate_every": 6,
        "checkpoint_every": 4,
        "sample_tokens": 4,
        "threads": 1,
        "device": "cpu",
    },
}


def tiny_recipe(**changes: Any) -> Recipe:
    """24 steps of 8 rows. `train__tokens=512` sets train.tokens."""
    raw = {name: dict(table) for name, table in _TINY.items()}
    for key, value in changes.items():
        table, name = key.split("__")
        raw.setdefault(table, {})[name] = value
    return recipes.parse(raw, "tiny.toml")


def _child(environment: dict[str, str], target: Callable[..., None], arguments: Sequence[Any]) -> None:
    os.environ.update(environment)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if errors := environment.get("ERRORS"):
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    target(*arguments)


def train_target(recipe: Recipe, corpora: list[Path], out: Path, told: dict[str, Any]) -> None:
    """`train` in another process; a Failure is its exit status and one line, as in the command."""
    from trainer.failures import Failure
    from trainer.train import train

    try:
        train(recipe, corpora, out, **told)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr, flush=True)
        sys.exit(failure.status)


@contextmanager
def processes(
    target: Callable[..., None], arguments: Sequence[Any], ranks: int = 1, errors: Path | None = None
) -> Iterator[list[BaseProcess]]:
    """`ranks` processes with what torchrun would set, forked from one that has only imported torch.

    errors: a file that gets what they write to stderr.
    """
    context = multiprocessing.get_context("forkserver")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    context.set_forkserver_preload(["trainer.train", "trainer.summary"])
    started: list[BaseProcess] = []
    common = {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"}
    alone = {"ERRORS": str(errors)} if errors else {}
    common["MASTER_PORT"] = str(_free_port())
    for rank in range(ranks):
        environment = {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {}
        environment |= alone
        process = context.Process(target=_child, args=(environment, target, arguments), daemon=True)
        process.start()
        started.append(process)
    try:
        yield started
    finally:
        for process in started:
            process.join(90)
            if process.is_alive():
                process.kill()
                process.join()


def run_ranks(
    ranks: int, recipe: Recipe, corpora: Sequence[Path], out: Path, errors: Path | None = None, **told: Any
) -> list[int | None]:
    """Train with so many ranks to the end; their exit statuses."""
    with processes(train_target, (recipe, list(corpora), out, told), ranks, errors) as started:
        pass
    return [process.exitcode for process in started]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def lines(out: Path) -> list[str]:
    """Of the journal."""
    return (out / "journal.jsonl").read_text("utf-8").splitlines()
