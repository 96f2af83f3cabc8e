"""The command `loop`: the whole turn as one command, for a first look at what Winnow is for."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from eval.loop import Settings


def loop_command(
    out: Annotated[Path, typer.Option(help="folder of the loop; the same command goes on", metavar="DIR")],
    corpus: Annotated[
        Path | None, typer.Option("--corpus-input", help="clean documents; the sample unless given", metavar="RUN|FILE")
    ] = None,
    seeds: Annotated[int, typer.Option(help="trainings of each corpus, for the interval", min=1)] = Settings.seeds,
    share: Annotated[float, typer.Option(help="of the documents that are spoilt", min=0, max=0.9)] = Settings.share,
    tokens: Annotated[int, typer.Option(help="of each training", min=1)] = Settings.tokens,
    depth: Annotated[int, typer.Option(help="layers of the models", min=1)] = Settings.depth,
    vocab: Annotated[int, typer.Option(help="tokens of their vocabulary", min=300)] = Settings.vocab,
    row: Annotated[int, typer.Option(help="tokens of a row", min=8)] = Settings.row,
    batch: Annotated[int, typer.Option(help="tokens of a step; a multiple of --row", min=8)] = Settings.batch,
    passage: Annotated[int, typer.Option(help="characters of the passages long pages are cut into", min=100)] = (
        Settings.passage
    ),
    most: Annotated[
        int, typer.Option(help="passages to learn from, drawn by their ids; 0: all", min=0)
    ] = Settings.most,
    held_out: Annotated[
        float, typer.Option(help="share of documents set aside clean", min=0, max=0.9)
    ] = Settings.held_out,
    threshold: Annotated[
        float, typer.Option(help="probability from which a document is blocked", min=0, max=1)
    ] = Settings.threshold,
    items: Annotated[int, typer.Option(help="of each suite", min=1)] = Settings.items,
    traced: Annotated[int, typer.Option(help="errors whose documents are looked for", min=0)] = Settings.traced,
    control: Annotated[
        bool, typer.Option(help="also block as many documents at random, and train on that")
    ] = Settings.control,
    seed: Annotated[int, typer.Option(help="another one plants and sets aside others")] = Settings.seed,
    threads: Annotated[int, typer.Option(help="of a training; 0: all cores", min=0)] = Settings.threads,
) -> None:
    """Plant defects, train, find them, correct (signed automatically, for the demonstration), train again, compare.

    Example: python -m eval loop --out demo/loop --seeds 1
    """
    from eval import loop

    asked = loop.Settings(
        str(corpus) if corpus else "", seeds, share, tokens, depth, vocab, row, batch, passage, most, held_out,
        threshold, items, traced, control, seed, threads,
    )  # fmt: skip
    found = loop.run(out, asked)
    word = "better" if found["better"] else "not shown to be better"
    print(
        f"bits per byte of clean text: {found['first']:.4f} -> {found['second']:.4f}, "
        f"{found['difference']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]: {word}"
    )
    folder = shlex.quote(str(out))
    print(f"next: read {found['report']} and {out / 'errors' / 'errors.html'}; with your own run:")
    print(f"      python -m eval flag MODEL --corpus RUN --out {folder}/mine.parquet")
    print(f"      python -m eval correct propose {folder}/mine.parquet --out corrections.csv --min-score 0.9")
    print("      python -m corpus build RECIPE --out RUN2 --corrections corrections.csv")
