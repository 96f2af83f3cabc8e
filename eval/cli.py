"""The commands of `python -m eval`: parsing, one call each, and what to do next."""

import errno
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from corpus.failures import Failure
from eval.attribute import attribute_command
from eval.compare_commands import compare_command
from eval.error_commands import errors_command
from eval.flag import flag_command
from eval.generate_commands import generate_command, judge_command
from eval.harness_command import harness_command
from eval.loop_commands import loop_command
from eval.scoring_commands import perplexity_command, suite_score_command
from trainer.failures import Failure as TrainerFailure

_SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
app = typer.Typer(help="Evaluate models, trace their errors to documents, correct the corpus.", **_SETTINGS)
suite = typer.Typer(help="Suites: what models are asked. A suite is a versioned JSONL file.", **_SETTINGS)
correct = typer.Typer(help="Corrections: proposed from findings, signed by a person, obeyed by a build.", **_SETTINGS)
app.add_typer(suite, name="suite")
app.add_typer(correct, name="correct")
app.command("attribute")(attribute_command)

Documents = Annotated[Path, typer.Argument(help="a run folder, or a JSONL file with `text`", metavar="RUN|FILE")]
Folder = Annotated[Path, typer.Option("--out", help="folder to write to", metavar="DIR")]
Seed = Annotated[int, typer.Option(help="another seed draws other documents")]


@suite.command("make")
def make_suites(
    documents: Documents,
    out: Folder,
    kinds: Annotated[list[str], typer.Option("--kind", help="cloze, order or relevance; all unless given")] = [],  # noqa: B006
    validation: Annotated[float, typer.Option(help="the share that training held out", min=0, max=1)] = 0.03,
    items: Annotated[int, typer.Option(help="at most, per kind of answer and split", min=1)] = 200,
    seed: Seed = 0,
) -> None:
    """Make suites from documents: facts with a gap, the order of sentences, which continuation belongs.

    Items of held-out documents and of those in training are told apart by the slice `split`.
    Example: python -m eval suite make demo/run --out suites/demo
    """
    from eval import suite_makers
    from eval.documents import load

    chosen = _among(kinds, suite_makers.MAKERS, "--kind")
    found = load(documents)
    for kind in chosen:
        _write_suite(suite_makers.make(found, kind, suite_makers.Settings(validation, items, seed=seed)), out)
    print(f"next: python -m eval suite show {shlex.quote(str(out / f'{chosen[0]}.jsonl'))}")


@suite.command("public")
def public_suite(
    files: Annotated[list[Path], typer.Argument(help="local files: .jsonl, .jsonl.zst, .tar.zst", metavar="FILE...")],
    out: Folder,
    limit: Annotated[int, typer.Option(help="take a fair part of so many items; 0: all", min=0)] = 0,
) -> None:
    """Read LAMBADA, BLiMP, ARC, PIQA, BoolQ, Winogrande and their like from local files. Nothing is fetched.

    Example: python -m eval suite public data/piqa.jsonl.zst data/blimp.tar.zst --out suites/public --limit 1000
    """
    from eval import public_suites

    for file in files:
        _write_suite(public_suites.load(file, limit=limit), out)
    print(f"next: python -m eval suite show {shlex.quote(str(out))}")


@suite.command("show")
def show_suite(
    path: Annotated[Path, typer.Argument(help="a suite, or a folder of suites", metavar="FILE|DIR")],
    examples: Annotated[int, typer.Option(help="items to show of each", min=0)] = 3,
) -> None:
    """What is in a suite: slices with their counts, and a few items.

    Example: python -m eval suite show suites/demo/cloze.jsonl
    """
    from corpus.terminal import console, excerpt, line, table
    from eval.suites import BadSuite, read, slices

    out = console()
    paths = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not paths:
        raise BadSuite(f"{path}: no suite in it")
    for file in paths:
        found = read(file)
        out.print(
            line(f"{found.name}: {len(found.items):,} items, scored by {found.scoring}, hash {found.hash}", "bold")
        )
        for note in found.notes:
            out.print(line(f"note: {note}"))
        counts = [(name, value, n) for name, values in slices(found.items).items() for value, n in values.items()]
        out.print(table(("slice", "value", "items"), counts))
        for item in found.items[:examples]:
            context, right = item.pairs()[item.answer]
            wrong = next((said for at, (_, said) in enumerate(item.pairs()) if at != item.answer), "")
            out.print(line(f"  …{excerpt(context[-60:], 60)} [{excerpt(right, 40)}] not [{excerpt(wrong, 40)}]"))


def _write_suite(made: Any, out: Path) -> None:
    from corpus.parts import writing
    from eval.suites import TABLE, table, write

    write(made, out / f"{made.name}.jsonl")
    with writing(out / f"{made.name}.parquet", TABLE) as file:
        file.write(table(made))
    print(f"{out / made.name}.jsonl: {len(made.items):,} items, hash {made.hash}")
    for note in made.notes:
        print(f"note: {note}")


@app.command()
def facts(
    out: Folder,
    people: Annotated[int, typer.Option(help="invented people, four facts each", min=1)] = 50,
    paraphrases: Annotated[int, typer.Option(help="wordings of each fact, a document each", min=1, max=6)] = 3,
    false_share: Annotated[
        float, typer.Option(help="share of the facts that are also told falsely", min=0, max=1)
    ] = 0.0,
    copies: Annotated[int, typer.Option(help="documents for each false fact", min=1)] = 10,
    seed: Seed = 0,
) -> None:
    """Invented people whose facts are known: a JSONL source for a recipe, the gold list, and probes.

    Example: python -m eval facts --out facts --people 100 --false-share 0.2
    """
    from eval import synthetic_facts

    persons = synthetic_facts.people(people, seed)
    made, gold = synthetic_facts.documents(persons, paraphrases, false_share, copies, seed)
    synthetic_facts.write(out, made, gold)
    print(f"{out}/facts.jsonl: {len(made):,} documents; {out}/gold.parquet says what each states")
    _write_suite(synthetic_facts.probes(persons, paraphrases, seed), out / "probes")
    print(f'next: add to a recipe: [[sources]] name = "facts", kind = "jsonl", files = ["{out}/facts.jsonl"]')


@app.command()
def plant(
    documents: Documents,
    out: Folder,
    share: Annotated[float, typer.Option(help="share of the documents to spoil", min=0, max=1)] = 0.05,
    kinds: Annotated[list[str], typer.Option("--kind", help="only these kinds; all eight unless given")] = [],  # noqa: B006
    hard: Annotated[int, typer.Option(help="good documents that look bad, to be added", min=0)] = 0,
    foreign: Annotated[
        Path | None, typer.Option(help="documents in other languages, instead of made ones", metavar="RUN|FILE")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Put bad data of eight kinds in place of good documents, with a sealed list of which.

    Example: python -m eval plant demo/run --out planted --share 0.05 --hard 90
    """
    from eval import hard_negatives, planting
    from eval.documents import load

    chosen = _among(kinds, planting.KINDS, "--kind")
    texts = [document.text for document in load(foreign)] if foreign else []
    planted = planting.plant(load(documents), share, chosen, seed, texts)
    sources = planting.write(planted, out, hard_negatives.make(hard, seed))
    number = len(planted.documents) + hard
    print(f"{out}: {number:,} documents of {sources} sources, {planted.sealed.num_rows:,} of them bad")
    if not planted.sealed.num_rows:
        print("note: no document was long enough to be spoilt, or the share is too small")
    if sources:
        print(f"next: python -m corpus build {shlex.quote(str(out / 'recipe.toml'))} --out RUN")


@app.command()
def rate(
    a: Annotated[
        Path, typer.Option("--a", help="samples of one model: JSONL with `prompt` and `text`", metavar="FILE")
    ],
    b: Annotated[Path, typer.Option("--b", help="samples of the other, on the same prompts", metavar="FILE")],
    out: Folder,
    port: Annotated[int, typer.Option(help="where on 127.0.0.1", min=1, max=65535)] = 8383,
    seed: Seed = 0,
) -> None:
    """Rate two models blindly on a local page: which text is better, how good each is, where it errs.

    Example: python -m eval rate --a old/samples.jsonl --b new/samples.jsonl --out ratings
    """
    from eval.ratings import Store, pairs
    from eval.serve import serve

    store = Store(out)
    store.begin(pairs(a, b), (_model(a, b), _model(b, a)), seed)
    serve(store, port)
    print(f"{out / 'votes.parquet'}: {store.export(out / 'votes.parquet'):,} votes that stand")
    print(f"next: python -m eval ratings {shlex.quote(str(out))}")


def _model(path: Path, other: Path) -> str:
    """A name that tells the two files apart."""
    return path.stem if path.stem != other.stem else str(path)


@app.command()
def ratings(folder: Annotated[Path, typer.Argument(help="as given to `rate --out`", metavar="DIR")]) -> None:
    """What the votes say: wins, strength, agreement, errors marked; votes.parquet and report.parquet.

    Example: python -m eval ratings ratings
    """
    from corpus.parts import writing
    from corpus.terminal import console, line
    from corpus.terminal import table as shown
    from eval.rating_report import ROWS, report, verdict
    from eval.ratings import BadRating, Store

    if not (folder / "ratings.sqlite").exists():
        raise BadRating(f"{folder}: no ratings here; `python -m eval rate` begins them")
    store = Store(folder)
    number = store.export(folder / "votes.parquet")
    found = report(store.votes(), store.models())
    with writing(folder / "report.parquet", ROWS) as file:
        file.write(found.table())
    out = console()
    out.print(line(f"{number:,} votes that stand; 95 % intervals", "bold"))
    rows = [tuple(row.values()) for row in found.table().to_pylist() if row["units"]]
    out.print(shown(tuple(ROWS.names), rows))
    for what, interval in found.agreement.items():
        out.print(line(f"agreement on {what}: {verdict(interval)}"))
    for model, kinds in found.marked.items():
        out.print(line(f"marked in {model}: {', '.join(f'{n} {kind}' for kind, n in kinds.items()) or 'nothing'}"))


@correct.command("propose")
def propose_corrections(
    findings: Annotated[Path, typer.Argument(help="Parquet or CSV with id and score", metavar="FINDINGS")],
    out: Annotated[Path, typer.Option("--out", help=".csv to edit by hand, or .parquet", metavar="FILE")],
    action: Annotated[str, typer.Option(help="block, weight or mask")] = "block",
    reason: Annotated[str, typer.Option(help="what the ledger will say")] = "flagged_by_model",
    min_score: Annotated[float, typer.Option(help="findings below are left out")] = 0.5,
    most: Annotated[int, typer.Option(help="documents at most, the worst first", min=1)] = 1000,
    weight: Annotated[float, typer.Option(help="for --action weight", min=0)] = 0.1,
    run: Annotated[
        Path | None, typer.Option("--corpus", help="for --action mask: has the texts", metavar="RUN")
    ] = None,
) -> None:
    """Turn findings into unsigned corrections with their evidence.

    Example: python -m eval correct propose flagged.parquet --out corrections.csv --min-score 0.9
    """
    from corpus.corrections import read, save
    from eval import corrections
    from eval.documents import load

    _among([action], ("block", "weight", "mask"), "--action")
    plan = corrections.Plan(action, reason, min_score, most, weight)
    rows = corrections.propose(corrections.findings(findings), plan, load(run) if run else ())
    save(out, rows)
    read(out)  # what a build would refuse is refused now
    print(f"{out}: {len(rows):,} proposals, none signed\nnext: read them, delete what is wrong, then")
    print(f"      python -m eval correct sign {shlex.quote(str(out))} --by NAME")


@correct.command("sign")
def sign_corrections(
    file: Annotated[Path, typer.Argument(help="proposals", metavar="FILE")],
    name: Annotated[str, typer.Option("--by", help="who answers for them", metavar="NAME")],
    ids: Annotated[list[str], typer.Option("--id", help="only these, by their first digits", metavar="ID")] = [],  # noqa: B006
) -> None:
    """Put a name and the time under proposals, all or some: builds obey signed rows only.

    Example: python -m eval correct sign corrections.csv --by "A. Reader" --id 1231e010
    """
    from eval.corrections import sign_file

    done, left = sign_file(file, name, ids)
    print(f"{file}: {done:,} signed by {name}, {left:,} unsigned")
    print(f"next: python -m corpus build RECIPE --out RUN2 --corrections {shlex.quote(str(file))}")


app.command("flag")(flag_command)
app.command("perplexity")(perplexity_command)
app.command("errors")(errors_command)
app.command("compare")(compare_command)
app.command("loop")(loop_command)
app.command("generate")(generate_command)
app.command("judge")(judge_command)
app.command("harness")(harness_command)
suite.command("score")(suite_score_command)


def _among(chosen: list[str], known: Any, option: str) -> list[str]:
    """The chosen names, or all known ones. Raises UnknownName."""
    for name in chosen:
        if name not in known:
            raise UnknownName(f"{option} {name}: there are {', '.join(known)}")
    return chosen or list(known)


class UnknownName(Failure):
    """A name on the command line that names nothing."""

    status = 2


def main() -> Any:
    """Run the command line; every foreseen failure is one line on stderr."""
    try:
        return app(standalone_mode=True)
    except (Failure, TrainerFailure) as error:
        _fail(str(error), error.status)
    except ModuleNotFoundError as error:
        _fail(f"{error.name} is missing; install the extra: pip install 'winnow-corpus[eval]'", 1)
    except OSError as error:
        full = "the disk is full; free some space and run the same command again: "
        _fail(full * (error.errno == errno.ENOSPC) + str(error), 1)


def _fail(message: str, status: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)
