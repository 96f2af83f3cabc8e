"""Which stage of `python -m eval attribute` finds the documents behind what a model says.

    python benchmarks/attribution.py [--cache DIR] [--seed 1] [--questions 12]

Invented facts are planted among passages of books (../shared/data), a small model learns them, and each stage ranks the
documents for questions whose sources are known. Prints mean reciprocal rank and recall@10 with 95 % intervals over
questions, by slice, and the time of each stage per question. --cache keeps corpus and model, so a killed run goes on.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import attribution_corpus
import torch
from attribution_corpus import Question

from eval import ladder as ladders
from eval import loss_drop, proof, retrieval
from eval.chance import Chance
from eval.ladder import Ladder, Settings, Trace, open_subject
from eval.mistakes import Mistake
from trainer import recipe as recipes

DATA = ROOT.parent / "shared" / "data"


def main() -> None:
    """Train if need be, trace, print."""
    options = _options()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if options.cache:
        _run(options, options.cache)
    else:
        with tempfile.TemporaryDirectory() as folder:
            _run(options, Path(folder))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of public texts")
    parser.add_argument("--cache", type=Path, help="keep corpus and model here")
    parser.add_argument("--base", type=int, default=2000, help="passages of books")
    parser.add_argument("--people", type=int, default=48, help="with four facts each")
    parser.add_argument("--tokens", type=int, default=1_200_000, help="of the training; six tenths are of facts")
    parser.add_argument("--questions", type=int, default=12, help="of each slice, at most")
    parser.add_argument("--seed", type=int, default=1, help="0 was used to choose settings")
    parser.add_argument("--only-train", action="store_true")
    return parser.parse_args()


def recipe(tokens: int, seed: int) -> recipes.Recipe:
    """0.85 million parameters; checkpoints on the way, where the model does not yet know everything by heart."""
    return recipes.Recipe(
        tokenizer=recipes.Tokenizer(vocab=2048),
        data=recipes.Data(sequence_length=256, validation=0.0, mixture={"facts": 0.6, "books": 0.4}),
        model=recipes.Model(depth=3, width=128, head_width=32),
        train=recipes.Train(
            tokens=tokens, batch_tokens=2048, seed=seed, device="cpu", threads=1, evaluate_every=1_000_000,
            checkpoint_every=max(1, tokens // 2048 // 5), keep_last=4, lineage="off", spike_sigmas=0.0, sample_prompts=(),
        ),
    )  # fmt: skip


def _run(options: argparse.Namespace, cache: Path) -> None:
    documents, questions = attribution_corpus.build(options.data, options.base, options.people, options.seed)
    if not (cache / "run" / "manifest.json").exists():
        attribution_corpus.write_run(cache / "run", documents)
    from trainer.train import train

    train(recipe(options.tokens, options.seed), [cache / "run"], cache / "model")
    if options.only_train:
        return


if __name__ == "__main__":
    main()
