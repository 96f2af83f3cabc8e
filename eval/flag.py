"""The command `flag`: which documents of a corpus are probably bad, and why."""

import shlex
from pathlib import Path
from typing import Annotated

import typer


def flag_command(
    model: Annotated[
        Path | None, typer.Argument(help="a trained model; without one: text alone", metavar="[MODEL]")
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="the run that it was trained on, or a JSONL file", metavar="RUN")
    ] = None,
    reference: Annotated[Path | None, typer.Option(help="a small model of trusted text", metavar="MODEL")] = None,
    out: Annotated[Path, typer.Option(help="Parquet to write", metavar="FILE")] = Path("flagged.parquet"),
    threshold: Annotated[float, typer.Option(help="probability from which a document is flagged", min=0, max=1)] = 0.5,
    rung: Annotated[str, typer.Option(help="text, lineage or full; default: the costliest that pays")] = "",
    restore: Annotated[str, typer.Option(help="checkpoint: best, last or a step")] = "best",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
) -> None:
    """Rank the documents of a corpus by how probably they are bad, with evidence.

    Example: python -m eval flag runs/model-1 --corpus runs/web-1 --reference runs/trusted --out flagged.parquet
    """
    from eval.flagged import CannotFlag, flag, summary

    if corpus is None:
        raise CannotFlag("flag needs --corpus RUN: the run folder, or a JSONL file, whose documents are ranked")
    found, used = flag(model, corpus, reference, out, threshold, rung, restore, device)
    print(summary(found, used))
    print(f"next: python -m eval correct propose {shlex.quote(str(out))} --out corrections.csv --min-score 0.9")
