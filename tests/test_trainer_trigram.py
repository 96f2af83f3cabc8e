"""The baseline is a distribution, is what the paper says, and is scored on what a model is scored on."""

import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_corpus import chat_run, text_run

from trainer import recipe, trigram
from trainer.packing import open_shards
from trainer.shards import IGNORED
from trainer.tokenizer import Tokenizer
from trainer.tokenizer import train as train_tokenizer
from trainer.trigram import Trigram

VOCAB = 6
STREAMS = st.lists(st.integers(0, VOCAB - 1), max_size=60).map(lambda ids: np.array([0, *ids, 0]))


@given(stream=STREAMS, first=st.integers(0, VOCAB - 1), second=st.integers(0, VOCAB - 1))
def test_probabilities_sum_to_one_and_none_is_zero(stream: np.ndarray, first: int, second: int) -> None:
    third = np.arange(VOCAB)
    chances = Trigram(stream, VOCAB, 0).probabilities(np.full(VOCAB, first), np.full(VOCAB, second), third)
    assert math.isclose(chances.sum(), 1, rel_tol=1e-12)
    assert (chances > 0).all()


def discount(counts: Counter[tuple[int, ...]], count: int) -> float:
    n = Counter(counts.values())
    y = n[1] / (n[1] + 2 * n[2])
    k = min(count, 3)
    return k - (k + 1) * y * n[k + 1] / n[k]


def by_the_paper(stream: list[int], vocab: int, gram: tuple[int, int, int]) -> float:
    """Equations of section 3 of Chen & Goodman, with dictionaries. Contexts that end in 0 have only that."""
    events = [((0 if b == 0 else a), b, c) for a, b, c in zip([0, *stream], stream, stream[1:], strict=False)]
    three = Counter(events)
    two = Counter((b, c) for _, b, c in three)
    one = Counter((c,) for _, c in two)
    chance = 1 / vocab
    for counts, context in ((one, ()), (two, gram[1:2]), (three, gram[:2])):
        total = sum(n for found, n in counts.items() if found[:-1] == context)
        if total:
            taken = sum(discount(counts, n) for found, n in counts.items() if found[:-1] == context)
            n = counts[*context, gram[2]]
            chance = ((n - discount(counts, n)) if n else 0) / total + taken / total * chance
    return chance


def test_the_formula_is_the_papers() -> None:
    # Zipf's law, so that the counts of counts fall and no estimate of a discount has to be held within its bounds
    stream = [0, *random.Random(0).choices(range(300), [1 / (n + 2) for n in range(300)], k=1500), 0]
    model = Trigram(np.array(stream), 301, 0)  # 300 never occurs
    seen = [*zip(stream, stream[1:], stream[2:], strict=False)][:40]
    for u, v, w in [*seen, *((u, v, (w + 7) % 300) for u, v, w in seen), (3, 300, 5), (1, 2, 300), (300, 300, 300)]:
        found = model.probabilities(np.array([u]), np.array([v]), np.array([w]))[0]
        assert math.isclose(found, by_the_paper(stream, 301, (0 if v == 0 else u, v, w)), rel_tol=1e-9)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train_tokenizer([text_run(tmp_path_factory.mktemp("corpus") / "run")], recipe.Tokenizer(vocab=400))


@pytest.mark.parametrize("kind", ["text", "chat"])
@pytest.mark.parametrize("max_tokens", [10**6, 40])
def test_it_scores_what_a_model_scores(tmp_path: Path, tokenizer: Tokenizer, kind: str, max_tokens: int) -> None:
    run = (text_run if kind == "text" else chat_run)(tmp_path / "run")
    shards = open_shards([run], tokenizer, recipe.Data(kind=kind, validation=0.2))  # type: ignore[arg-type]
    scores = trigram.score(trigram.train(shards), shards, 16, max_tokens)
    assert [score.source for score in scores] == [*shards.sources, ""]
    for number, score in enumerate(scores[:-1]):
        source, row = shards.validation_rows(16, max_tokens)
        batch = shards.read("validation", source[source == number], row[source == number], 16)
        targets = batch.targets_BT[batch.targets_BT != IGNORED]
        assert score.tokens == len(targets)
        assert score.bytes == shards.token_bytes[targets].sum()
        assert math.isclose(score.bits_per_byte, score.nats / math.log(2) / score.bytes)
        assert 0 < score.nats / score.tokens < math.log(shards.vocab)
    assert scores[-1].nats == pytest.approx(sum(score.nats for score in scores[:-1]))
    assert scores[-1].tokens == sum(score.tokens for score in scores[:-1])


def test_more_text_is_better(tmp_path: Path, tokenizer: Tokenizer) -> None:
    shards = open_shards([text_run(tmp_path / "run")], tokenizer, recipe.Data(validation=0.2))
    few, many = (trigram.score(trigram.train(shards, n), shards, 64, 10**6)[-1] for n in (500, 10**6))
    assert many.bits_per_byte < 0.8 * few.bits_per_byte
    assert many.bytes == few.bytes
