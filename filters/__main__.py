"""The filter room at the command line: ``python -m filters list | explain | try | train``."""

import dataclasses
import inspect
import json
import sys
import tomllib
import typing
from pathlib import Path
from typing import Annotated, Any, NoReturn

import pyarrow as pa
import typer

import filters
from filters.models import train as training

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
train_app = typer.Typer(no_args_is_help=True, help="Train the model of a filter.")
app.add_typer(train_app, name="train")

Name = Annotated[str, typer.Argument(help="A name that `list` prints, for example quality.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="A setting, for example min_words=30.")]


@app.command("list")
def list_filters() -> None:
    """Name every filter and editor. Example: python -m filters list"""
    for name in filters.names():
        print(f"{name:12} {_manual(filters.find(name)).splitlines()[0]}")


@app.command()
def explain(name: Name) -> None:
    """Print the manual of a filter, its settings and its rules. Example: python -m filters explain quality"""
    cls = _find(name)
    step = _with_defaults(cls)
    print(_manual(cls))
    print(f"\nReads: {', '.join(cls.needs)}. Version {cls.version}.\n\nSettings")
    for field in dataclasses.fields(cls):
        required = "  (required)" if field.default is dataclasses.MISSING else ""
        replay = "  (threshold)" if field.metadata.get("threshold") else ""
        print(f"    {field.name} = {getattr(step, field.name)!r}{required}{replay}")
    if isinstance(step, filters.Filter):
        print("\nRules")
        for rule in step.rules():
            print(f"    {rule.reason}: {rule.signal} {rule.operator} {rule.threshold!r}")


@app.command("try")
def try_filter(name: Name, settings: Settings = None) -> None:
    """Measure one document from standard input. Example: python -m filters try quality --set min_words=5 < page.txt"""
    step = _build(_find(name), settings or [])
    document = sys.stdin.read()
    docs = pa.table({need: pa.array([document if need == "text" else document.strip()]) for need in step.needs})
    if isinstance(step, filters.Editor):
        _show_edits(step, docs)
    else:
        _show_signals(step, docs)


@train_app.command("score")
def train_score(
    good: Annotated[Path, typer.Option(help="Good documents: .txt (one a line), .jsonl, .parquet or a folder.")],
    bad: Annotated[Path, typer.Option(help="Other documents, of the same kinds.")],
    out: Annotated[Path, typer.Option(help="The model: .bin, or .ftz for a quantized one.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the documents.")] = 5,
    learning_rate: Annotated[float, typer.Option(help="Lowered by itself where fastText meets NaN.")] = 0.5,
) -> None:
    """Train a classifier and measure it on a tenth held out.

    Example: python -m filters train score --good books.jsonl --bad web.jsonl --out good.ftz
    """
    settings = training.Training(epochs=epochs, learning_rate=learning_rate)
    try:
        report = training.train(good, bad, out, settings, print)
    except (ValueError, OSError) as error:
        _usage_error(error)
    print(f"learned from {report['learned_from']} documents, measured on {report['held_out']}")
    print(f"AUROC {report['auroc']}; at 0.5 precision {report['precision']}, recall {report['recall']}\n")
    print("min_score    kept  precision  recall")
    for row in report["thresholds"]:
        print(f"{row['min_score']:9.2f}  {row['kept']:6.1%}  {row['precision']:9.3f}  {row['recall']:6.3f}")
    print(f"\nwrote {out} and {out}.json; next: python -m filters try score --set model={out} < page.txt")


def _manual(cls: type[Any]) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _find(name: str) -> type[Any]:
    try:
        return filters.find(name)
    except KeyError as error:
        _usage_error(error.args[0])


def _usage_error(message: object) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(2)


def _with_defaults(cls: type[Any]) -> Any:
    """An instance whose required settings are empty: good for its rules, not for measuring."""
    step = object.__new__(cls)
    for field in dataclasses.fields(cls):
        object.__setattr__(step, field.name, "" if field.default is dataclasses.MISSING else field.default)
    return step


def _build(cls: type[Any], settings: list[str]) -> Any:
    values = dict(_setting(cls, text) for text in settings)
    required = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING and f.name not in values]
    if required:
        _usage_error(f"{cls.__name__} needs --set {required[0]}=VALUE")
    try:
        return cls(**values)
    except (ValueError, OSError) as error:
        _usage_error(error)


def _setting(cls: type[Any], text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    kinds = {f.name: typing.get_type_hints(cls)[f.name] for f in dataclasses.fields(cls)}
    if not equals or key not in kinds:
        _usage_error(f"--set {text}: expected NAME=VALUE with a name of {', '.join(kinds)}")
    try:
        found = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        found = value  # an unquoted word is a string
    kind = typing.get_origin(kinds[key]) or kinds[key]
    if kind is tuple:
        return key, tuple(found) if isinstance(found, list) else (found,)
    if kind is float and type(found) is int:
        return key, float(found)
    if type(found) is not kind:
        _usage_error(f"--set {text}: {key} takes a {kind.__name__}")
    return key, found


def _show_edits(step: filters.Editor, docs: pa.Table) -> None:
    edits = step.edits(docs)
    text = docs["text"][0].as_py()
    for edit in edits.to_pylist():
        print(f"{edit['rule']}: {text[edit['start'] : edit['end']]!r} -> {edit['replacement']!r}")
    print("\nleft:")
    print(filters.apply_edits(docs["text"].cast(pa.large_string()).combine_chunks(), edits)[0].as_py())


def _show_signals(step: filters.Filter, docs: pa.Table) -> None:
    signals = step.measure(docs)
    for name, value in signals.to_pylist()[0].items():
        print(f"{name:28} {json.dumps(value, ensure_ascii=False)}")
    fired = [rule for rule in step.rules() if rule.fires(signals)[0].as_py()]
    for rule in fired:
        print(f"rejected: {rule.reason} ({rule.signal} {rule.operator} {rule.threshold!r})")
    if not fired:
        print("kept")


if __name__ == "__main__":
    app(prog_name="python -m filters")
