"""The stages of the loop: each reads what those before it wrote, writes its own, and tells its counts."""

import dataclasses
import logging
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from eval import planting, results
from eval.chance import digest
from eval.corrections import AUTOMATIC
from eval.documents import Document, load
from eval.documents import write as keep
from eval.loop import CannotLoop, Paths, Settings, documents_of, set_aside

Told = dict[str, Any]
_LEAST = 8  # documents: fewer leave nothing to train on, to set aside and to spoil
# The loop's own, so that a change of the trainer's defaults changes no result here. A short run gains most from high
# rates and a long decay (benchmarks/RESULTS.md); chosen by trainings of clean text, before any loop was run with them.
_OPTIMIZER = {"lr": 0.04, "lr_rest": 0.01, "decay": 0.8}


def make_corpus(paths: Paths, settings: Settings) -> Told:
    documents = documents_of(settings, paths.sample, paths.clean)
    learnt, held = set_aside(documents, settings)
    if len(learnt) < _LEAST or not held:
        raise CannotLoop(f"{settings.corpus or paths.clean}: {len(learnt)} documents are too few for a loop")
    keep(learnt, paths.out / "clean.jsonl")
    keep(held, paths.held)
    return {"documents": len(documents), "passages": len(learnt), "set_aside": len(held)}


def plant(paths: Paths, settings: Settings) -> Told:
    from corpus.build import build

    # without keys of their own, so that the sealed list names every spoilt text as the run does
    clean = [dataclasses.replace(one, key="") for one in load(paths.out / "clean.jsonl")]
    planted = planting.plant(clean, settings.share, seed=settings.seed)
    planting.write(planted, paths.planted)
    build(paths.planted / "recipe.toml", paths.run_1)
    kinds = Counter(planted.sealed["kind"].to_pylist())
    return {"planted": planted.sealed.num_rows, "of": len(planted.documents), "kinds": dict(sorted(kinds.items()))}


def train_first(paths: Paths, settings: Settings) -> Told:
    return _train(paths, settings, 1, paths.run_1)


def train_second(paths: Paths, settings: Settings) -> Told:
    told = _train(paths, settings, 2, paths.run_2)
    if settings.control:
        _train(paths, settings, 3, paths.run_random)
    return told


def _train(paths: Paths, settings: Settings, turn: int, corpus: Path) -> Told:
    from trainer import recipe as recipes
    from trainer.train import train

    bits = []
    for seed in range(settings.seeds):
        recipe = {
            "tokenizer": {"vocab": settings.vocab},
            "data": {"sequence_length": settings.row},
            "model": {"depth": settings.depth},
            "optimizer": _OPTIMIZER,
            "train": {
                "tokens": settings.tokens,
                "batch_tokens": settings.batch,
                "seed": seed,
                "threads": settings.threads,
                "lineage": "full",
                "sample_tokens": 0,
                "keep_last": 3,  # attribution reads gradients where the model still learnt
            },
        }
        result = train(recipes.parse(recipe, "loop"), [corpus], paths.model(turn, seed))
        bits.append(round(result.bits_per_byte, 4))
    return {"models": settings.seeds, "bits_per_byte_of_its_own_validation": bits}


def find_errors(paths: Paths, settings: Settings) -> Told:
    from eval import error_commands, suite_makers
    from eval.document_losses import open_scorer
    from eval.suites import write

    held = load(paths.held)
    for kind in suite_makers.MAKERS:
        made = suite_makers.make(held, kind, suite_makers.Settings(validation=1, items=settings.items))
        write(made, paths.suites / f"{kind}.jsonl")
    scorer = open_scorer(paths.model(1, 0))
    found = error_commands.gather(scorer, [paths.run_1], [paths.suites], [], False, 200)
    error_commands.write(found, paths.errors, "the first model")
    return {"errors": found.num_rows, "kinds": dict(sorted(Counter(found["kind"].to_pylist()).items()))}


def flag_documents(paths: Paths, settings: Settings) -> Told:
    from eval.flagged import flag

    found, used = flag(paths.model(1, 0), paths.run_1, None, paths.flagged, settings.threshold)
    return {"flagged": sum(found["flagged"].to_pylist()), "of": found.num_rows, "rung": used.rung}


def attribute_errors(paths: Paths, settings: Settings) -> Told:
    from eval import ladder, mistakes
    from eval.attribute import attributed
    from eval.attribution_table import ROWS

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it tells of every index it builds
    errors = pq.read_table(paths.errors / "errors.parquet").to_pylist()
    worst = sorted((row for row in errors if row["kind"] != "text"), key=lambda row: (row["rank"], row["kind"]))
    asked = mistakes.collected(worst[: settings.traced], "errors")
    steps = ladder.Ladder(
        ladder.open_subject(paths.model(1, 0), num_checkpoints=3), load(paths.run_1), ladder.Settings(candidates=30)
    )
    found = attributed(steps, asked) if asked else ROWS.empty_table()
    results.put(paths.out, paths.attributed.name, found)
    return {"errors": len(asked), "documents": len(set(found["id"].to_pylist()))}


def correct(paths: Paths, settings: Settings) -> Told:
    """Blocks what is probably bad, by the calibrated probability alone.

    Standing behind an error is evidence for a person. A lower bar for such documents let good ones in: of those between
    half the threshold and the threshold most are good, and most documents stand behind some error.
    """
    from corpus.corrections import save
    from eval import corrections

    behind: dict[str, list[str]] = {}
    for row in pq.read_table(paths.attributed).to_pylist():
        behind.setdefault(row["id"], []).append(row["error"])
    findings = []
    for row in pq.read_table(paths.flagged).select(["id", "score", "signal", "evidence"]).to_pylist():
        if row["score"] >= settings.threshold:
            stands = f"; behind errors {', '.join(behind[row['id']][:3])}" if row["id"] in behind else ""
            findings.append({**row, "evidence": f"{row['evidence']}{stands}"})
    plan = corrections.Plan(min_score=0, most=len(findings) or 1)
    rows = corrections.sign(corrections.propose(findings, plan), AUTOMATIC)
    save(paths.corrections, rows)
    return {"blocked": len(rows), "behind_errors": sum(f["id"] in behind for f in findings), "signed_by": AUTOMATIC}


def rebuild(paths: Paths, settings: Settings) -> Told:
    """The same recipe again, with the corrections; and, to compare with, with as many documents blocked at random."""
    from corpus.build import build
    from corpus.corrections import Correction, save
    from eval import corrections

    recipe, signed = paths.planted / "recipe.toml", pq.read_table(paths.corrections).num_rows
    told = build(recipe, paths.run_2, corrections=paths.corrections if signed else None)
    if settings.control:
        drawn = sorted((one.id for one in load(paths.run_1)), key=lambda id_: digest("random", settings.seed, id_))
        rows = [Correction(id_, "block", reason="drawn_at_random") for id_ in drawn[:signed]]
        save(paths.random, corrections.sign(rows, AUTOMATIC))
        build(recipe, paths.run_random, corrections=paths.random if signed else None)
    return {"documents": told["docs"], "blocked": signed}


def compare_models(paths: Paths, settings: Settings) -> Told:
    """Bits per byte on the text set aside for every model, suites for the first seed's; the report."""
    from eval import loop_report
    from eval.compare import over_seeds

    held = load(paths.held)
    turns = (1, 2, 3) if settings.control else (1, 2)
    tables = [[_measured(paths, turn, seed, held) for turn in turns] for seed in range(settings.seeds)]
    found = over_seeds([(row[0], row[1]) for row in tables])
    control = over_seeds([(row[2], row[1]) for row in tables]) if settings.control else None
    return loop_report.write(paths, settings, tables, found, control)


def _measured(paths: Paths, turn: int, seed: int, held: list[Document]) -> pa.Table:
    """A model's documents; of the first seed's first two models also the suites."""
    from eval.document_losses import open_scorer
    from eval.perplexity import Asked, measure
    from eval.suite_scores import score
    from eval.suites import read

    scorer, folder = open_scorer(paths.model(turn, seed)), paths.result(turn, seed)
    print(f"{scorer.name} on {len(held):,} documents ...", file=sys.stderr, flush=True)
    table = measure(scorer, held, paths.held, Asked(all=True))
    results.put(folder, results.DOCUMENTS, table)
    for file in sorted(paths.suites.glob("*.jsonl")) if seed == 0 and turn < 3 else ():
        results.put(folder, f"suite-{file.stem}.parquet", score(scorer, read(file)))
    results.tell(folder, "perplexity", {"model": scorer.name, "all": True})
    return table
