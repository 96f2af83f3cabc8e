"""The commands of `python -m corpus`: parsing, one call each, and what to do next."""

import errno
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from corpus.failures import Failure

app = typer.Typer(
    help="Build a corpus from raw input and ask what happened to every document.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunFolder = Annotated[Path, typer.Argument(help="the folder of a run, as given to `build --out`", metavar="RUN")]
Overrides = Annotated[
    list[str], typer.Option("--set", help="override one setting: key.path=value", metavar="KEY=VALUE")
]


@app.command()
def build(
    recipe: Annotated[Path, typer.Argument(help="a TOML recipe", metavar="RECIPE")],
    out: Annotated[
        str,
        typer.Option(
            "--out", help="run folder, or s3:// or gs://; the same command goes on after a kill", metavar="RUN"
        ),
    ],
    overrides: Overrides = [],  # noqa: B006
    workers: Annotated[int, typer.Option(help="processes; 0 = one per core", min=0)] = 0,
    corrections: Annotated[
        Path | None,
        typer.Option(
            "--corrections", help="Parquet or CSV of `python -m eval correct`; signed rows are obeyed", metavar="FILE"
        ),
    ] = None,
    beam: Annotated[
        list[str], typer.Argument(help="after --: options of Beam, such as --runner", metavar="-- BEAM")
    ] = [],  # noqa: B006
) -> None:
    """Build a corpus: shards, ledger, signals and a report.

    Example: python -m corpus build corpus/recipes/web.toml --out runs/web-1 --set quality.min_words=30
    """
    from corpus.workers import prepare

    if not any(option.startswith("--runner") for option in beam):  # which has workers of its own
        prepare()  # first of all: what it loads takes longer than what this process does
    from corpus.build import build as run_build

    told = run_build(recipe, out, overrides, workers or os.cpu_count() or 1, beam, corrections)
    if "://" in out:
        name = out.rstrip("/").rpartition("/")[2]
        print(f"{out}: {told['docs']:,} of {told['read']:,} documents kept, {told['ledger']:,} in the ledger")
        print(f"next: python -m corpus fetch {out} runs/{name}   # to ask it; --only docs to train on it")
        return

    from corpus import report_html  # only now: workers start half a second sooner

    report_html.end_build(Path(out))


@app.command()
def fetch(
    url: Annotated[str, typer.Argument(help="a run in a store, as given to `build --out`", metavar="URL")],
    folder: Annotated[Path, typer.Argument(help="where to put it", metavar="RUN")],
    only: Annotated[
        list[str], typer.Option("--only", help="docs, ledger, signals, duplicates, edits or stages", metavar="FOLDER")
    ] = [],  # noqa: B006
) -> None:
    """Bring a run here from a store, or some of its folders, and compare it with its hashes.

    Example: python -m corpus fetch s3://bucket/runs/web-1 runs/web-1 --only docs
    """
    from corpus.fetch import fetch as bring

    print(f"{folder}: {bring(url, folder, only) / 1e6:,.1f} MB fetched; every hash is that of the build")
    what = "python -m trainer --corpus" if only == ["docs"] else "python -m corpus report"
    print(f"next: {what} {folder}")


@app.command()
def estimate(
    recipe: Annotated[Path, typer.Argument(help="a TOML recipe", metavar="RECIPE")],
    overrides: Overrides = [],  # noqa: B006
    parts: Annotated[int, typer.Option("--sample", help="parts of each source to build", min=1)] = 8,
    price: Annotated[
        float | None, typer.Option("--core-hour-price", help="price of a core for an hour, in any currency", min=0)
    ] = None,
) -> None:
    """What a build will give and cost: documents, tokens, core-hours, shuffle, disk, price; from a sample of the input.

    Example: python -m corpus estimate corpus/recipes/web.toml --sample 16 --core-hour-price 0.04
    """
    from corpus.workers import prepare

    prepare()
    from corpus import estimate as estimates

    estimates.show(recipe, overrides, parts, price)


@app.command()
def sample(
    folder: Annotated[Path, typer.Argument(help="where to put it", metavar="DIR")],
) -> None:
    """Make a real input without a network, from what every Python has.

    Example: python -m corpus sample demo/input
    """
    from corpus.sample import make

    print(make(folder))
    print(f"next: python -m corpus build corpus/recipes/sample.toml --out demo/run   # reads {folder}")


@app.command()
def report(
    run: RunFolder,
    html: Annotated[bool, typer.Option("--html", help="write RUN/report.html instead: one file, with plots")] = False,
) -> None:
    """What came of a corpus: funnel, rules, losses by source and language, duplicates, cost.

    Example: python -m corpus report demo/run --html
    """
    from corpus import report as reports
    from corpus import report_html

    if html:
        print(f"{report_html.write(run)}\nnext: open it in a browser; it needs no network")
    else:
        reports.show(run)


@app.command()
def why(
    run: RunFolder,
    document: Annotated[str, typer.Argument(help="its URL, its id, or 6 digits and more of it", metavar="ID|URL")],
) -> None:
    """The life of one document: where it was read, what was cut, every rule's value, whose copy it is.

    Example: python -m corpus why demo/run 1231e010e87e
    """
    from corpus import why as lives

    lives.show(run, document)


@app.command()
def whatif(
    run: RunFolder,
    overrides: Overrides = [],  # noqa: B006
    examples: Annotated[int, typer.Option(help="documents to show of those gained, and of those lost", min=0)] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """What other thresholds would keep and lose, without a rebuild. Without --set: what can be tried.

    Example: python -m corpus whatif demo/run --set quality.min_words=30 --set dedup.min_jaccard=0.9
    """
    from corpus import whatif as answers

    answers.show(run, overrides, examples, as_json)


@app.command()
def sql(
    run: RunFolder,
    query: Annotated[
        str | None, typer.Argument(help="a SELECT of DuckDB; without one: the columns", metavar="QUERY")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object per row")] = False,
) -> None:
    """Ask anything about a run in SQL. Reads only.

    Example: python -m corpus sql demo/run "select reason, count(*) from ledger group by reason"
    """
    from corpus import ask

    ask.show(run, query, "csv" if as_csv else "json" if as_json else "table")


@app.command()
def diff(
    run: RunFolder,
    other: Annotated[Path, typer.Argument(help="the run to compare with it", metavar="RUN2")],
    examples: Annotated[int, typer.Option(help="documents to show of each kind of change", min=0)] = 5,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="write every change to a Parquet file", metavar="FILE.parquet"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """What changed from one run to another: documents added, removed, edited; by which rule or setting.

    Example: python -m corpus diff runs/web-1 runs/web-2 --out changes.parquet
    """
    from corpus import diff as changes

    changes.show(run, other, examples, out, as_json)


@app.command()
def remove(
    run: RunFolder,
    urls: Annotated[
        list[str], typer.Option("--url", help="everything at this address, now and later", metavar="URL")
    ] = [],  # noqa: B006
    ids: Annotated[list[str], typer.Option("--id", help="this document, by its id", metavar="ID")] = [],  # noqa: B006
    listed: Annotated[
        Path | None, typer.Option("--from", help="a file with one URL or id per line", metavar="FILE")
    ] = None,
    reason: Annotated[str, typer.Option(help="kept in the ledger and in tombstones.json", metavar="TEXT")] = "",
    copies: Annotated[bool, typer.Option("--copies", help="also what was dropped as a near copy of them")] = False,
    models: Annotated[
        list[Path], typer.Option("--models", help="a model folder: did it train on them?", metavar="MODEL")
    ] = [],  # noqa: B006
) -> None:
    """Take documents down: their text goes from every file of the run and stays out of later builds.

    Example: python -m corpus remove runs/web-1 --url https://example.org/page --reason "owner's request"
    """
    from corpus import lineage, report_html
    from corpus import remove as takedowns

    for model in models:  # nothing is changed where this cannot be answered
        lineage.lineage_files(model)
    if listed is not None:
        named = [line.strip() for line in listed.read_text("utf-8").splitlines() if line.strip()]
        urls = [*urls, *(name for name in named if not takedowns.is_id(name))]
        ids = [*ids, *(name for name in named if takedowns.is_id(name))]
    done = takedowns.remove(run, urls, ids, reason, copies)
    takedowns.show(run, done, lineage.uses(models, [row["id"] for row in done.documents]), models)
    report_html.write(run)  # the old one, with its excerpts, is gone already


def main() -> Any:
    """Run the command line; every foreseen failure is one line on stderr."""
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    try:
        return app(standalone_mode=True)
    except Failure as error:
        _fail(str(error), error.status)
    except OSError as error:  # a file that is not there, a folder that cannot be written
        full = "the disk is full; free some space and run the same command again, finished parts are kept: "
        _fail(full * (error.errno == errno.ENOSPC) + str(error), 1)


def _fail(message: str, status: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)
