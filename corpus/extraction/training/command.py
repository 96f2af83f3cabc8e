"""The command line of training."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from corpus.extraction.blocks import main_text
from corpus.extraction.learned import model
from corpus.extraction.learned.features import COLUMNS
from corpus.extraction.learned.release import FILE
from corpus.extraction.training import crossed
from corpus.extraction.training.fit import NUM_TREES
from corpus.extraction.training.folds import NUM_FOLDS, fold
from corpus.extraction.training.scores import interval, word_f1

app = typer.Typer(add_completion=False, no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(help="Folder with web.warc.gz and web_gold.jsonl.zst.")]
Out = Annotated[Path, typer.Option(help="Where the model goes; its card goes beside it.")]
Trees = Annotated[Path | None, typer.Option(help="Keep the forests of the folds here, for the benchmark.")]
Score = Annotated[bool, typer.Option(help="Cross-validate, and write the card.")]
CARD = """`{name}` is the model of the extraction engine `blocks`: {trees} decision trees over {columns} numbers a block
({size:,} bytes, sha256 {digest}).

- Made by: python -m corpus.extraction train (LightGBM {lightgbm}); the same pages make the same bytes.
- Trained on: {counts}.
- Scores: word-F1 {f1:.3f} ({low:.3f} to {high:.3f}) on {pages} gold pages, each scored by a model that saw no page of
  its site (5 folds by domain). By kind of page: {kinds}.
- Data: WCXB (Web Content Extraction Benchmark), development set: Murrough Foley, CC-BY-4.0
  (https://creativecommons.org/licenses/by/4.0/). Changes: gold texts were aligned to blocks of the pages; the model
  holds statistics of them, no text. Besides, pages of the evaluation sets of trafilatura and webstruct, labelled by
  the agreement of trafilatura and resiliparse and by trafilatura's snippets; no text of them is in the model either.
- Limits: chiefly English pages, of 2019 to 2026. What is not shown without scripts is not seen.
"""


@app.callback()
def extraction() -> None:
    """The model of the extraction engine `blocks`."""


@app.command()
def train(folder: Folder, out: Out = FILE, trees: Trees = None, score: Score = True) -> None:
    """Make the model anew from pages with gold texts. Takes about ten minutes; needs lightgbm.

    Example: python -m corpus.extraction train ../shared/data/web --out /tmp/blocks.npz
    """
    examples = crossed.all_examples(folder, print)
    sets = [examples]
    if score:
        sets += [[example for example in examples if example.fold != k] for k in range(NUM_FOLDS)]
    forest, *others = crossed.forests(sets, print)
    model.save(forest, out)
    print(f"{out}: {out.stat().st_size:,} bytes")
    if not score:
        return
    if trees is not None:
        crossed.keep(others, trees)
    found = [
        (page.kind, word_f1(main_text(page.html, others[fold(page.url)])[0], page.text or ""))
        for page in crossed.gold_pages(folder)
    ]
    counts = {kind: sum(e.kind == kind for e in examples) for kind in dict.fromkeys(e.kind for e in examples)}
    out.with_suffix(".md").write_text(_card(out, found, counts))
    print(f"next: {out.with_suffix('.md')} is its card; python benchmarks/extraction.py compares it with others")


def _card(out: Path, found: list[tuple[str, float]], counts: dict[str, int]) -> str:
    import lightgbm

    scores = [score for _, score in found]
    low, high = interval(scores)
    means = {}
    for kind in sorted({kind for kind, _ in found}):
        of_kind = [score for other, score in found if other == kind]
        means[kind] = f"{kind} {sum(of_kind) / len(of_kind):.3f} ({len(of_kind)})"
    data = out.read_bytes()
    return CARD.format(
        name=out.name,
        trees=NUM_TREES,
        columns=len(COLUMNS),
        size=len(data),
        digest=hashlib.sha256(data).hexdigest(),
        lightgbm=lightgbm.__version__,
        counts=", ".join(f"{number} {kind} pages" for kind, number in counts.items()),
        f1=sum(scores) / len(scores),
        low=low,
        high=high,
        pages=len(scores),
        kinds=", ".join(means.values()),
    )
