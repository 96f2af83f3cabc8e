"""The commands that score given text: `perplexity`, and `suite score`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

ModelFolder = Annotated[Path, typer.Argument(help="a folder that `python -m trainer --out` wrote", metavar="MODEL")]
Restore = Annotated[str, typer.Option(help="checkpoint: best, last or a step")]
Device = Annotated[str, typer.Option(help="cpu or cuda")]
Out = Annotated[Path | None, typer.Option("--out", help="folder of results; MODEL/evaluation", metavar="DIR")]
Corpus = Annotated[
    list[Path],
    typer.Option("--corpus", help="run folders or JSONL files; those it was trained on", metavar="RUN|FILE"),
]
_SHOWN = 20  # values of a slice
_STRIDE = "tokens that the window moves on by; half a row"


def tell(said: str) -> None:
    """A line of progress, not among the results."""
    print(f"{said} ...", file=sys.stderr, flush=True)


def perplexity_command(
    model: ModelFolder,
    corpus: Corpus = [],  # noqa: B006
    suite: Annotated[
        list[Path], typer.Option("--suite", help="score the right answers of suites instead", metavar="FILE")
    ] = [],  # noqa: B006
    by: Annotated[list[str], typer.Option(help="also by this column of docs/ or signals/", metavar="COLUMN")] = [],  # noqa: B006
    everything: Annotated[bool, typer.Option("--all", help="also documents that were trained on")] = False,
    stride: Annotated[int, typer.Option(help=_STRIDE, min=0)] = 0,
    limit: Annotated[int, typer.Option(help="documents of each corpus at most; 0: all", min=0)] = 0,
    out: Out = None,
    restore: Restore = "best",
    device: Device = "cpu",
) -> None:
    """Bits per byte of held-out documents, by source, language, length and any column, with intervals.

    Example: python -m eval perplexity demo/model --corpus demo/run --by words
    """
    from eval.document_losses import open_scorer
    from eval.perplexity import Asked

    scorer, folder = open_scorer(model, restore, device), out or model / "evaluation"
    if suite:
        score_suites(scorer, suite, folder, model, restore, only_answers=True)
    if corpus or not suite:
        measure_corpora(scorer, corpus, Asked(tuple(by), everything, stride, limit, tell), folder, model, restore)
    print(f"next: python -m eval errors {shlex.quote(str(model))}")


def measure_corpora(scorer: Any, corpora: list[Path], asked: Any, folder: Path, model: Path, restore: str) -> Any:
    """Score, write documents.parquet and groups.parquet, print the groups; returns the documents' table."""
    import pyarrow as pa

    from eval import perplexity, results
    from eval.documents import NoDocuments, load

    corpora = corpora or list(scorer.corpora)
    if not corpora:
        raise NoDocuments(f"{model}: it does not say what it was trained on; give --corpus RUN")
    rows = pa.concat_tables([perplexity.measure(scorer, load(path), path, asked) for path in corpora])
    found = perplexity.groups(rows, asked.by)
    results.put(folder, results.DOCUMENTS, rows)
    results.put(folder, results.GROUPS, found)
    told = {"model": str(model), "restore": restore, "corpora": [str(path) for path in corpora], "all": asked.all}
    told |= {"row_tokens": scorer.length, "stride": asked.stride or max(1, scorer.length // 2)}
    results.tell(folder, "perplexity", {**told, "validation": scorer.validation})
    _show_groups(found, told, scorer.validation)
    print(f"{folder / results.DOCUMENTS}: {rows.num_rows:,} documents")
    return rows


def _show_groups(found: Any, told: dict[str, Any], validation: float) -> None:
    from corpus.terminal import console, line, table

    out = console()
    which = "all documents" if told["all"] else f"held-out documents ({validation:.3g} of each source)"
    way = f"rows of {told['row_tokens']} tokens moved on by {told['stride']}"
    out.print(line(f"bits per byte of {which}; {way}; 95 % intervals over documents", "bold"))
    rows = [tuple(row.values()) for row in found.to_pylist()]
    out.print(table(tuple(found.column_names), rows))
    if not rows[0][2]:
        note = "no documents there" if told["all"] else "nothing is held out there; --all scores what was trained on"
        out.print(line(f"note: {note}"))


def suite_score_command(
    model: ModelFolder,
    suites: Annotated[list[Path], typer.Argument(help="suites, or folders of them", metavar="SUITE...")],
    out: Out = None,
    restore: Restore = "best",
    device: Device = "cpu",
) -> None:
    """Ask a model the items of suites: accuracy, margin, bits per byte of the answer, by slice, with intervals.

    Example: python -m eval suite score demo/model suites/demo
    """
    from eval.document_losses import open_scorer

    score_suites(open_scorer(model, restore, device), suites, out or model / "evaluation", model, restore)
    print(f"next: python -m eval errors {shlex.quote(str(model))}")


def score_suites(
    scorer: Any, paths: list[Path], folder: Path, model: Path, restore: str, only_answers: bool = False
) -> None:
    """Score suites, write suite-NAME.parquet of each and slices.parquet, print the slices."""
    import pyarrow as pa

    from corpus.terminal import console, line, table
    from eval import results, suite_scores

    out, summaries = console(), []
    for found in read_suites(paths):
        rows = suite_scores.score(scorer, found, tell)
        results.put(folder, f"suite-{found.name}.parquet", rows)
        results.tell(folder, f"suite {found.name}", {"model": str(model), "restore": restore, "hash": found.hash})
        summaries.append(suite_scores.summary(rows))
        out.print(line(f"{found.name}: {rows.num_rows:,} items, hash {found.hash}; 95 % intervals", "bold"))
        for note in found.notes:
            out.print(line(f"note: {note}"))
        shown = shown_of(summaries[-1].to_pylist(), only_answers)
        columns = ("slice", "value", "measure", "found", "low", "high", "items", "units")
        out.print(table(columns, [[row[name] for name in columns] for row in shown]))
        told = agreement(found, rows)
        if told.units:
            out.print(line(f"the same answer in other words: {told} of pairs of wordings, over {told.units:,} facts"))
    if summaries:
        results.put(folder, "slices.parquet", pa.concat_tables(summaries))
        print(f"{folder / 'slices.parquet'}: {sum(one.num_rows for one in summaries):,} figures")


def shown_of(rows: list[dict[str, Any]], only_answers: bool = False) -> list[dict[str, Any]]:
    """Rows to print: slices of hundreds of values (people, paradigms) are in the file alone."""
    values: dict[str, set[str]] = {}
    for row in rows:
        values.setdefault(row["slice"], set()).add(row["value"])
    few = {name for name, found in values.items() if len(found) <= _SHOWN}
    return [r for r in rows if r["slice"] in few and (not only_answers or r["measure"] == "answer_bits_per_byte")]


def agreement(suite: Any, rows: Any) -> Any:
    """Whether facts asked in several wordings get the same answer; an interval over facts."""
    from eval.intervals import NOTHING, mean
    from eval.model_checks import agreement as shares

    chosen = dict(zip(rows["id"].to_pylist(), rows["chosen"].to_pylist(), strict=True))
    found = shares(suite, chosen)
    return mean(found) if found else NOTHING


def read_suites(paths: list[Path]) -> list[Any]:
    """The suites of files and of folders. Raises BadSuite."""
    from eval.suites import BadSuite, read

    files = [file for path in paths for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    missing = next((path for path in paths if not path.exists()), None)
    if missing or not files:
        raise BadSuite(f"{missing or paths[0]}: no suite there; `python -m eval suite make` writes some")
    return [read(file) for file in files]
