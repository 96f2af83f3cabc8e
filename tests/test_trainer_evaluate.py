"""Bits per byte: of exactly the validation text, by source, the same whatever the batch."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_corpus import chat_run, text_run

from trainer import evaluate, packing, recipe, tokenizer
from trainer.evaluate import Score
from trainer.model import Transformer, shape_of
from trainer.ranks import Ranks
from trainer.shards import IGNORED, Shards
from trainer.tokenizer import Tokenizer

ALONE = Ranks(0, 1, torch.device("cpu"))
LENGTH = 32


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shards, Tokenizer]:
    run = text_run(tmp_path_factory.mktemp("evaluate") / "run", 40)
    tokens = tokenizer.train([run], recipe.Tokenizer(vocab=300))
    return packing.open_shards([run], tokens, recipe.Data(validation=0.3)), tokens


def tiny(vocab: int) -> Transformer:
    model = Transformer(shape_of(recipe.Model(depth=1, width=32), vocab))
    model.initialise(0)
    return model


def test_an_untrained_model_costs_ln_vocab_per_token(text: tuple[Shards, Tokenizer]) -> None:
    shards, tokens = text
    found = evaluate.scores(tiny(tokens.vocab), shards, LENGTH, 10**6, 4, ALONE)
    assert set(found) == {"books", "web"}
    held = shards.documents.filter([split == "validation" for split in shards.documents["split"].to_pylist()])
    assert sum(part.tokens for part in found.values()) == sum(held["tokens"].to_pylist())  # and each document's end
    assert sum(part.bytes for part in found.values()) == sum(held["bytes"].to_pylist())
    for part in found.values():
        assert part.nats / part.tokens == pytest.approx(math.log(tokens.vocab), rel=0.01)
        assert part.bits_per_byte == pytest.approx(part.nats / math.log(2) / part.bytes)


@pytest.mark.parametrize("micro_rows", [1, 3, 100])
def test_the_batch_changes_nothing(text: tuple[Shards, Tokenizer], micro_rows: int) -> None:
    shards, tokens = text
    model = tiny(tokens.vocab)
    one, other = (evaluate.scores(model, shards, LENGTH, 10**6, rows, ALONE) for rows in (7, micro_rows))
    for name, part in one.items():
        assert (other[name].bytes, other[name].tokens) == (part.bytes, part.tokens)
        assert other[name].nats == pytest.approx(part.nats, rel=1e-5)


def test_ranks_share_the_rows(text: tuple[Shards, Tokenizer], monkeypatch: pytest.MonkeyPatch) -> None:
    shards, tokens = text
    model = tiny(tokens.vocab)
    sums: list[torch.Tensor] = []
    monkeypatch.setattr(Ranks, "sum", lambda self, tensor: sums.append(tensor.clone()) or tensor)
    for rank in range(3):
        evaluate.scores(model, shards, LENGTH, 10**6, 4, Ranks(rank, 3, torch.device("cpu")))
    parts = sum(sums[1:], sums[0])
    evaluate.scores(model, shards, LENGTH, 10**6, 4, ALONE)
    assert torch.allclose(parts, sums[-1])


def test_no_more_is_read_than_asked(text: tuple[Shards, Tokenizer]) -> None:
    shards, tokens = text
    found = evaluate.scores(tiny(tokens.vocab), shards, LENGTH, 2 * LENGTH, 4, ALONE)
    assert {part.tokens for part in found.values()} == {2 * LENGTH}


def test_conversations_are_scored_on_what_the_assistant_says(tmp_path: Path) -> None:
    run = chat_run(tmp_path / "run", 20)
    tokens = tokenizer.train([run], recipe.Tokenizer(vocab=300))
    shards = packing.open_shards([run], tokens, recipe.Data(kind="chat", validation=0.3))
    (part,) = evaluate.scores(tiny(tokens.vocab), shards, 128, 10**6, 4, ALONE).values()
    batch = shards.read("validation", *shards.validation_rows(128, 10**6), 128)
    learnt = batch.targets_BT[batch.targets_BT != IGNORED]
    assert part.tokens == len(learnt)
    assert part.bytes == np.asarray(shards.token_bytes)[learnt].sum()


def test_overall_weighs_by_bytes_and_is_nan_without_any() -> None:
    parts = {"a": Score(math.log(2) * 10, 10, 3), "b": Score(math.log(2) * 90, 30, 3)}
    assert evaluate.overall(parts) == pytest.approx(2.5)
    assert math.isnan(evaluate.overall({}))


def test_samples_are_the_same_again_and_leave_the_model_training(text: tuple[Shards, Tokenizer]) -> None:
    _, tokens = text
    model = tiny(tokens.vocab).train()
    made = [evaluate.samples(model, tokens, ("", "the"), 8, 3) for _ in range(2)]
    assert made[0] == made[1]
    assert [row["prompt"] for row in made[0]] == ["", "the"]
    assert model.training
