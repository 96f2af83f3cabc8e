"""What a model has to beat: a trigram model of the same tokens, trained and scored on the same split.

Interpolated modified Kneser-Ney with absolute discounts estimated from counts of counts (Chen & Goodman 1998, "An
empirical study of smoothing techniques for language modeling", equations 26 and following).
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from trainer.shards import Shards

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Score:
    """Of one source's validation rows, or of all: the learnt tokens with the end of each document, as a model's."""

    source: str
    tokens: int
    bytes: int
    nats: float  # summed over the tokens

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes if self.bytes else math.nan


@dataclasses.dataclass(frozen=True)
class _Level:
    """One order: what is left of each n-gram's probability after the discount, and what its context gives on."""

    ngrams: Integers  # sorted keys: context * vocab + token
    left: Floats
    contexts: Integers  # sorted keys
    given_on: Floats  # the weight of the next lower order


class Trigram:
    """P(token | the two before it), over ids [0, vocab). Sums to one for every context."""

    def __init__(self, tokens: Integers, vocab: int, end: int) -> None:
        """`tokens` is a stream [E] + document + [E] + ... + [E]; nothing before an E tells of what follows it."""
        self.vocab, self._end = vocab, end
        first, second, third = (self._before(tokens[:-2], tokens[1:-1]), tokens[1:-1], tokens[2:])
        if len(tokens) > 1:  # the first token of all follows an E, too
            first, second, third = (np.append(x, y) for x, y in ((first, end), (second, tokens[0]), (third, tokens[1])))
        trigrams, counts = np.unique((first * vocab + second) * vocab + third, return_counts=True)
        bigrams, before_bigram = np.unique(trigrams % (vocab * vocab), return_counts=True)
        unigrams, before_unigram = np.unique(bigrams % vocab, return_counts=True)
        self._third = _level(trigrams, counts, vocab)
        self._second = _level(bigrams, before_bigram, vocab)
        self._unigram = _unigram(unigrams, before_unigram, vocab)

    def probabilities(self, first: Integers, second: Integers, third: Integers) -> Floats:
        """P(third | first, second), all of one shape."""
        first = self._before(first, second)
        lower = self._unigram[third]
        for level, context in ((self._second, second), (self._third, first * self.vocab + second)):
            left = _found(level.ngrams, level.left, context * self.vocab + third, 0.0)
            lower = left + _found(level.contexts, level.given_on, context, 1.0) * lower
        return lower

    def _before(self, first: Integers, second: Integers) -> Integers:
        return np.where(second == self._end, self._end, first)


def _level(ngrams: Integers, counts: Integers, vocab: int) -> _Level:
    """Discounted relative frequencies by context, and the weights that make them sum to one with the lower order."""
    left = counts - _discounts(counts)[np.minimum(counts, 3)]
    contexts, where = np.unique(ngrams // vocab, return_inverse=True)
    total = np.bincount(where, counts, len(contexts))
    return _Level(ngrams, left / total[where], contexts, 1.0 - np.bincount(where, left, len(contexts)) / total)


def _unigram(unigrams: Integers, counts: Integers, vocab: int) -> Floats:
    """[vocab]: the lowest order is interpolated with equal chances, so that no token is impossible."""
    level = _level(unigrams, counts, vocab)
    chances = np.full(vocab, (level.given_on[0] if len(unigrams) else 1.0) / vocab)
    chances[unigrams] += level.left
    return chances


def _discounts(counts: Integers) -> Floats:
    """[4]: what is taken from a count of 0, 1, 2, 3 and more. D_k = k - (k + 1) Y n_(k+1) / n_k, Y = n1 / (n1 + 2 n2).

    Where a count of counts is 0 the estimate does not exist: then Y, or 1/2 without that. Kept within (0, k), so that
    a chance stays a chance and something is left for what was never seen.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(np.float64)
    y = n[1] / (n[1] + 2 * n[2]) if n[1] and n[2] else 0.5
    estimates = [k - (k + 1) * y * n[k + 1] / n[k] if n[k] and n[k + 1] else y for k in (1, 2, 3)]
    return np.array([0.0, *(min(max(d, 0.01), k - 0.01) for k, d in enumerate(estimates, start=1))])


def _found(keys: Integers, values: Floats, wanted: Integers, otherwise: float) -> Floats:
    if not len(keys):
        return np.full(wanted.shape, otherwise)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], otherwise)


def train(shards: Shards, max_tokens: int = 20_000_000) -> Trigram:
    """Of the train split. Beyond `max_tokens` (75 bytes of memory each) all sources give the same share."""
    sizes = [shards.num_tokens("train", number) for number in range(len(shards.sources))]
    share = min(1.0, max_tokens / max(sum(sizes), 1))
    # without the E that closes a stream: the next one opens with one
    pieces = [shards.stream("train", number).tokens[: int(size * share)] for number, size in enumerate(sizes)]
    return Trigram(np.concatenate([*pieces, [shards.end]]).astype(np.int64), shards.vocab, shards.end)


def score(model: Trigram, shards: Shards, length: int, max_tokens: int) -> list[Score]:
    """Of every source's validation rows, as `Shards.validation_rows` picks them, and last of all together ("")."""
    scores = []
    source_R, row_R = shards.validation_rows(length, max_tokens)
    for number, name in enumerate(shards.sources):
        position = _targets(shards, number, row_R[source_R == number], length)
        tokens = shards.stream("validation", number).tokens
        first, second, third = (tokens[np.maximum(position - back, 0)].astype(np.int64) for back in (2, 1, 0))
        nats = -np.log(model.probabilities(first, second, third)).sum()
        scores.append(Score(name, len(position), int(shards.token_bytes[third].sum()), float(nats)))
    sums = (sum(getattr(s, field) for s in scores) for field in ("tokens", "bytes", "nats"))
    return [*scores, Score("", *sums)]


def _targets(shards: Shards, number: int, row: Integers, length: int) -> Integers:
    """Places in the stream of the tokens that these rows score."""
    start, stop = (edge[row] for edge in shards.spans("validation", number, length))
    sizes = stop - start
    position = np.repeat(start - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum()) + 1
    learnt = shards.stream("validation", number).learnt
    return position if learnt is None else position[learnt[position] == 1]
