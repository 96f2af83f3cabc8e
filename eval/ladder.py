"""From errors to documents in stages, cheap ones first; each can run alone, and each says what it cost.

Recall looks at every document, what comes after it at the candidates that recall found. Scores of every stage are
higher for documents that speak more for the wrong answer; they are fused by rank.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from eval import loss_drop, pieces
from eval.chance import digest
from eval.costs import Cost, Costs
from eval.documents import Document
from eval.gradients import Projector, Scales, token_moments, unit
from eval.mistakes import Mistake, stated, tokens_of
from eval.pieces import Piece
from eval.retrieval import Ranking, Retrieval, Vectors
from eval.whitening import Gram, of_adam, of_moments
from trainer import checkpoint, schedule
from trainer import recipe as recipes
from trainer.files import read_json

if TYPE_CHECKING:
    from trainer.model import Transformer
    from trainer.tokenizer import Tokenizer

STAGES = ("recall", "hidden", "drop", "gradients")
DEFAULT = ("recall", "drop")  # the kill rule: only drop beat what is cheaper by its interval, see benchmarks/RESULTS.md
RECALL = ("bm25", "spans")  # what recall is made of: no model is read
# What a stage's ranks count for, and how fast they fall: chosen on another corpus than the ones of the figures in
# benchmarks/RESULTS.md, on a plateau. With equal weights, poor rankings outvote the good one.
WEIGHTS = {"bm25": 8.0, "spans": 1.0, "hidden": 1.0, "drop": 12.0, "gradient": 1.0}
FALL = 10
_LEAST = 0.05
_MANY = 20
_PLACES = 8  # of one answer in one document
_SAMPLE = 256  # documents whose tokens give the second moments: tens of thousands of tokens for some hundred directions
Scores = dict[int, float]  # of documents, by number


@dataclass(frozen=True)
class Subject:
    """A model that erred, and where its other checkpoints lie."""

    model: "Transformer"
    tokenizer: "Tokenizer"
    length: int
    folder: Path | None = None
    steps: Mapping[int, float] = field(default_factory=dict)  # checkpoints for the gradients -> weight; none: as it is


def open_subject(folder: Path, restore: str = "last", num_checkpoints: int = 8, device: str = "cpu") -> Subject:
    """The model of a trainer's folder with its last few checkpoints. Raises the trainer's Failure."""
    model, tokenizer = checkpoint.load_model(folder, restore, device)
    recipe = recipes.parse(read_json(folder / "recipe.json"), str(folder / "recipe.json"))
    steps = checkpoint.order(folder, restore)[:num_checkpoints]
    return Subject(model, tokenizer, recipe.data.sequence_length, folder, weights(steps, recipe))


def weights(steps: Sequence[int], recipe: recipes.Recipe) -> dict[int, float]:
    """Checkpoints by the learning rate there, relative to the highest (TracInCP, arXiv 2002.08484).

    A model that knows its documents by heart has no gradient left that says so; the rate falls with it. Those below
    a twentieth are left out: they would cost as much as the others.
    """
    total = math.ceil(recipe.train.tokens / recipe.train.batch_tokens)
    shares = {step: schedule.share(min(step, total), total, recipe.optimizer) for step in steps}
    most = max(shares.values(), default=0.0)
    return {step: share / most for step, share in shares.items() if share >= _LEAST * most > 0}


@dataclass(frozen=True)
class Settings:
    """How far each stage goes."""

    stages: tuple[str, ...] = DEFAULT
    candidates: int = 100  # that recall hands on
    max_tokens: int = 1024  # of a document that the model reads
    steps: int = loss_drop.STEPS
    rate: float = loss_drop.RATE
    width: int = 32  # of the random signs on each side of a gradient
    whitening: str = "both"
    seed: int = 0


@dataclass
class Trace:
    """What was found for one error: scores of every stage, candidates by their fused ranks, and what was proved."""

    mistake: Mistake
    scores: dict[str, Scores] = field(default_factory=dict)
    fused: Ranking = field(default_factory=list)
    proved: dict[int, float] = field(default_factory=dict)  # change of log p(wrong) - log p(right)
    harmful: set[int] = field(default_factory=set)


class Ladder:
    """The stages over one set of documents."""

    def __init__(self, subject: Subject, documents: Sequence[Document], settings: Settings) -> None:
        self.subject, self.documents, self.settings = subject, list(documents), settings
        self.costs = Costs()
        self.end = subject.tokenizer.end

    def trace(self, mistakes: Sequence[Mistake]) -> list[Trace]:
        """Every stage that is asked for, in the order of the ladder, for all errors; then their fused ranks."""
        traces = [Trace(mistake) for mistake in mistakes]
        if not self.documents:
            return traces
        if "recall" in self.settings.stages:
            self.recall(traces)
        if "hidden" in self.settings.stages:
            self.hidden(traces)
        candidates = [self._candidates(trace) for trace in traces]
        if "drop" in self.settings.stages:
            self.drop(traces, candidates)
        if "gradients" in self.settings.stages:
            self.gradients(traces, candidates)
        for trace, among in zip(traces, candidates, strict=True):
            trace.fused = fused(trace.scores, among)
        return traces

    @cached_property
    def _tokens(self) -> list[list[int]]:
        return self.subject.tokenizer.encode_batch([document.text for document in self.documents])

    def pieces(self, numbers: Sequence[int]) -> list[Piece]:
        """Rows of these documents."""
        told = [(number, self._tokens[number]) for number in numbers]
        return pieces.of_documents(told, self.end, self.subject.length, self.settings.max_tokens)

    def answers(self, mistake: Mistake, answer: str) -> list[Piece]:
        """One row for each wording of the prompt, with the answer behind it and only the answer counted."""
        told = (tokens_of(prompt, answer, self.subject.tokenizer) for prompt in mistake.prompts)
        return [pieces.of_answer(0, before, behind, self.end, self.subject.length) for before, behind in told if behind]

    @contextmanager
    def at(self, step: int | None) -> Iterator[Mapping[str, torch.Tensor]]:
        """Within the block the model is that of a checkpoint (None: as it is); gives its optimiser's state."""
        model, folder = self.subject.model, self.subject.folder
        if step is None or folder is None:
            yield {}
            return
        kept = {name: value.detach().clone() for name, value in model.state_dict().items()}
        found = checkpoint.read(folder, step)
        model.load_state_dict(found.model)
        try:
            yield found.optimizer
        finally:
            model.load_state_dict(kept)

    def learning(self) -> int | None:
        """The latest checkpoint at which the model learnt fastest: later it knows its documents by heart."""
        return max(self.subject.steps, key=lambda step: (self.subject.steps[step], step), default=None)

    def _candidates(self, trace: Trace) -> list[int]:
        """What later stages look at: the best of recall and hidden, or everything where neither ran."""
        if not {"recall", "hidden"} & set(self.settings.stages):
            return list(range(len(self.documents)))
        return [number for number, _ in fused(trace.scores)[: self.settings.candidates]]

    def recall(self, traces: Sequence[Trace]) -> None:
        """Words and their parts in common, and spans shared word for word."""
        with self.costs.stage("recall") as cost:
            found = Retrieval(self.documents)
            number_of = {name: number for number, name in enumerate(found.ids)}
            cost.add(len(self.documents))
            for trace in traces:
                # Every list as long as what is handed on: a longer one would add ranks that say nothing
                for one in found.search(trace.mistake.text(), len(self.documents), deep=self.settings.candidates):
                    for stage, score in one.scores.items():
                        trace.scores.setdefault(stage, {})[number_of[one.id]] = score

    def hidden(self, traces: Sequence[Trace]) -> None:
        """Cosine of the mean last hidden states of question and document."""
        model, count = self.subject.model, len(self.documents)
        with self.costs.stage("hidden") as cost:
            rows = self.pieces(range(count))
            hidden_ND = pieces.mean_hidden(model, rows, self.end, count)
            middle_D = hidden_ND.mean(0)  # what all texts share would make all alike
            # One document is its own mean: nothing would be left of it
            middle_D = middle_D if count > 1 else np.zeros_like(middle_D)
            near = Vectors(hidden_ND - middle_D)
            cost.add(count, len(rows))
            for trace in traces:
                asked = [self._asked(trace.mistake, prompt) for prompt in trace.mistake.prompts]
                query_D = pieces.mean_hidden(model, [p for row in asked for p in row], self.end, 1)[0] - middle_D
                cost.add(0, len(asked))
                trace.scores["hidden"] = dict(near.search(query_D, self.settings.candidates))

    def _asked(self, mistake: Mistake, prompt: str) -> list[Piece]:
        before, behind = tokens_of(prompt, mistake.wrong, self.subject.tokenizer)
        return pieces.of_documents([(0, before + behind)], self.end, self.subject.length, self.settings.max_tokens)

    def drop(self, traces: Sequence[Trace], candidates: Sequence[Sequence[int]]) -> None:
        """Fall of the wrong answer's loss where a document states it, when the model learns that answer to this prompt.

        A document that has the words of the question, and the answer for another reason, does not gain by it. Where no
        candidate states the answer, nothing is said beside what other stages found; alone, it is the fall of whole
        documents, which has many reasons.
        """
        with self.costs.stage("drop") as cost, self.at(self.learning()):
            looked: set[int] = set()
            for trace, among in zip(traces, candidates, strict=True):
                rows = [row for number in among for row in self.stating(number, trace.mistake.wrong)]
                if not rows and not trace.scores:
                    rows = self.pieces(among)
                falls = self._falls(trace.mistake, rows, cost)
                scores: Scores = {}
                for row, fall in zip(rows, falls.tolist(), strict=True):
                    scores[row.document] = max(fall, scores.get(row.document, -math.inf))
                trace.scores["drop"] = scores
                looked |= scores.keys()
            cost.add(len(looked))

    def stating(self, number: int, answer: str) -> list[Piece]:
        """A row for each of the first places where a document states an answer; only the answer counts."""
        places = islice(stated(answer, self.documents[number].text), _PLACES)
        told = (tokens_of(before, said, self.subject.tokenizer) for before, said in places)
        return [pieces.of_answer(number, before, said, self.end, self.subject.length) for before, said in told]

    def _falls(self, mistake: Mistake, rows: Sequence[Piece], cost: Cost) -> loss_drop.Floats:
        """Of each row the share of its loss that goes when the model learns the wrong answer."""
        model, settings = self.subject.model, self.settings
        own = [Piece(at, row.tokens, row.targets) for at, row in enumerate(rows)]
        learnt = self.answers(mistake, mistake.wrong)
        cost.add(0, settings.steps * len(learnt) + 2 * len(own), settings.steps * len(learnt))
        before = pieces.losses(model, own, self.end, len(own))
        return loss_drop.drops(model, learnt, own, before, self.end, settings.steps, settings.rate)

    def gradients(self, traces: Sequence[Trace], candidates: Sequence[Sequence[int]]) -> None:
        """Cosine of the whitened gradients of log p(wrong) - log p(right) and of the document, over checkpoints."""
        with self.costs.stage("gradients") as cost:
            every = sorted(set().union(*candidates))
            place = {number: at for at, number in enumerate(every)}
            rows = [Piece(place[row.document], row.tokens, row.targets) for row in self.pieces(every)]
            told = sum(len(t.mistake.prompts) * (1 + bool(t.mistake.right)) for t in traces)
            total_QN = torch.zeros(len(traces), len(every))
            steps: list[tuple[int | None, float]] = [*self.subject.steps.items()] or [(None, 1.0)]
            for step, weight in steps:
                with self.at(step) as optimizer:
                    total_QN += weight * self._similarity(optimizer, traces, rows, len(every))
                cost.add(0, len(rows) + told, len(rows) + told)
            cost.add(len(every))
            total_QN /= sum(weight for _, weight in steps)
            for trace, among, scores_N in zip(traces, candidates, total_QN.tolist(), strict=True):
                trace.scores["gradient"] = {n: scores_N[place[n]] for n in among}

    def _similarity(
        self, optimizer: Mapping[str, torch.Tensor], traces: Sequence[Trace], rows: Sequence[Piece], count: int
    ) -> torch.Tensor:
        model, settings = self.subject.model, self.settings
        projector = Projector(model, settings.width, settings.seed, self._scales(optimizer, rows))
        documents_ND = projector.of(rows, self.end, count)
        queries_QD = torch.cat([self._query(projector, trace.mistake) for trace in traces])
        solved_QD = queries_QD
        if settings.whitening in ("gram", "both"):
            # Of a few queries the Gram matrix would be their own directions, and H^-1 would take away what is asked for
            alpha = 0.9 if len(traces) >= _MANY else 1.0
            solved_QD = Gram(unit(documents_ND), unit(queries_QD), settings.width, alpha).solve(queries_QD)
        return unit(solved_QD) @ unit(documents_ND).T

    def _scales(self, optimizer: Mapping[str, torch.Tensor], rows: Sequence[Piece]) -> Scales | None:
        if self.settings.whitening not in ("moments", "both"):
            return None
        found = of_adam(self.subject.model, optimizer)
        if found is not None:
            return found
        drawn = sorted(rows, key=lambda row: digest("moments", self.settings.seed, row.document))[:_SAMPLE]
        return of_moments(token_moments(self.subject.model, drawn, self.end))

    def _query(self, projector: Projector, mistake: Mistake) -> torch.Tensor:
        """1 x size: the step towards the wrong answer and away from the right one, over all wordings."""
        towards = projector.of(self.answers(mistake, mistake.wrong), self.end, 1)
        if not mistake.right:
            return towards
        return towards - projector.of(self.answers(mistake, mistake.right), self.end, 1)


def fused(scores: Mapping[str, Scores], among: Sequence[int] | None = None) -> Ranking:
    """Documents by the fused ranks of all stages, from 0 to 1 (first in each); only some documents, when given.

    Reciprocal ranks (Cormack et al. 2009) with weights, since the stages' scores have nothing in common.
    """
    allowed = None if among is None else set(among)
    rankings = {
        stage: [n for n in sorted(found, key=lambda n: (-found[n], n)) if allowed is None or n in allowed]
        for stage, found in scores.items()
        if found  # one that found nothing has no say
    }
    total = sum(WEIGHTS[stage] for stage in rankings)
    sums: dict[int, float] = {}
    for stage, ranking in rankings.items():
        for rank, number in enumerate(ranking, 1):
            sums[number] = sums.get(number, 0.0) + WEIGHTS[stage] * (FALL + 1) / (FALL + rank) / total
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))
