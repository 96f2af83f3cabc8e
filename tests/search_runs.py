"""Training as the tests of a search see it: real tokenizer and shards, a loss by formula instead of steps."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from trainer import train
from trainer.model import shape_of
from trainer.recipe import Recipe
from trainer.train import Result

Loss = Callable[[Recipe, int], float]


class Trained:
    """Stands for train.train; remembers what it was asked for, and ends where it is told to."""

    def __init__(self, loss: Loss) -> None:
        self.loss, self.folders, self.recipes = loss, list[Path](), list[Recipe]()
        self.stop_in = ""  # name of the folder in which a signal comes

    def __call__(
        self,
        recipe: Recipe,
        corpora: Sequence[Path],
        out: Path,
        *,
        on_evaluation: Callable[[int, float], bool] | None = None,
    ) -> Result:
        self.folders.append(out)
        self.recipes.append(recipe)
        steps = math.ceil(recipe.train.tokens / recipe.train.batch_tokens)
        best = math.inf
        for step in range(math.ceil(steps / 10), steps + 1, math.ceil(steps / 10)):
            tokens = step * recipe.train.batch_tokens
            best = min(best, self.loss(recipe, tokens))
            ends = on_evaluation is not None and on_evaluation(step, best)
            if out.name == self.stop_in:
                self.stop_in = ""
                return Result(step, tokens, best, step, out, finished=False)
            if ends:
                return Result(step, tokens, best, step, out)
        return Result(steps, steps * recipe.train.batch_tokens, best, steps, out)


def planted(recipe: Recipe, tokens: int) -> float:
    """A law of size and data that has its best learning rate at 0.02."""
    size = shape_of(recipe.model, 300).num_parameters(embeddings=False)
    return 0.9 + 120 * size**-0.34 + 30 * tokens**-0.28 + 0.2 * abs(math.log10(recipe.optimizer.lr / 0.02))


def pretend(monkeypatch: pytest.MonkeyPatch, loss: Loss = planted) -> Trained:
    """Let searches train by formula."""
    trained = Trained(loss)
    monkeypatch.setattr(train, "train", trained)
    return trained
