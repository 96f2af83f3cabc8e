"""How well bad-data signals find planted bad documents, and what removing the found ones gains.

    python benchmarks/planted.py [--cache DIR] [--workers 2] [--ship]

Plants bad data of eight kinds (5 % of the documents, in equal parts) among clean documents of ../shared/data, beside
hard negatives, with three seeds; trains a small model on each corpus and one on a trusted one; prints what each rung of
signals finds, tested on a seed that its detector did not see, and bits per byte on clean held-out text after removing
what was found, as many random documents, and the true ones. --cache keeps everything that was done, so a killed run
goes on; --ship writes the detectors that `python -m eval flag` uses.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
import planted_corpus  # noqa: E402
import planted_detection  # noqa: E402
import planted_gradients  # noqa: E402
import torch  # noqa: E402
from planted_corpus import Labelled, write_run  # noqa: E402
from planted_detection import Seed  # noqa: E402
from planted_training import Job, each, held_out_losses, train_all  # noqa: E402

from eval import detector_training, signals  # noqa: E402
from eval.chance import digest, indices  # noqa: E402
from eval.detector import DEFAULT_RUNG, RUNGS, SHIPPED, save  # noqa: E402
from eval.documents import Document  # noqa: E402
from eval.forwards import open_reader  # noqa: E402
from eval.intervals import Interval, percentiles  # noqa: E402
from eval.planting import KINDS  # noqa: E402

TRUSTED = 100  # clean documents that gradients are compared with; the reference model's own
DATA = ROOT.parent / "shared" / "data"
Losses = dict[tuple[int, str], tuple[Any, Any]]  # (seed, what was removed) -> bits and bytes of each text


def main() -> None:
    """Run what is not done yet and print the tables."""
    options = _options()
    if options.cache:
        _run(options, options.cache)
    else:
        with tempfile.TemporaryDirectory() as folder:
            _run(options, Path(folder))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of public texts")
    parser.add_argument("--cache", type=Path, help="keep corpora, models and signals here")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="trainings or seeds at a time")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clean", type=int, default=2400, help="clean documents per seed")
    parser.add_argument("--trusted", type=int, default=1500, help="documents of the reference model")
    parser.add_argument("--held-out", type=int, default=300, help="clean documents to measure bits per byte on")
    parser.add_argument("--characters", type=int, default=650, help="of a document, at least; at most twice as many")
    parser.add_argument("--tokens", type=int, default=700_000, help="of each training; the default is one epoch")
    parser.add_argument("--arm-tokens", type=int, default=250_000, help="of each training without some documents")
    parser.add_argument("--share", type=float, default=0.05, help="bad documents, of the clean ones")
    parser.add_argument("--hard", type=float, default=0.1, help="hard negatives, of the clean ones")
    parser.add_argument("--gradients", type=int, default=300, help="good documents per seed whose gradients are taken")
    parser.add_argument("--only-train", action="store_true", help="stop after the trainings that need no detector")
    parser.add_argument("--no-recovery", action="store_true", help="leave the trainings without the found ones out")
    parser.add_argument("--ship", action="store_true", help="write eval/detectors/ anew from all seeds")
    return parser.parse_args()


def _run(options: argparse.Namespace, cache: Path) -> None:
    started = time.perf_counter()
    kept = planted_corpus.kept(
        cache / "corpora.json",
        planted_corpus.Settings(
            options.data,
            options.clean,
            options.trusted,
            options.held_out,
            options.seeds,
            options.characters,
            options.share,
            options.hard,
        ),
    )
    corpora = kept.corpora
    jobs = first_jobs(cache, kept.trusted, corpora, options.tokens)
    train_all(jobs, options.workers)
    if not options.no_recovery:
        train_all(known_arms(cache, corpora, options.arm_tokens), options.workers)
    print(f"trained in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    if options.only_train:
        return
    measured = each(measure_seed, [(cache, seed, corpus) for seed, corpus in enumerate(corpora)], options.workers)
    print(f"measured after {time.perf_counter() - started:.0f} s", file=sys.stderr)
    scores = {rung: planted_detection.across(measured, rung) for rung in RUNGS}
    print_detection(measured, scores)
    print_gradients(cache, corpora, measured, scores[DEFAULT_RUNG], kept.trusted[:TRUSTED], options)
    print_costs(cache, len(corpora))
    if options.ship:
        ship(measured, options)
    if not options.no_recovery:
        found_arms = [
            arm(cache, corpus, seed, "found", most_probable(corpus, scores[DEFAULT_RUNG][seed]), options.arm_tokens)
            for seed, corpus in enumerate(corpora)
        ]
        train_all(found_arms, options.workers)
        print_recovery(cache, kept.held_out, options.seeds)
    print(f"all in {time.perf_counter() - started:.0f} s", file=sys.stderr)


def first_jobs(cache: Path, trusted: list[Document], corpora: list[Labelled], tokens: int) -> list[Job]:
    """The reference model, and one of each seed's whole corpus with its lineage."""
    jobs = [Job(_written(cache / "trusted", trusted), cache / "reference", None, min(tokens, 500_000), 0)]
    for seed, corpus in enumerate(corpora):
        run = _written(cache / f"seed-{seed}" / "everything", corpus.documents)
        jobs.append(Job(run, cache / f"seed-{seed}" / "model-everything", None, tokens, seed, "full"))
    return jobs


def known_arms(cache: Path, corpora: list[Labelled], tokens: int) -> list[Job]:
    """Of each seed: without as many random documents as were planted, and without the planted ones."""
    jobs = []
    for seed, corpus in enumerate(corpora):
        jobs += [
            arm(cache, corpus, seed, name, removed, tokens)
            for name, removed in (("random", at_random(corpus, seed)), ("true", planted(corpus)))
        ]
    return jobs


def arm(cache: Path, corpus: Labelled, seed: int, name: str, removed: set[str], tokens: int) -> Job:
    """A training without some documents; the tokenizer stays, or bits would not be all that differs."""
    folder = cache / f"seed-{seed}"
    run = _written(folder / name, [d for d in corpus.documents if d.id not in removed])
    return Job(run, folder / f"model-{name}", folder / "model-everything" / "tokenizer", tokens, seed)


def planted(corpus: Labelled) -> set[str]:
    return {name for name, kind in corpus.kind.items() if kind and not kind.startswith("hard_")}


def at_random(corpus: Labelled, seed: int) -> set[str]:
    """As many as were planted, of all documents."""
    drawn = sorted(corpus.kind, key=lambda name: digest("random", seed, name))
    return set(drawn[: len(planted(corpus))])


def most_probable(corpus: Labelled, probability: Any) -> set[str]:
    """As many as were planted."""
    order = sorted(range(len(corpus.documents)), key=lambda row: (-probability[row], corpus.documents[row].id))
    return {corpus.documents[row].id for row in order[: len(planted(corpus))]}


def measure_seed(cache: Path, seed: int, corpus: Labelled) -> Seed:
    """All signals of a seed's corpus, under its own model and the reference; and what each stage took."""
    folder = cache / f"seed-{seed}"
    at: list[tuple[str, float]] = []

    def tell(said: str) -> None:
        at.append((said, time.process_time()))
        print(f"seed {seed}: {said} ...", file=sys.stderr, flush=True)

    def measure(documents: Sequence[Document]) -> signals.Measured:
        torch.set_num_threads(1)
        model, reference = (open_reader(path, "last") for path in (folder / "model-everything", cache / "reference"))
        lineage = folder / "model-everything" / "lineage"
        found = signals.measure(documents, model, lineage, reference, tell)
        tell("done")
        spent = {said.partition(" of ")[0]: after - before for (said, before), (_, after) in itertools.pairwise(at)}
        (folder / f"costs-{signals.VERSION}.json").write_text(json.dumps(spent), "utf-8")
        return found

    return planted_detection.measured(corpus, folder / f"signals-{signals.VERSION}.parquet", measure)


def print_gradients(
    cache: Path,
    corpora: list[Labelled],
    seeds: list[Seed],
    scores: list[Any],
    trusted: list[Document],
    options: argparse.Namespace,
) -> None:
    """The gradient rung beside the default one, on the same documents."""
    good = options.gradients
    folders = [cache / f"seed-{seed}" for seed in range(len(corpora))]
    asked = [
        (corpus, folder / "model-everything", trusted, good, folder / f"gradients-{good}.parquet")
        for corpus, folder in zip(corpora, folders, strict=True)
    ]
    found = each(planted_gradients.measured, asked, options.workers)
    spent, documents = sum(cost for _, cost in found), sum(one.num_rows for one, _ in found)
    head = ["kind", *planted_gradients.SIDES, DEFAULT_RUNG]
    table(
        f"Gradients, AUROC on all planted and {good} good documents of each seed ({spent:.0f} CPU s for "
        f"{documents:,} documents)",
        head,
        planted_gradients.rows(seeds, [one for one, _ in found], scores, DEFAULT_RUNG),
    )


def print_costs(cache: Path, seeds: int) -> None:
    """CPU seconds of each stage of measuring, of all seeds, beside those of training the models that it needs."""
    sums: dict[str, float] = {}
    for seed in range(seeds):
        told = json.loads((cache / f"seed-{seed}" / f"costs-{signals.VERSION}.json").read_text("utf-8"))
        for name, seconds in told.items():
            sums[name] = sums.get(name, 0.0) + seconds
    rows = [[name, f"{seconds:.0f}"] for name, seconds in sums.items()]
    models = [cache / "reference", *(cache / f"seed-{seed}" / "model-everything" for seed in range(seeds))]
    trained = [json.loads((path / "done.json").read_text("utf-8"))["cpu_s"] for path in models]
    rows += [["training the reference", f"{trained[0]:.0f}"], ["training on everything", f"{sum(trained[1:]):.0f}"]]
    table(f"What signals cost, {seeds} seeds", ["stage", "CPU s"], rows)


def print_detection(seeds: list[Seed], scores: dict[str, list[Any]]) -> None:
    """The tables of detection."""
    bad, hard = sum(int(s.bad.sum()) for s in seeds), sum(int(s.hard.sum()) for s in seeds)
    total = sum(len(s.kind) for s in seeds)
    print(f"\n{total:,} documents of {len(seeds)} seeds, {bad} planted, {hard} hard negatives.\n")
    head = ["kind", "planted", "rung", "AUROC", "AUPRC", "recall at 1 % FPR", "precision at planted count"]
    table("By kind and rung, against all good documents (95 % bootstrap intervals)", head,
          planted_detection.by_kind(seeds, scores))  # fmt: skip
    head = [
        "rung",
        "clean flagged",
        "hard flagged",
        "planted flagged",
        "the same without swaps",
        "flagged that are bad",
    ]
    table("At probability 0.5 (95 % Wilson intervals)", head, planted_detection.false_positives(seeds, scores))
    head = ["kind", "documents", "flagged"]
    title = f"Hard negatives of a kind that the detector never saw, rung {DEFAULT_RUNG}"
    table(title, head, planted_detection.unseen_hard(seeds, DEFAULT_RUNG))
    table("AUROC of a kind that the detector never saw", ["kind", *RUNGS],
          planted_detection.left_out(seeds))  # fmt: skip
    head = ["kind", "best three", "best of lineage", "best of forwards"]
    table("Best single signals (AUROC)", head, planted_detection.single_signals(seeds))


def print_recovery(cache: Path, texts: list[str], seeds: int) -> None:
    """Bits per byte on held-out text after each removal, and the share of the gain that was recovered."""
    arms = ("random", "found", "true")
    losses = {(s, a): held_out_losses(cache / f"seed-{s}" / f"model-{a}", texts) for s in range(seeds) for a in arms}
    rows = []
    for seed in range(seeds):
        bits = {a: losses[seed, a][0].sum() / losses[seed, a][1].sum() for a in arms}
        share = (bits["random"] - bits["found"]) / (bits["random"] - bits["true"])
        rows.append([str(seed), *(f"{bits[a]:.4f}" for a in arms), f"{share:.2f}"])
    table("Bits per byte on clean held-out text after removing ...", ["seed", *arms, "recovered"], rows)
    for name in ("found", "true"):
        print(f"random - {name}: {planted_detection.interval(gain(losses, seeds, name), 4)} bits per byte")
    print(f"recovered fraction: {planted_detection.interval(recovered(losses, seeds), 2)}")


def gain(losses: Losses, seeds: int, name: str) -> Interval:
    """Bits per byte of random removal less those of another, over seeds and documents drawn anew."""
    return _over_seeds(losses, seeds, lambda of: of("random") - of(name))


def recovered(losses: Losses, seeds: int) -> Interval:
    return _over_seeds(losses, seeds, lambda of: (of("random") - of("found")) / (of("random") - of("true")))


def _over_seeds(losses: Losses, seeds: int, figure: Callable[[Callable[[str], float]], float]) -> Interval:
    """A figure of mean bits per byte, with an interval from drawing seeds, and documents within each."""
    size = len(losses[0, "true"][0])

    def value(drawn: Sequence[int], documents: Any) -> float:
        def of(name: str) -> float:
            pairs = [losses[s, name] for s in drawn]
            return sum(bits[documents].sum() for bits, _ in pairs) / sum(n[documents].sum() for _, n in pairs)

        return figure(of)

    whole = value(range(seeds), np.arange(size))
    draws = [value(indices(7, k, (1, seeds), seeds)[0], indices(8, k, (1, size), size)[0]) for k in range(1000)]
    return percentiles(whole, np.array(draws), 0.95, seeds)


def ship(seeds: list[Seed], options: argparse.Namespace) -> None:
    """Detectors of all seeds, for `python -m eval flag`."""
    for rung in RUNGS:
        card = {
            "made_by": "python benchmarks/planted.py --ship",
            "made_from": "planted bad data of eight kinds among public English wiki, book, web and news text",
            "kinds": list(KINDS),
            "documents": sum(len(s.kind) for s in seeds),
            "planted": sum(int(s.bad.sum()) for s in seeds),
            "hard_negatives": sum(int(s.hard.sum()) for s in seeds),
            "model_parameters": 855_000,
            "measured": "benchmarks/RESULTS.md, planted bad data",
            "limits": "calibrated for 5 % bad documents of about 800 characters under models of this size; other "
            "corpora keep the ranking better than the probabilities",
        }
        fitted = detector_training.fit([(s.found, s.bad) for s in seeds], rung, card)
        save(fitted, SHIPPED / f"{rung}.json")


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows), flush=True)


def _written(folder: Path, documents: list[Document]) -> Path:
    if not (folder / "manifest.json").exists():
        write_run(folder, documents)
    return folder


if __name__ == "__main__":
    main()
