"""What the runs of a search have in common: one tokenizer, one packed corpus, and a recipe for short runs."""

import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from trainer import packing, ranks, tokenizer
from trainer.failures import UsageFailure
from trainer.recipe import Recipe
from trainer.shards import Shards
from trainer.tokenizer import Tokenizer

EVALUATIONS = 10  # of a run, at equal shares of its tokens; train.evaluate_every = 0 means that


@dataclasses.dataclass(frozen=True)
class Ground:
    """The recipe with the tokenizer that all runs use, and what they read."""

    recipe: Recipe
    tokenizer: Tokenizer
    shards: Shards

    @property
    def train_tokens(self) -> int:
        """Of one epoch."""
        return sum(self.shards.num_tokens("train", source) for source in range(len(self.shards.sources)))


class Stopped(Exception):
    """A signal asked training to end; the run in hand waits in its checkpoint for the same command."""


def prepare(recipe: Recipe, corpora: Sequence[Path], out: Path) -> Ground:
    """Train the tokenizer once, into OUT/tokenizer, and pack the corpus once. Raises Failure as training would.

    The recipe that comes back names that folder by its whole path.
    """
    if ranks.place_of(dict(os.environ)):
        raise UsageFailure("runs follow one another in one process: start this command without torchrun")
    if recipe.data.validation == 0:
        raise UsageFailure("data.validation: 0 leaves nothing to compare runs by; try 0.03")
    if not recipe.tokenizer.path:
        folder = out.absolute() / "tokenizer"
        if not folder.is_dir():
            _train_tokenizer(recipe, corpora, folder)
        recipe = dataclasses.replace(recipe, tokenizer=dataclasses.replace(recipe.tokenizer, path=str(folder)))
    tokens = tokenizer.load(Path(recipe.tokenizer.path))
    return Ground(recipe, tokens, packing.open_shards(corpora, tokens, recipe.data))


def short(recipe: Recipe, tokens: int) -> Recipe:
    """The recipe for a run of so many tokens of which only the loss is wanted: no lineage, no samples."""
    settings = dataclasses.replace(
        recipe.train,
        tokens=tokens,
        evaluate_every=0,
        checkpoint_every=0,
        keep_last=1,
        keep_best=1,
        lineage="off",
        sample_tokens=0,
        stop_after=0,
    )
    return dataclasses.replace(recipe, train=settings)


def check_steps(recipe: Recipe, tokens: int, name: str) -> None:
    """UsageFailure where `tokens` are too few steps for the evaluations of a run."""
    least = recipe.train.batch_tokens * EVALUATIONS
    if tokens < least:
        raise UsageFailure(
            f"{name} {tokens}: fewer than {EVALUATIONS} steps of train.batch_tokens = {recipe.train.batch_tokens}; "
            f"give at least {least}, or set train.batch_tokens lower"
        )


def _train_tokenizer(recipe: Recipe, corpora: Sequence[Path], folder: Path) -> None:
    half = folder.with_name(".tokenizer.tmp")
    shutil.rmtree(half, ignore_errors=True)
    tokenizer.train(corpora, recipe.tokenizer).save(half)
    half.rename(folder)
