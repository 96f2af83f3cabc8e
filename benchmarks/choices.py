"""What each choice of the trainer is worth: bits per byte of validation text at equal tokens, three seeds, paired.

    python benchmarks/choices.py demo/run --out runs/choices

prints a Markdown table. A run that was begun goes on, and one that is done is not done again. Runs of one seed start
from the same weights, as far as they have the same, and read the same rows in the same order, so differences are taken
within a seed. The interval is Student's t over the seeds: it takes the differences for normal, and with three of them
it is wide.
"""

import argparse
import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainer import recipe, train
from trainer.failures import Failure
from trainer.recipe import Recipe
from trainer.shared_start import prepare, short

T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}  # two-sided, by number of seeds
BASE = "Muon, QK-norm, SwiGLU, WSD"
# AdamW moves matrices in another unit than Muon, so it is given rates of its own.
VARIANTS: Mapping[str, Sequence[str]] = {
    BASE: (),
    "AdamW on matrices, rate 0.0003": ("optimizer.matrices=adamw", "optimizer.lr=0.0003"),
    "AdamW on matrices, rate 0.001": ("optimizer.matrices=adamw", "optimizer.lr=0.001"),
    "AdamW on matrices, rate 0.003": ("optimizer.matrices=adamw", "optimizer.lr=0.003"),
    "AdamW on matrices, rate 0.01": ("optimizer.matrices=adamw", "optimizer.lr=0.01"),
    "without QK-norm": ("model.qk_norm=false",),
    "ReLU² instead of SwiGLU": ("model.mlp=relu2",),
    "cosine instead of WSD": ("optimizer.schedule=cosine",),
}
# 0.2 million parameters a layer: a run takes about a minute on two free cores.
SHAPE = ("model.depth=3", "model.width=128", "tokenizer.vocab=1024", "data.sequence_length=128")


def recipe_of(changes: Sequence[str], tokens: int, seed: int, batch_tokens: int) -> Recipe:
    """The default recipe with the benchmark's shape, its length, and one choice changed."""
    settings = [f"train.tokens={tokens}", f"train.batch_tokens={batch_tokens}", f"train.seed={seed}"]
    return short(recipe.load(None, [*SHAPE, "data.validation=0.1", *settings, *changes]), tokens)


def run(name: str, changes: Sequence[str], seed: int, given: argparse.Namespace) -> float:
    """Best bits per byte of one run, which goes on where it was broken off."""
    base = prepare(recipe_of((), given.tokens, seed, given.batch_tokens), [given.corpus], given.out).recipe
    wanted = recipe_of(changes, given.tokens, seed, given.batch_tokens)
    wanted = dataclasses.replace(wanted, tokenizer=base.tokenizer)
    folder = given.out / f"{name}-{given.tokens}-{seed}".replace(" ", "-").replace(",", "")
    result = train.train(wanted, [given.corpus], folder)
    if not result.finished:
        raise SystemExit("stopped; the same command goes on")
    return result.bits_per_byte


def row(name: str, values: Sequence[float], base: Sequence[float]) -> str:
    """Mean, and the mean of the paired differences with its interval; above 0: worse than the base."""
    seeds = ", ".join(f"{value:.4f}" for value in values)
    start = f"| {name} | {statistics.fmean(values):.4f} |"
    if values is base:
        return f"{start} | | {seeds} |"
    low, high = interval([value - other for value, other in zip(values, base, strict=True)])
    return f"{start} {(low + high) / 2:+.4f} | {low:+.4f} to {high:+.4f} | {seeds} |"


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """95 % of Student's t around the mean."""
    half = T_95[len(differences)] * statistics.stdev(differences) / math.sqrt(len(differences))
    mean = statistics.fmean(differences)
    return mean - half, mean + half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="run folder of a corpus, such as demo/run")
    parser.add_argument("--out", type=Path, default=Path("runs/choices"))
    parser.add_argument("--tokens", type=int, default=786_432, help="of each run")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--seeds", type=int, default=3, choices=sorted(T_95))
    given = parser.parse_args()
    try:
        found = {
            name: [run(name, changes, seed, given) for seed in range(given.seeds)] for name, changes in VARIANTS.items()
        }
    except Failure as error:
        raise SystemExit(f"error: {error}") from None
    print(f"| {given.tokens:,} tokens, {given.seeds} seeds | bits per byte | difference | 95 % interval | by seed |")
    print("|---|---:|---:|---:|---|")
    for name, values in found.items():
        print(row(name, values, found[BASE]))


if __name__ == "__main__":
    main()
