"""The command `harness`: lm-evaluation-harness on a checkpoint, from local files."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from corpus.failures import Failure
from eval.scoring_commands import Device, ModelFolder, Out, Restore, read_suites, tell


def harness_command(
    model: ModelFolder,
    suites: Annotated[
        list[Path], typer.Option("--suite", help="suites, or folders of them: each becomes a task", metavar="SUITE")
    ] = [],  # noqa: B006
    tasks: Annotated[
        list[str], typer.Option("--task", help="a task of the harness, with its data in local files", metavar="NAME")
    ] = [],  # noqa: B006
    include: Annotated[Path | None, typer.Option(help="folder of tasks in the harness's YAML", metavar="DIR")] = None,
    limit: Annotated[int, typer.Option(help="items of each task at most; 0: all", min=0)] = 0,
    out: Out = None,
    restore: Restore = "best",
    device: Device = "cpu",
) -> None:
    """Run lm-evaluation-harness (extra `harness`): suites as tasks, and tasks of your own. Nothing is fetched.

    Example: python -m eval harness demo/model --suite suites/public --limit 500
    """
    from corpus.terminal import console, line, table
    from eval import results
    from eval.document_losses import open_scorer

    try:
        from eval import harness
    except ModuleNotFoundError as error:
        raise Failure(f"{error.name} is missing; install the extra: pip install 'winnow-corpus[harness]'") from None
    if not suites and not tasks:
        raise harness.CannotHarness("name what to run: --suite SUITE, or --task NAME with --include DIR")
    found = read_suites(suites) if suites else []
    scorer, folder = open_scorer(model, restore, device), out or model / "evaluation"
    tell(f"{sum(len(one.items) for one in found):,} items of {len(found)} suites, {len(tasks)} tasks")
    figures, items = harness.run(scorer, found, tasks, include, limit)
    results.put(folder, "harness.parquet", figures)
    results.put(folder, "harness-items.parquet", items)
    results.tell(folder, "harness", {"model": str(model), "restore": restore, "limit": limit})
    said = console()
    said.print(table(tuple(figures.column_names), [tuple(row.values()) for row in figures.to_pylist()]))
    for suite in found:
        if not suite.items:
            said.print(line(f"note: suite {suite.name} has no items"))
    print(f"{folder / 'harness.parquet'}: {figures.num_rows:,} figures of {items.num_rows:,} items")
    print(f"next: select * from {shlex.quote(str(folder / 'harness-items.parquet'))}")
