"""Which stage of `python -m eval attribute` finds the documents behind what a model says.

    python benchmarks/attribution.py [--cache DIR] [--seed 1 2] [--questions 12]
    python benchmarks/attribution.py --recall-only --seed 1 2 --questions 32      # a minute: no model is needed

Invented facts are planted among passages of books (../shared/data), a small model learns them, and each stage ranks the
documents for questions whose sources are known. Prints mean reciprocal rank and recall@10 with 95 % intervals over
questions of all seeds, by slice, and the time of each stage. --cache keeps corpora and models, so a killed run goes on.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import attribution_corpus  # noqa: E402
import torch  # noqa: E402
from attribution_corpus import Question  # noqa: E402

from eval import intervals, proof  # noqa: E402
from eval.documents import Document  # noqa: E402
from eval.ladder import Ladder, Settings, Trace, fused, open_subject  # noqa: E402
from eval.mistakes import Mistake  # noqa: E402
from eval.retrieval import Bm25, part_terms, word_terms  # noqa: E402
from trainer import recipe as recipes  # noqa: E402

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
    parser.add_argument("--people", type=int, default=56, help="with four facts each")
    parser.add_argument("--tokens", type=int, default=1_200_000, help="of the training; six tenths are of facts")
    parser.add_argument("--questions", type=int, default=12, help="of each slice, at most")
    parser.add_argument("--seed", type=int, nargs="+", default=[1, 2], help="0 was used to choose settings")
    parser.add_argument("--recall-only", action="store_true", help="what reads words alone; nothing is trained")
    parser.add_argument("--checkpoints", type=int, default=8, help="of the gradients, back from the last")
    parser.add_argument("--quick", action="store_true", help="gradients of the candidates only, not of all documents")
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
            checkpoint_every=max(1, tokens // 2048 // 10), keep_last=10, lineage="off", spike_sigmas=0.0,
            sample_prompts=(),
        ),
    )  # fmt: skip


def _run(options: argparse.Namespace, cache: Path) -> None:
    asked: list[Question] = []
    gold: list[set[int]] = []
    found: dict[str, list[list[int]]] = {}
    for seed in options.seed:
        documents, questions = attribution_corpus.build(options.data, options.base, options.people, seed)
        mine = chosen(questions, options.questions)
        told = _by_words(documents, mine)
        if not options.recall_only:
            told |= _of_model(options, cache / f"seed-{seed}", seed, documents, mine)
        place = {document.id: number for number, document in enumerate(documents)}
        asked += mine
        gold += [{place[name] for name in question.gold} for question in mine]
        for name, rankings in told.items():
            found.setdefault(name, []).extend(rankings)
    if not options.only_train:
        print_table(asked, gold, found)


def _of_model(
    options: argparse.Namespace, cache: Path, seed: int, documents: list[Document], asked: Sequence[Question]
) -> dict[str, list[list[int]]]:
    """Train if need be; rankings of everything that a model is read for."""
    if not (cache / "run" / "manifest.json").exists():
        attribution_corpus.write_run(cache / "run", documents)
    from trainer.train import train

    train(recipe(options.tokens, seed), [cache / "run"], cache / "model")
    if options.only_train:
        return {}
    _knows(cache / "model", documents, asked)
    return rankings(cache / "model", documents, asked, options.checkpoints, options.quick)


def _by_words(documents: list[Document], asked: Sequence[Question]) -> dict[str, list[list[int]]]:
    """BM25 over words, the classical baseline; over words and their parts; and the ladder's recall without a model."""
    out = {}
    for name, terms in (("bm25 of words", word_terms), ("bm25 of words and parts", part_terms)):
        index = Bm25([document.text for document in documents], terms)
        out[name] = [[n for n, _ in index.search(m.text(), 100)] for m in _mistakes(asked)]
    nobody: Any = SimpleNamespace(tokenizer=SimpleNamespace(end=0))  # recall asks no model
    traces = Ladder(nobody, documents, Settings(stages=("recall",))).trace(_mistakes(asked))
    return out | {"spans": [ranked(t.scores.get("spans", {})) for t in traces], "recall": [_order(t) for t in traces]}


def _order(trace: Trace) -> list[int]:
    return [number for number, _ in trace.fused]


def chosen(questions: Sequence[Question], most: int) -> list[Question]:
    """So many of each slice."""
    slices: dict[str, list[Question]] = {}
    for question in sorted(questions, key=lambda q: q.id):
        slices.setdefault(question.slice, []).append(question)
    return [question for name in sorted(slices) for question in slices[name][:most]]


def _ladder(model: Path, documents: list[Document], *stages: str, checkpoints: int = 8) -> Ladder:
    return Ladder(open_subject(model, "last", checkpoints), documents, Settings(stages=stages))


def _mistakes(asked: Sequence[Question]) -> list[Mistake]:
    return [Mistake(q.id, q.prompts, q.wrong, q.right) for q in asked]


def _knows(model: Path, documents: list[Document], asked: Sequence[Question]) -> None:
    """Nothing can be traced that was not learnt: log p of what is to be traced, above that of another value."""
    ladder = _ladder(model, documents)
    print("log p(traced answer) - log p(other answer), nats, mean over questions")
    for name in sorted({q.slice for q in asked}):
        mine = [m for m, q in zip(_mistakes(asked), asked, strict=True) if q.slice == name]
        print(f"  {name}: {intervals.mean([proof.margin(ladder, ladder.subject.model, m) for m in mine])}")


def rankings(
    model: Path, documents: list[Document], asked: Sequence[Question], checkpoints: int, quick: bool
) -> dict[str, list[list[int]]]:
    """Of each method and question the documents, the best first."""
    recalled = _ladder(model, documents, "recall", "hidden")
    traces = recalled.trace(_mistakes(asked))
    out = {"hidden": [ranked(t.scores["hidden"]) for t in traces], "recall + hidden": [_order(t) for t in traces]}
    candidates = [[n for n, _ in t.fused[: recalled.settings.candidates]] for t in traces]

    # As the ladder runs them: the loss drop over candidates; gradients once over all documents, which is also "alone".
    recalled.drop(traces, candidates)
    out["loss drop, of candidates"] = [ranked(t.scores["drop"]) for t in traces]
    alone = _ladder(model, documents, "gradients", checkpoints=checkpoints)
    told = [Trace(mistake) for mistake in _mistakes(asked)]
    if quick:
        alone.gradients(told, candidates)
    else:
        alone.gradients(told, [list(range(len(documents)))] * len(told))
        out["gradients, of all documents"] = [ranked(t.scores["gradient"]) for t in told]
    among = [{n: t.scores["gradient"][n] for n in mine} for t, mine in zip(told, candidates, strict=True)]
    out["gradients, of candidates"] = [ranked(found) for found in among]
    for name, used in (
        ("recall + drop", ("bm25", "spans", "drop")),
        ("recall + gradients", ("bm25", "spans", "gradient")),
        ("all stages", ("bm25", "spans", "hidden", "drop", "gradient")),
    ):
        every = [{**t.scores, "gradient": g} for t, g in zip(traces, among, strict=True)]
        scores = [{stage: found[stage] for stage in used if stage in found} for found in every]
        out[name] = [[n for n, _ in fused(s, mine)] for s, mine in zip(scores, candidates, strict=True)]
    for ladder in (recalled, alone):
        for line in ladder.costs.lines():
            print(line)
    print(f"{len(asked)} questions; seconds are for all of them, on one thread of a busy machine")
    return out


def ranked(scores: Mapping[int, float]) -> list[int]:
    return sorted(scores, key=lambda n: (-scores[n], n))


def print_table(asked: Sequence[Question], gold: Sequence[set[int]], found: Mapping[str, list[list[int]]]) -> None:
    """MRR and recall@10 over all questions with intervals, then recall@10 by slice, then paired differences."""
    recalls = {name: [recall(r, g) for r, g in zip(each, gold, strict=True)] for name, each in found.items()}
    print("\n| method | MRR | recall@10 |\n| --- | --- | --- |")
    for name, each in found.items():
        first = [next((1 / at for at, n in enumerate(r, 1) if n in g), 0.0) for r, g in zip(each, gold, strict=True)]
        print(f"| {name} | {_said(intervals.mean(first))} | {_said(intervals.mean(recalls[name]))} |")
    names = sorted({q.slice for q in asked})
    counts = [sum(q.slice == name for q in asked) for name in names]
    print("\n| recall@10 | " + " | ".join(f"{n} ({c})" for n, c in zip(names, counts, strict=True)) + " |")
    print("| --- |" + " --- |" * len(names))
    for method, values in recalls.items():
        cells = [[v for v, q in zip(values, asked, strict=True) if q.slice == name] for name in names]
        print(f"| {method} | " + " | ".join(f"{sum(c) / len(c):.2f}" for c in cells) + " |")
    print("\n| recall@10, paired difference over questions | |\n| --- | --- |")
    for a, b in ((a, b) for a, b in PAIRS if {a, b} <= recalls.keys()):
        print(f"| {a} - {b} | {_said(intervals.paired_difference(recalls[a], recalls[b]))} |")


PAIRS = (
    ("bm25 of words and parts", "bm25 of words"),
    ("recall", "bm25 of words"),
    ("recall", "bm25 of words and parts"),
    ("recall", "gradients, of all documents"),
    ("recall", "gradients, of candidates"),
    ("recall + hidden", "recall"),
    ("recall + drop", "recall"),
    ("recall + drop", "bm25 of words"),
    ("recall + drop", "bm25 of words and parts"),
    ("recall + drop", "gradients, of all documents"),
    ("recall + drop", "gradients, of candidates"),
    ("recall + gradients", "recall"),
    ("all stages", "recall + drop"),
    ("all stages", "bm25 of words"),
    ("all stages", "gradients, of all documents"),
    ("all stages", "gradients, of candidates"),
)


def recall(ranking: Sequence[int], gold: set[int], k: int = 10) -> float:
    return len(set(ranking[:k]) & gold) / min(k, len(gold))


def _said(found: intervals.Interval) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


if __name__ == "__main__":
    main()
