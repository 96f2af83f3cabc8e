"""The commands of `python -m trainer`: parsing, one call each, and what to do next.

Without a command's name it trains: `python -m trainer [RECIPE] --corpus RUN --out MODEL`.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from trainer.failures import Failure

app = typer.Typer(
    help="Train on a corpus's shards, and ask which documents stand behind every step. Without a command: train.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Corpora = Annotated[
    list[Path], typer.Option("--corpus", help="run folder of a corpus; may be given several times", metavar="RUN")
]
Changes = Annotated[list[str], typer.Option("--set", help="change one setting: key.path=value", metavar="KEY=VALUE")]
ModelFolder = Annotated[Path, typer.Argument(help="the folder of a model, as given to `--out`", metavar="MODEL")]
RecipeFile = Annotated[
    Path | None, typer.Argument(help="a TOML recipe, or the name of one that comes along", metavar="[RECIPE]")
]
Restore = Annotated[str, typer.Option(help="which checkpoint: best, last, or a step", metavar="best|last|STEP")]
Device = Annotated[str, typer.Option(help="cpu or cuda", metavar="DEVICE")]


@app.command("train")
def train_(
    recipe: RecipeFile = None,
    corpus: Corpora = [],  # noqa: B006
    out: Annotated[
        Path | None, typer.Option("--out", help="folder of the model; the same command goes on", metavar="MODEL")
    ] = None,
    changes: Changes = [],  # noqa: B006
    restore: Restore = "last",
    init: Annotated[
        str,
        typer.Option(help="weights to start from: hf:DIR, or MODEL with @best, @last or @STEP", metavar="WEIGHTS"),
    ] = "",
    extend_vocab: Annotated[
        bool, typer.Option("--extend-vocab", help="give a larger tokenizer's new tokens a place in the --init weights")
    ] = False,
) -> None:
    """Train a model; the word `train` may be left out. Several ranks: torchrun --nproc-per-node 2 -m trainer ...

    Example: python -m trainer --corpus demo/run --out demo/model --set train.tokens=2_000_000
    """
    from trainer import recipe as recipes

    settings = recipes.load(recipe, changes)
    if not corpus or out is None:
        _fail(f"no {'--out MODEL' if corpus else '--corpus RUN'}: see python -m trainer --help", 2)
    else:
        from trainer import summary
        from trainer.train import train

        result = train(settings, corpus, out, restore=restore, init=init, extend_vocab=extend_vocab)
        if _first_rank():
            summary.after_training(result)


@app.command()
def tokenizer(
    corpus: Corpora = [],  # noqa: B006
    vocab: Annotated[int, typer.Option(help="tokens, special ones included", min=300)] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="where to put it; without: RUN/tokenizer", metavar="DIR")
    ] = None,
    changes: Changes = [],  # noqa: B006
) -> None:
    """Train a tokenizer on a corpus, and say how many bytes its tokens hold by source and language.

    Example: python -m trainer tokenizer --corpus demo/run --vocab 4096
    """
    from trainer import recipe as recipes
    from trainer import summary

    if not corpus:
        _fail("no --corpus RUN: see python -m trainer tokenizer --help", 2)
    size = [f"tokenizer.vocab={vocab}"] if vocab else []
    summary.train_tokenizer(recipes.load(None, [*changes, *size]).tokenizer, corpus, out or corpus[0] / "tokenizer")


@app.command()
def show(model: ModelFolder) -> None:
    """How a run stands: steps, loss, bits per byte by source, checkpoints, refused steps.

    Example: python -m trainer show demo/model
    """
    from trainer import summary

    summary.show(model)


@app.command()
def lineage(
    model: ModelFolder,
    step: Annotated[int, typer.Option(help="a step; the first is 1", min=0, metavar="N")] = 0,
    document: Annotated[str, typer.Option(help="a document's id, or its first digits", metavar="ID")] = "",
    limit: Annotated[int, typer.Option(help="documents or pieces to show; 0: all", min=0)] = 20,
) -> None:
    """The documents of a step, the worst loss first; or every step that read a document.

    Example: python -m trainer lineage demo/model --step 120
    """
    from trainer import summary

    if bool(step) == bool(document):
        _fail("expected either --step N or --document ID", 2)
    if step:
        summary.step_lineage(model, step, limit)
    else:
        summary.document_lineage(model, document, limit)


@app.command()
def export(
    model: ModelFolder,
    out: Annotated[Path, typer.Option("--out", help="folder to write", metavar="DIR")],
    restore: Restore = "best",
) -> None:
    """Write a folder that transformers.AutoModelForCausalLM loads, with the same logits.

    Example: python -m trainer export demo/model --out demo/exported
    """
    from trainer import checkpoint, huggingface

    trained, _ = checkpoint.load_model(model, restore)
    huggingface.export(trained, model / "tokenizer", out)
    print(f'{out}\nnext: transformers.AutoModelForCausalLM.from_pretrained("{out}")')


@app.command()
def generate(
    model: ModelFolder,
    prompt: Annotated[list[str], typer.Option(help="to go on from; may be given several times", metavar="TEXT")] = [""],  # noqa: B006
    tokens: Annotated[int, typer.Option(help="of each output, at most", min=1)] = 128,
    temperature: Annotated[float, typer.Option(help="0: always the likeliest token", min=0)] = 0.8,
    top_p: Annotated[float, typer.Option(help="share of the probability that is drawn from", min=0, max=1)] = 0.95,
    seed: Annotated[int, typer.Option(help="the same seed gives the same text", min=0)] = 0,
    restore: Restore = "best",
    device: Device = "cpu",
) -> None:
    """Text from a model.

    Example: python -m trainer generate demo/model --prompt "The first" --tokens 100
    """
    from trainer import talk

    talk.generate(model, prompt, talk.sampling(tokens, temperature, top_p, seed), restore, device)


@app.command()
def chat(
    model: ModelFolder,
    system: Annotated[str, typer.Option(help="what the assistant is told first", metavar="TEXT")] = "",
    tokens: Annotated[int, typer.Option(help="of each answer, at most", min=1)] = 512,
    temperature: Annotated[float, typer.Option(help="0: always the likeliest token", min=0)] = 0.7,
    top_p: Annotated[float, typer.Option(help="share of the probability that is drawn from", min=0, max=1)] = 0.95,
    seed: Annotated[int, typer.Option(help="the same seed gives the same answers", min=0)] = 0,
    restore: Restore = "best",
    device: Device = "cpu",
) -> None:
    """Talk to a model that was trained on conversations. An empty line or Ctrl-D ends it.

    Example: python -m trainer chat demo/chat-model --temperature 0.5
    """
    from trainer import talk

    talk.chat(model, system, talk.sampling(tokens, temperature, top_p, seed), restore, device)


@app.command()
def tune(
    recipe: RecipeFile = None,
    corpus: Corpora = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option("--out", help="folder of the search; the same command goes on")] = None,
    space: Annotated[Path | None, typer.Option(help="a TOML file of keys and what they may be", metavar="FILE")] = None,
    tokens: Annotated[int, typer.Option(help="to spend in all", min=1)] = 20_000_000,
    trial_tokens: Annotated[int, typer.Option(help="of one trial, at most", min=1)] = 1_000_000,
    changes: Changes = [],  # noqa: B006
) -> None:
    """Search for a better recipe under a budget of tokens.

    Example: python -m trainer tune --corpus demo/run --out demo/search --tokens 20_000_000
    """
    from trainer import recipe as recipes
    from trainer import tune as search

    settings = recipes.load(recipe, changes)
    if not corpus or out is None:
        _fail(f"no {'--out DIR' if corpus else '--corpus RUN'}: see python -m trainer tune --help", 2)
    else:
        found = search.search(space, settings, corpus, out, tokens=tokens, trial_tokens=trial_tokens)
        print("\n".join(search.lines(found)))
        print(
            f"next: python -m trainer {out}/best.toml --corpus {corpus[0]} --out MODEL   # {out}/report.html has plots"
        )


@app.command()
def scale(
    recipe: RecipeFile = None,
    corpus: Corpora = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option("--out", help="folder of the study; the same command goes on")] = None,
    depth: Annotated[list[int], typer.Option(help="a size; may be given several times", min=1)] = [1, 2, 3, 4],  # noqa: B006
    tokens: Annotated[list[int], typer.Option(help="a length of training; likewise", min=1)] = [500_000, 1_000_000],  # noqa: B006
    flops: Annotated[float, typer.Option(help="compute to advise a model for; 0: no advice", min=0)] = 0.0,
    changes: Changes = [],  # noqa: B006
) -> None:
    """Small runs at several sizes, a law fitted to them, and the model that it advises for a budget.

    Example: python -m trainer scale --corpus demo/run --out demo/study --depth 1 --depth 2 --depth 3 --flops 1e15
    """
    from trainer import recipe as recipes
    from trainer import scale as studies

    settings = recipes.load(recipe, changes)
    if not corpus or out is None:
        _fail(f"no {'--out DIR' if corpus else '--corpus RUN'}: see python -m trainer scale --help", 2)
    else:
        found = studies.study(settings, corpus, out, depths=depth, tokens=tokens, budget_flops=flops)
        print("\n".join(studies.lines(found)))
        best = f"{out}/advised.toml" if found.recipe else "RECIPE"
        print(f"next: python -m trainer {best} --corpus {corpus[0]} --out MODEL   # {out}/report.html has plots")


_COMMANDS = ("train", "tokenizer", "show", "lineage", "export", "generate", "chat", "tune", "scale")


def arguments(given: list[str]) -> list[str]:
    """What the command line means: without a command's name, `train`. A recipe called like a command needs a ./."""
    if not given or given[0] in (*_COMMANDS, "-h", "--help"):
        return given
    return ["train", *given]


def main() -> Any:
    """Run the command line; every foreseen failure is one line on stderr, of the first rank that meets it."""
    try:
        return app(arguments(sys.argv[1:]), prog_name="python -m trainer", standalone_mode=True)
    except Failure as error:
        _fail(str(error), error.status)
    except OSError as error:  # a file that is not there, a folder that cannot be written, a full disk
        _fail(str(error), 1)


def _first_rank() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _fail(message: str, status: int) -> None:
    rank = "" if _first_rank() else f" (rank {os.environ['RANK']})"
    print(f"error{rank}: {message}", file=sys.stderr)
    sys.exit(status)
