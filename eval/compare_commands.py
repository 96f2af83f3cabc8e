"""The command `compare`: is the second model better than the first, and where."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.scoring_commands import Corpus, Device, Restore, measure_corpora, score_suites, tell

_FOLDER = "a model's folder, or a folder of its results"


def compare_command(
    first: Annotated[Path, typer.Argument(help=_FOLDER, metavar="A")],
    second: Annotated[Path, typer.Argument(help=_FOLDER, metavar="B")],
    corpus: Corpus = [],  # noqa: B006
    suites: Annotated[
        list[Path], typer.Option("--suite", help="suites, or folders of them, that both are asked", metavar="SUITE")
    ] = [],  # noqa: B006
    everything: Annotated[bool, typer.Option("--all", help="also documents that were trained on")] = False,
    out: Annotated[Path, typer.Option(help="folder to write to", metavar="DIR")] = Path("comparison"),
    restore: Restore = "best",
    device: Device = "cpu",
) -> None:
    """Two models on the same documents and suites: paired differences with intervals, as a table and a page.

    Example: python -m eval compare runs/model-1 runs/model-2 --corpus demo/run --out comparison
    """
    from eval import compare

    folders = []
    for name, path in (("first", first), ("second", second)):
        folders.append(asked(path, out / name, corpus or corpora_of(first), suites, everything, restore, device))
    found = compare.compare(*folders)
    show(found, (str(first), str(second)), out)
    print(f"next: read {out / 'comparison.html'}, or select from '{out / 'comparison.parquet'}'")


def corpora_of(model: Path) -> list[Path]:
    """What a model was trained on; both are asked its held-out part."""
    from trainer.files import read_json

    path = model / "manifest.json"
    return [Path(name) for name in read_json(path).get("folders", ())] if path.exists() else []


def asked(
    path: Path, out: Path, corpora: list[Path], suites: list[Path], everything: bool, restore: str, device: str
) -> Path:
    """The folder of results of a model; one of results is taken as it is."""
    from eval import results

    if results.is_result(path):
        return path
    from eval.document_losses import open_scorer
    from eval.perplexity import Asked

    scorer = open_scorer(path, restore, device)
    if suites:
        score_suites(scorer, suites, out, path, restore)
    if corpora or not suites:
        measure_corpora(scorer, corpora, Asked(all=everything, tell=tell), out, path, restore)
    return out


def show(found: Any, names: tuple[str, str], out: Path) -> None:
    """comparison.parquet, comparison.html, and the figures of everything together on the terminal."""
    from corpus.terminal import console, line, table
    from eval import results

    results.put(out, "comparison.parquet", found.table)
    write_page(found, names, out / "comparison.html")
    terminal = console()
    terminal.print(line(f"{shlex.quote(names[1])} less {shlex.quote(names[0])}; 95 % intervals", "bold"))
    columns = ("what", "measure", "by", "value", "first", "second", "difference", "low", "high", "units", "verdict")
    rows = [[row[c] for c in columns] for row in found.table.to_pylist() if row["by"] in ("all", "source")]
    terminal.print(table(columns, rows))
    for note in found.notes:
        terminal.print(line(f"note: {note}"))


def write_page(found: Any, names: tuple[str, str], path: Path, title: str = "", answer: tuple[str, ...] = ()) -> None:
    """The page: a sentence, then a table with drawn intervals for each thing that was compared."""
    from eval import page

    rows = found.table.to_pylist()
    tables = comparison_tables(rows)
    said = [*answer, *headline(rows, names), *found.notes]
    page.write(path, title or f"{names[1]} against {names[0]}", said, tables)


def headline(rows: list[dict[str, Any]], names: tuple[str, str]) -> list[str]:
    """What bits per byte say of everything together, in a sentence."""
    whole = next((row for row in rows if row["what"] == "bits_per_byte" and row["by"] == "all"), None)
    if whole is None or whole["difference"] is None:
        return []
    told = f"{whole['difference']:+.4f} bits per byte, interval {whole['low']:+.4f} to {whole['high']:+.4f}"
    word = {"better": "better than", "worse": "worse than"}.get(whole["verdict"], "not shown to differ from")
    return [f"{names[1]} is {word} {names[0]}: {told}, over {whole['units']:,} documents."]


def comparison_tables(rows: list[dict[str, Any]]) -> list[Any]:
    """A table of the page for each thing and measure."""
    from eval import page

    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["what"], row["measure"] if row["what"] != "samples" else ""), []).append(row)
    good = {"better": 1, "worse": -1}
    columns = ("measure", "by", "value", "first", "second", "difference", "low", "high", "interval", "units", "verdict")
    tables = []
    for (what, measure), mine in groups.items():
        cells = [
            [
                page.Bar(r["difference"], r["low"], r["high"], good.get(r["verdict"], 0))
                if c == "interval" and None not in (r["difference"], r["low"], r["high"])
                else r.get(c)
                for c in columns
            ]
            for r in mine
        ]
        better = mine[0]["better"] if what != "samples" else "near the human value"
        tables.append(page.Table(f"{what} {measure if measure != what else ''}", columns, cells, f"Better: {better}."))
    return tables
