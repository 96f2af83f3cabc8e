"""`python -m eval attribute`: parsing, the ladder's stages, and what a person reads of them."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.failures import Failure

if TYPE_CHECKING:
    import pyarrow as pa

    from eval.ladder import Ladder
    from eval.mistakes import Mistake

PROOFS = ("tail-patch", "retrain")
DEFAULT = "recall,drop"  # ladder.DEFAULT, which a help text need not import torch for


class UnknownStage(Failure):
    """A name on the command line that names nothing."""

    status = 2


def attribute_command(
    model: Annotated[Path, typer.Argument(help="the folder of a model, as given to trainer --out", metavar="MODEL")],
    corpus: Annotated[Path, typer.Option("--corpus", help="the run that it was trained on", metavar="RUN")],
    errors: Annotated[
        Path | None, typer.Option(help="Parquet or JSONL with prompt, wrong; id and right where known", metavar="FILE")
    ] = None,
    prompt: Annotated[str, typer.Option(help="instead of --errors: what the model was given")] = "",
    wrong: Annotated[str, typer.Option(help="what it said")] = "",
    right: Annotated[str, typer.Option(help="what it should have said, if that is known")] = "",
    out: Annotated[Path, typer.Option(help="the table, as Parquet", metavar="FILE")] = Path("attributed.parquet"),
    stages: Annotated[str, typer.Option(help="of recall, hidden, drop, gradients; each can run alone")] = DEFAULT,
    proof: Annotated[str, typer.Option(help="tail-patch, retrain, or both with a comma between")] = "",
    top: Annotated[int, typer.Option(help="documents per error", min=1)] = 10,
    candidates: Annotated[int, typer.Option(help="documents that recall hands on", min=1)] = 100,
    restore: Annotated[str, typer.Option(help="which checkpoint: best, last or a step")] = "last",
    checkpoints: Annotated[int, typer.Option(help="gradients: mean over so many, back from that one", min=1)] = 8,
    whiten: Annotated[str, typer.Option(help="gradients: moments, gram, both or none")] = "both",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    proxy: Annotated[
        list[str], typer.Option("--set", help="retrain: a setting of the proxy's recipe", metavar="KEY=VALUE")
    ] = [],  # noqa: B006
    proxies: Annotated[Path, typer.Option(help="retrain: where its three models are kept", metavar="DIR")] = Path(
        "proxies"
    ),
) -> None:
    """From errors of a model to the documents behind them, in stages from cheap to costly; each says what it cost.

    The default reads words, then asks the model of each candidate that states the answer whether it is easier there
    once this error is learnt. `--stages recall` reads words alone; hidden and gradients ask more.
    Without a proof every document is a suspect; one for which a proof held is harmful.
    Example: python -m eval attribute demo/model --corpus demo/run --prompt "The capital of France is" --wrong " Rome"
    --right " Paris" --proof tail-patch
    """
    from corpus.parts import writing
    from eval import ladder, mistakes, whitening
    from eval.attribution_table import ROWS
    from eval.documents import load

    asked = mistakes.load(errors) if errors else [mistakes.of_options(prompt, wrong, right)]
    chosen, proofs = among(stages, ladder.STAGES, "--stages"), among(proof, PROOFS, "--proof")
    among(whiten, whitening.FORMS, "--whiten")
    if not chosen:
        raise UnknownStage(f"--stages: name at least one of {', '.join(ladder.STAGES)}")
    documents = load(corpus)
    subject = ladder.open_subject(model, restore, checkpoints, device)
    settings = ladder.Settings(stages=chosen, candidates=max(candidates, top), whitening=whiten)
    steps = ladder.Ladder(subject, documents, settings)
    found = attributed(steps, asked, top, proofs, corpus, proxies, proxy)
    out.parent.mkdir(parents=True, exist_ok=True)
    with writing(out, ROWS) as file:
        file.write(found)
    show(steps, asked, found, out)


def among(names: str, known: tuple[str, ...], option: str) -> tuple[str, ...]:
    """Names with commas between, in the order of the known ones. Raises UnknownStage."""
    asked = [name.strip() for name in names.split(",") if name.strip()]
    for name in asked:
        if name not in known:
            raise UnknownStage(f"{option} {name}: there are {', '.join(known)}")
    return tuple(name for name in known if name in asked)


def attributed(
    steps: "Ladder", asked: "list[Mistake]", top: int = 10, proofs: tuple[str, ...] = (), corpus: Path = Path(),
    proxies: Path = Path("proxies"), proxy: list[str] = [],  # noqa: B006
) -> "pa.Table":  # fmt: skip
    """The table of attribution_table.ROWS for some errors; `corpus`, `proxies`, `proxy` are for the proof `retrain`."""
    from eval import attribution_table
    from eval import proof as proving

    traces = steps.trace(asked)
    if "tail-patch" in proofs and steps.documents:
        proving.tail_patch(steps, traces, top)
    left_out: list[proving.LeftOut] = []
    if "retrain" in proofs and any(trace.fused for trace in traces):
        left_out = proving.leave_out(steps, traces, corpus, top, proxies, proxy)
    return attribution_table.table(steps, traces, top, left_out)


def show(steps: "Ladder", asked: "list[Mistake]", found: "pa.Table", out: Path, most: int = 5) -> None:
    """Costs, the documents of the first few errors, and what to do next."""
    from corpus.terminal import console, excerpt, line, table
    from eval.attribution_table import SCORES

    said = console()
    rows = found.to_pylist()
    said.print(line(f"{len(asked):,} errors, {len(steps.documents):,} documents, {len(rows):,} rows in {out}", "bold"))
    if not steps.documents:
        said.print(line("note: the corpus holds no documents, so none stands behind an error"))
    elif not rows:
        said.print(line("note: no document was found; they share no word with the errors: try --stages hidden"))
    elif len(steps.documents) == 1:
        said.print(line("note: the corpus holds one document; it is first because there is no other"))
    for text in steps.costs.lines():
        said.print(line(text))
    for mistake in asked[:most]:
        mine = [row for row in rows if row["error"] == mistake.id]
        answer = f"[{mistake.wrong}]" + (f" not [{mistake.right}]" if mistake.right else "")
        said.print(line(f"{mistake.id}: {excerpt(mistake.prompts[0], 70)} {answer}"))
        shown = [name for name in (*SCORES, "tail_patch", "leave_out") if any(row[name] is not None for row in mine)]
        cells = [
            (row["rank"], row["id"][:8], row["verdict"], *(row[name] for name in shown), excerpt(row["evidence"], 50))
            for row in mine
        ]
        said.print(table(("rank", "document", "verdict", *shown, "shared words"), cells))
    if len(asked) > most:
        said.print(line(f"… and {len(asked) - most:,} errors more in {out}"))
    if rows:
        name = shlex.quote(str(out))
        said.print(line(f"next: python -m eval correct propose {name} --out corrections.csv --min-score 0.5"))
