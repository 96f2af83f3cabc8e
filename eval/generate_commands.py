"""The commands of generated text: `generate` and `judge`."""

import json
import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.scoring_commands import Corpus, Device, ModelFolder, Out, Restore, tell

JudgeName = Annotated[
    str,
    typer.Option("--judge", help="none, http://… (chat completions), or a local folder of a model or of transformers"),
]
KEY = "WINNOW_JUDGE_KEY"  # an environment variable: a key on a command line is seen by everyone on the machine


def generate_command(
    model: ModelFolder,
    prompts: Annotated[
        Path | None, typer.Option(help="JSONL with `prompt` (and `human`), or a prompt a line", metavar="FILE")
    ] = None,
    corpus: Corpus = [],  # noqa: B006
    reference: Annotated[
        Path | None, typer.Option(help="a model that reads the samples; the model itself unless given", metavar="MODEL")
    ] = None,
    number: Annotated[int, typer.Option("--number", help="prompts at most", min=1)] = 100,
    samples: Annotated[int, typer.Option(help="samples of each prompt", min=1)] = 1,
    prompt_tokens: Annotated[int, typer.Option(help="tokens of a document that are its prompt", min=1)] = 32,
    tokens: Annotated[int, typer.Option(help="tokens of a sample at most", min=1)] = 96,
    temperature: Annotated[float, typer.Option(help="0: always the likeliest token", min=0)] = 0.8,
    top_p: Annotated[float, typer.Option(help="share of the probability that is drawn from", min=0, max=1)] = 0.95,
    seed: Annotated[int, typer.Option(help="the same seed gives the same text", min=0)] = 0,
    by: JudgeName = "none",
    out: Out = None,
    restore: Restore = "best",
    device: Device = "cpu",
) -> None:
    """Samples on prompts from held-out documents, checked beside what people wrote there, with intervals.

    Example: python -m eval generate demo/model --corpus demo/run --number 50
    """
    from eval import generated, results
    from eval.document_losses import open_scorer
    from eval.documents import load, split

    scorer, folder = open_scorer(model, restore, device), out or model / "evaluation"
    asked = generated.Asked(samples, prompt_tokens, tokens, temperature, top_p, seed)
    runs = [load(path) for path in corpus or ([] if prompts else scorer.corpora)]
    held = [document for documents in runs for document in split(documents, scorer.validation)[1]]
    chosen = generated.of_file(prompts)[:number] if prompts else generated.of_documents(held, scorer, asked, number)
    tell(f"{len(chosen):,} prompts, {samples} samples of each")
    rows = generated.draw(scorer, chosen, asked)
    reader = open_scorer(reference, restore, device) if reference else scorer
    rows = _read(
        rows, reader, [document.text for documents in runs for document in split(documents, scorer.validation)[0]]
    )
    found = generated.summary(rows)
    results.put(folder, results.SAMPLES, rows)
    results.put(folder, "checks.parquet", found)
    lines = [json.dumps({"prompt": r["prompt"], "text": r["text"], "id": r["id"]}) + "\n" for r in rows.to_pylist()]
    (folder / "samples.jsonl").write_text("".join(lines), "utf-8")
    told = {"model": str(model), "restore": restore, "seed": seed, "reference": str(reference or model)}
    results.tell(folder, "generate", told)
    _show(found, rows.num_rows)
    pairs = [(row["id"], row["prompt"], row["text"], row["human"]) for row in rows.to_pylist() if row["human"]]
    if by != "none":
        results.put(folder, "verdicts.parquet", _judge(pairs, by, restore, device))
    print(f"{folder / results.SAMPLES}: {rows.num_rows:,} samples; {folder / 'samples.jsonl'} can be rated")
    print(f"next: python -m eval errors {shlex.quote(str(model))} --samples {shlex.quote(str(folder))}")


def _read(rows: Any, reader: Any, corpus: list[str]) -> Any:
    """Rows with the checks that need a model or the corpus."""
    from eval import generated, model_checks

    found = rows.to_pylist()
    prompts = [row["prompt"] for row in found]
    sides = []
    for side in ("text", "human"):
        texts = [row[side] for row in found]
        columns = {
            "order_score": model_checks.order_scores(reader, texts),
            "responsiveness": model_checks.responsiveness(reader, prompts, texts),
        }
        if corpus:
            columns["support"] = model_checks.support(corpus, texts)
        sides.append([{name: values[at] for name, values in columns.items()} for at in range(len(texts))])
    return generated.with_checks(rows, *sides)


def _show(found: Any, number: int) -> None:
    from corpus.terminal import console, line, table

    out = console()
    out.print(line(f"{number:,} samples beside human continuations of the same prompts; 95 % intervals", "bold"))
    out.print(table(tuple(found.column_names), [tuple(row.values()) for row in found.to_pylist()]))


def judge_command(
    a: Annotated[
        Path, typer.Option("--a", help="samples of one model: JSONL with `prompt` and `text`", metavar="FILE")
    ],
    b: Annotated[Path, typer.Option("--b", help="samples of the other, on the same prompts", metavar="FILE")],
    by: JudgeName,
    out: Annotated[Path, typer.Option("--out", help="Parquet to write", metavar="FILE")] = Path("verdicts.parquet"),
    restore: Restore = "best",
    device: Device = "cpu",
) -> None:
    """Ask a judge which of two models' texts is better, in both orders; inconsistent verdicts are counted apart.

    Example: python -m eval judge --a old/samples.jsonl --b new/samples.jsonl --judge http://127.0.0.1:8000/v1
    """
    from eval import results
    from eval.ratings import pairs

    table = _judge([(pair.id, pair.prompt, *pair.texts) for pair in pairs(a, b)], by, restore, device)
    results.put(out.parent, out.name, table)
    print(f"{out}: {table.num_rows:,} verdicts")


def _judge(pairs: list[tuple[str, str, str, str]], by: str, restore: str, device: str) -> Any:
    """Ask, print, and return the verdicts as a table."""
    import pyarrow as pa

    from eval import judges

    asked = open_judge(by, restore, device)
    found = [judges.judge(asked, prompt, one, other) for _, prompt, one, other in pairs]
    told = judges.judged(found)
    print(f"{told.asked:,} pairs, each in both orders: the first text wins {told.wins} of {told.wins.units:,} decided;")
    print(f"  {told.ties:,} neither, {told.inconsistent:,} inconsistent (the verdict changed with the order)")
    schema = pa.schema([("id", pa.string()), ("choice", pa.int32()), ("consistent", pa.bool_())])
    rows = [{"id": p[0], "choice": v.choice, "consistent": v.consistent} for p, v in zip(pairs, found, strict=True)]
    return pa.Table.from_pylist(rows, schema=schema)


def open_judge(name: str, restore: str = "best", device: str = "cpu") -> Any:
    """The judge of a name. Raises JudgeFailed."""
    from eval import judges
    from eval.document_losses import open_scorer

    if name.startswith(("http://", "https://")):
        address, _, model = name.partition("#")
        return judges.Address(address, model or "judge", os.environ.get(KEY, ""))
    folder = Path(name)
    if (folder / "model.json").is_file():
        return judges.Likelihood(open_scorer(folder, restore, device))
    if (folder / "config.json").is_file():
        return judges.LocalFolder(folder)
    raise judges.JudgeFailed(f"--judge {name}: no address (http://…#MODEL), and no folder of a model")
