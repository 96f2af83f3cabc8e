"""LAMBADA, BLiMP, ARC, PIQA, BoolQ, Winogrande and their like from local files, in the one form of all suites.

Reads the files of MosaicML's LLM Foundry (`query`/`choices`/`gold`, `context_options`, `context`/`continuation`), of
BLiMP (`sentence_good`/`sentence_bad`), plain or compressed with zstd, or a tar.zst of them. Nothing is fetched.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from eval.chance import digest
from eval.suites import BadSuite, Item, Suite, unique

# Scores are per byte where choices differ in length, as lm-evaluation-harness's acc_norm does; BLiMP's pairs and
# Winogrande's equal continuations are compared by their sums.
_SUM = ("blimp", "winogrande", "winograd", "lambada", "boolq")


def load(path: Path, name: str = "", limit: int = 0) -> Suite:
    """A public test as a suite; `limit` takes an even part of it. Raises BadSuite, FileNotFoundError."""
    name = name or path.name.partition(".")[0]
    items = [_item(row, f"{path}: {file}line {number}", file) for file, number, row in _rows(path)]
    items = list(unique(items))
    if limit:
        items = items[:limit]  # ids are hashes, so the first are a fair draw
    scoring = "sum" if name.startswith(_SUM) else "per_byte"
    notes = () if items else (f"{path.name} has no items",)
    return Suite(name, tuple(items), scoring, {"file": path.name, "limit": limit}, notes)


def _rows(path: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    if path.is_dir():
        for file in sorted(path.glob("*.jsonl*")):
            yield from ((f"{file.name} ", number, row) for _, number, row in _rows(file))
    elif ".tar" in path.name:
        with _opened(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name.endswith(".jsonl") else None
                if content:
                    lines = content.read().decode("utf-8").splitlines()
                    yield from ((f"{Path(member.name).stem} ", n, row) for n, row in _lines(lines, path))
    else:
        with _opened(path) as stream, io.TextIOWrapper(stream, "utf-8") as text:
            yield from (("", number, row) for number, row in _lines(text, path))


def _opened(path: Path) -> Any:
    stream = path.open("rb")
    return zstandard.ZstdDecompressor().stream_reader(stream, closefd=True) if path.suffix == ".zst" else stream


def _lines(lines: Any, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError:
                raise BadSuite(f"{path}: line {number} is no JSON") from None


def _item(row: Any, where: str, file: str) -> Item:
    try:
        prompts, choices, answer, kind = _parsed(row)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadSuite(f"{where}: none of the forms that are read here (missing {error})") from None
    if not 0 <= answer < max(len(prompts), len(choices)):
        raise BadSuite(f"{where}: gold {answer} is none of its choices")
    slices: dict[str, Any] = {"choices": max(len(prompts), len(choices))}
    if kind == "minimal_pair":
        slices["phenomenon"] = row.get("linguistics_term") or file.strip()
        slices["paradigm"] = row.get("UID") or file.strip()
    return Item(digest(json.dumps(row, sort_keys=True), file)[:16], kind, prompts, choices, answer, slices)


def _parsed(row: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...], int, str]:
    if "sentence_good" in row:
        return ("",), (row["sentence_good"], row["sentence_bad"]), 0, "minimal_pair"
    if "context_options" in row:
        options = tuple(option.rstrip() for option in row["context_options"])
        return options, (_spaced(row["continuation"]),), int(row["gold"]), "partial"
    if "choices" in row:
        prompt = row["query"].rstrip()
        return (_cue(prompt),), tuple(_spaced(choice) for choice in row["choices"]), int(row["gold"]), "choice"
    return (row["context"].rstrip(),), (_spaced(row["continuation"]),), 0, "continuation"


def _cue(prompt: str) -> str:
    """ARC and PIQA end with the question; the answer is asked for as their published prompts do."""
    asks = prompt.startswith("Question:") and "\nAnswer:" not in prompt
    return f"{prompt}\nAnswer:" if asks else prompt


def _spaced(text: str) -> str:
    return text if text[:1].isspace() else f" {text}"
