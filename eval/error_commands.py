"""The command `errors`: what a model gets wrong, gathered from all that it was asked."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.scoring_commands import Corpus, Device, ModelFolder, Out, Restore, read_suites, tell


def errors_command(
    model: ModelFolder,
    corpus: Corpus = [],  # noqa: B006
    suites: Annotated[
        list[Path], typer.Option("--suite", help="suites, or folders of them, to look for errors in", metavar="SUITE")
    ] = [],  # noqa: B006
    samples: Annotated[
        list[Path], typer.Option(help="result folders of `eval generate`; MODEL/evaluation", metavar="DIR")
    ] = [],  # noqa: B006
    everything: Annotated[bool, typer.Option("--all", help="also passages that were trained on")] = False,
    most: Annotated[int, typer.Option(help="errors of a kind at most, the worst first", min=1)] = 200,
    out: Out = None,
    restore: Restore = "best",
    device: Device = "cpu",
) -> None:
    """Failures of every kind in one table and one page: hard passages, wrong answers, odd samples; alike ones together.

    Example: python -m eval errors demo/model --corpus demo/run --suite suites/demo
    """
    from eval.document_losses import open_scorer

    scorer, folder = open_scorer(model, restore, device), out or model / "evaluation"
    found = gather(scorer, corpus, suites, samples or [folder], everything, most)
    write(found, folder, model.name)
    path = shlex.quote(str(folder / "errors.parquet"))
    print(f"next: read {folder / 'errors.html'}, then")
    print(f"      python -m eval attribute {shlex.quote(str(model))} --errors {path}")


def gather(
    scorer: Any, corpora: list[Path], suites: list[Path], samples: list[Path], everything: bool, most: int
) -> Any:
    """The table of errors of what was given; corpora default to the model's own. Raises Failure."""
    from eval import errors, results, suite_scores
    from eval.documents import load, split
    from eval.hard_passages import passages

    found: list[errors.Error] = []
    for path in corpora or scorer.corpora:
        documents = load(path)
        chosen = documents if everything else split(documents, scorer.validation)[1]
        found += passages(scorer, chosen, most, tell)
    for suite in read_suites(suites) if suites else []:
        found += errors.of_suite(suite, suite_scores.score(scorer, suite, tell))
    for folder in samples:
        rows = results.table(folder, results.SAMPLES)
        found += errors.of_samples(rows) if rows is not None else []
    return errors.table(found, most)


def write(found: Any, folder: Path, name: str) -> None:
    """errors.parquet and errors.html, and a line for each kind."""
    from collections import Counter

    from eval import error_page, results

    results.put(folder, "errors.parquet", found)
    results.tell(folder, "errors", {"errors": found.num_rows})
    notes = [] if found.num_rows else ["Nothing failed, or nothing was asked: no held-out text, no suite, no samples."]
    error_page.write(folder / "errors.html", name, found, notes)
    counts = Counter((row["kind"], row["check"]) for row in found.select(["kind", "check"]).to_pylist())
    for (kind, check), number in sorted(counts.items()):
        print(f"{number:,} of kind {kind} by {check}")
    print(f"{folder / 'errors.parquet'}: {found.num_rows:,} failures" + "".join(f"; {note}" for note in notes))
