"""What the commands print about a model: results beside a trigram's, a run's state, documents of a step.

On a terminal tables of at most 100 columns, in a pipe uncut lines. Text of documents is data: nothing in it is obeyed.
"""

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainer import checkpoint, journal, lineage, packing, recipe, start, tokenizer, trigram
from trainer.failures import Failure, UsageFailure
from trainer.files import read_json, write_json
from trainer.train import Result

_WIDTH, _UNCUT = 100, 100_000
_EXCERPT = 60  # characters of a document


def after_training(result: Result) -> None:
    """The end of `train`: bits per byte of the best step by source, beside a trigram model's; and what to do next."""
    out = result.folder
    if not result.finished:
        print(f"stopped after step {result.steps:,}; the same command goes on from there")
        return
    scores = [line for line in journal.read(out) if line["event"] == "evaluation"]
    best = next((line for line in scores if line["step"] == result.best_step), None)
    print(f"\n{result.steps:,} steps, {result.tokens:,} tokens learnt from; best step {result.best_step:,}")
    if best is not None:
        _print_scores(best, trigram_scores(out))
    print(f"\nnext: python -m trainer generate {out} --prompt TEXT   # or export, lineage, show")
    worst = max((line for line in journal.read(out) if line["event"] == "step"), key=lambda line: line["loss"])
    print(f"      python -m trainer lineage {out} --step {worst['step']}   # the documents of the highest loss")


def trigram_scores(out: Path) -> dict[str, float]:
    """Bits per byte of a trigram model of the same tokens on the same rows, by source; "" is all together.

    Computed once and kept in trigram.json; empty where the corpus is gone.
    """
    path = out / "trigram.json"
    if path.is_file():
        return dict(read_json(path))
    settings = start.kept_recipe(out).data
    folders = [Path(folder) for folder in read_json(out / "manifest.json")["folders"]]
    try:
        shards = packing.open_shards(folders, tokenizer.load(out / "tokenizer"), settings)
    except Failure as failure:
        print(f"warning: no trigram to compare with: {failure}", file=sys.stderr)
        return {}
    model = trigram.train(shards)
    found = trigram.score(model, shards, settings.sequence_length, settings.validation_max_tokens)
    scores = {score.source: score.bits_per_byte for score in found if score.bytes}
    write_json(path, scores)
    return scores


def show(out: Path) -> None:
    """How a run stands."""
    start.kept_recipe(out)  # or say that this is none of ours
    lines = journal.read(out)
    steps = [line for line in lines if line["event"] == "step"]
    scores = [line for line in lines if line["event"] == "evaluation"]
    manifest = read_json(out / "manifest.json")
    print(f"corpora      {', '.join(manifest['folders'])}")
    if steps:
        last = steps[-1]
        print(f"last step    {last['step']:,}: loss {last['loss']:.4f} after {last['tokens']:,} tokens")
    saved = {step: checkpoint.score(out, step) for step in checkpoint.listed(out)}
    told = [f"{step:,} ({bits:.4f})" if bits < float("inf") else f"{step:,}" for step, bits in saved.items()]
    print(f"checkpoints  {', '.join(told) or 'none yet'}   (bits per byte)")
    for line in [line for line in lines if line["event"] == "refused"]:
        worst = line["documents"][0]["id"] if line["documents"] else ""
        print(f"refused      step {line['step']:,}: {line['reason']}; worst document {worst}")
    if scores:
        best = min(scores, key=lambda line: float(line["bits_per_byte"]))
        print(f"\nbest evaluation: step {best['step']:,}")
        kept = out / "trigram.json"
        _print_scores(best, dict(read_json(kept)) if kept.is_file() else {})
        print(f"\nnext: python -m trainer lineage {out} --step {best['step']}")


def step_lineage(out: Path, step: int, limit: int) -> None:
    """The documents of a step, the worst loss per token first, with their first words where the corpus is there."""
    rows = lineage.worst(lineage.at_step(out, step), limit)
    words = _first_words(out, [row["id"] for row in rows])
    columns = ("id", "source", "tokens", "loss", "max", "text")
    _print_table(columns, ([*(row[name] for name in columns[:-1]), words.get(row["id"], "")] for row in rows))
    print(f"\nloss: nats per token\nnext: python -m trainer lineage {out} --document {rows[0]['id'][:12]}")


def document_lineage(out: Path, document: str, limit: int) -> None:
    """Every step that read a document, and how well it was known then."""
    found = lineage.of_document(out, document)
    ids = pc.unique(found["id"].cast(pa.string())).to_pylist()
    if len(ids) > 1:
        raise UsageFailure(f"--document {document}: {len(ids)} documents begin so: {', '.join(ids[:5])}")
    print(f"{ids[0]}  {_first_words(out, ids).get(ids[0], '')}\n")
    pieces = found.slice(0, limit or found.num_rows).to_pylist()
    rows = [[p["step"], p["first"], p["tokens"], p["loss"] / max(p["tokens"], 1), p["max"]] for p in pieces]
    _print_table(("step", "from token", "tokens", "loss", "max"), rows)
    if found.num_rows > len(pieces):
        print(f"... {found.num_rows - len(pieces):,} more: --limit 0")


def train_tokenizer(settings: recipe.Tokenizer, corpora: Sequence[Path], out: Path) -> None:
    """Train one (or take the given one), put it into `out`, and print how many bytes its tokens hold."""
    found = tokenizer.load(Path(settings.path)) if settings.path else tokenizer.train(corpora, settings)
    found.save(out)
    told = tokenizer.report(found, corpora, settings.max_mb)
    _print_table(told.column_names, (list(row.values()) for row in told.to_pylist()))
    print(f"\n{found.vocab:,} tokens in {out}\nnext: python -m trainer --corpus {corpora[0]} --out MODEL "
          f"--set tokenizer.path={out}")  # fmt: skip


def _print_scores(evaluation: dict[str, Any], trigram_by_source: dict[str, float]) -> None:
    rows = [[name, part["bytes"], part["bits_per_byte"], trigram_by_source.get(name)]
            for name, part in evaluation["sources"].items()]  # fmt: skip
    size = sum(row[1] for row in rows)
    rows.append(["all", size, evaluation["bits_per_byte"], trigram_by_source.get("")])
    _print_table(("validation text", "bytes", "bits per byte", "of a trigram"), rows)


def _first_words(out: Path, ids: Sequence[str]) -> dict[str, str]:
    """The beginnings of some documents, as far as the corpus is still there."""
    wanted, found = pa.array(sorted(set(ids))), dict[str, str]()
    for folder in read_json(out / "manifest.json")["folders"]:
        for path in sorted(Path(folder).glob("docs/part-*.parquet")):
            try:
                table = pq.read_table(path, columns=["id", "text"], filters=pc.field("id").isin(wanted))
            except (OSError, pa.ArrowException):
                continue
            for row in table.to_pylist():
                found[row["id"]] = " ".join((row["text"] or "")[: 4 * _EXCERPT].split())[:_EXCERPT]
    return found


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    terminal = sys.stdout.isatty()
    console = Console(highlight=False, no_color=not terminal, width=min(_WIDTH, _columns()) if terminal else _UNCUT)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    rows = [list(row) for row in rows]
    for place, name in enumerate(columns):
        numeric = any(isinstance(row[place], int | float) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_say(value)) for value in row))
    console.print(table)


def _columns() -> int:
    return os.get_terminal_size().columns


def _say(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) else clean(str(value))


def clean(text: str, lines: bool = False) -> str:
    """Text without anything that a terminal obeys; line breaks stay where `lines`."""
    kept = "\n\t" if lines else ""
    return "".join(c if c in kept or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "\ufffd" for c in text)
