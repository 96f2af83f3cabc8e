"""Samples of a model with fixed seeds, each beside what a person wrote after the same prompt, and checks of both.

A check is read beside its value on human continuations of the same length: that is what good text scores.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from eval import text_checks
from eval.document_losses import Scorer
from eval.documents import Document, read_lines
from eval.intervals import Interval, by_unit, ratio, statistic
from eval.results import NoResult

SAMPLES = pa.schema(
    [
        ("id", pa.string()),  # of the prompt: a document's, or its number in the file
        ("source", pa.string()),
        ("lang", pa.string()),
        ("sample", pa.int32()),  # number of the sample on this prompt
        ("prompt", pa.large_string()),
        ("text", pa.large_string()),
        ("human", pa.large_string()),  # what a person wrote there, of at most as many tokens; empty where not known
        ("ended", pa.bool_()),  # the model ended the text by itself
        ("tokens", pa.int64()),
        ("checks", pa.map_(pa.string(), pa.float64())),
        ("human_checks", pa.map_(pa.string(), pa.float64())),
    ],
    metadata={"winnow.samples": "1"},
)
CHECKED = pa.schema(
    [
        ("check", pa.string()),
        ("better", pa.string()),
        ("model", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("human", pa.float64()),
        ("human_low", pa.float64()),
        ("human_high", pa.float64()),
        ("prompts", pa.int64()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Prompt:
    """What a model goes on from."""

    id: str
    text: str
    human: str = ""
    source: str = ""
    lang: str = ""


@dataclasses.dataclass(frozen=True)
class Asked:
    """How samples are drawn."""

    samples: int = 1  # of each prompt
    prompt_tokens: int = 32  # of a document that are its prompt
    max_tokens: int = 96
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0


def of_documents(documents: Sequence[Document], scorer: Scorer, asked: Asked, limit: int) -> list[Prompt]:
    """The first tokens of documents that are long enough to go on, each with its own continuation."""
    out = []
    for document in documents:
        ids = scorer.encoded(document.text)
        if len(ids) >= asked.prompt_tokens + 8:  # fewer tokens are no continuation to compare with
            cut = asked.prompt_tokens
            prompt = scorer.tokenizer.decode(ids[:cut])
            human = scorer.tokenizer.decode(ids[cut : cut + asked.max_tokens])
            out.append(Prompt(document.id, prompt, human, document.source, document.lang))
        if len(out) == limit:
            break
    return out


def of_file(path: Path) -> list[Prompt]:
    """Prompts of a JSONL file ({prompt, human}), or of a text file, a line each. Raises NoResult, NoDocuments."""
    if not path.is_file():
        raise NoResult(f"{path}: there is no such file of prompts")
    if path.suffix != ".jsonl":
        lines = [line for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
        return [Prompt(f"line {number}", line) for number, line in enumerate(lines, 1)]
    out = []
    for number, row in read_lines(path):
        if not isinstance(row.get("prompt"), str):
            raise NoResult(f"{path}: line {number} has no `prompt`")
        out.append(Prompt(str(row.get("id") or f"line {number}"), row["prompt"], str(row.get("human") or "")))
    return out


def draw(scorer: Scorer, prompts: Sequence[Prompt], asked: Asked) -> pa.Table:
    """A row of SAMPLES for each sample. The n-th sample of a prompt has the seed `seed + n`."""
    from trainer.generate import Sampling, generate

    end = scorer.tokenizer.end
    ids = [[end, *scorer.encoded(prompt.text)][-scorer.length :] for prompt in prompts]
    rows: list[dict[str, Any]] = []
    for number in range(asked.samples):
        sampling = Sampling(
            asked.max_tokens, asked.temperature, asked.top_p, asked.seed + number, (end,), context=scorer.length
        )
        made = generate(scorer.model, ids, sampling)
        for prompt, tokens in zip(prompts, made, strict=True):
            text = scorer.tokenizer.decode(tokens)
            rows.append(_row(prompt, number, text, len(tokens), len(tokens) < asked.max_tokens))
    return pa.Table.from_pylist(rows, schema=SAMPLES)


def _row(prompt: Prompt, number: int, text: str, tokens: int, ended: bool) -> dict[str, Any]:
    told = {"id": prompt.id, "source": prompt.source, "lang": prompt.lang, "sample": number, "prompt": prompt.text}
    checks = {**text_checks.check(text, prompt.text), "ended": float(ended)}
    if prompt.human:
        checks["length_ratio"] = text_checks.length_ratio(text, prompt.human)
    human = text_checks.check(prompt.human, prompt.text) if prompt.human else {}
    told |= {"text": text, "human": prompt.human, "ended": ended, "tokens": tokens}
    return {**told, "checks": _known(checks), "human_checks": _known(human)}


def _known(checks: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in checks.items() if not math.isnan(value)}


def with_checks(rows: pa.Table, model: Sequence[dict[str, float]], human: Sequence[dict[str, float]]) -> pa.Table:
    """The same rows with further checks of each sample and of its human continuation."""
    found = rows.to_pylist()
    for row, mine, theirs in zip(found, model, human, strict=True):
        row["checks"] = {**dict(row["checks"]), **_known(mine)}
        row["human_checks"] = {**dict(row["human_checks"]), **(_known(theirs) if row["human"] else {})}
    return pa.Table.from_pylist(found, schema=rows.schema)


def summary(rows: pa.Table) -> pa.Table:
    """A row of CHECKED for each check: the mean over prompts of samples and of human texts, then of all together."""
    found = rows.to_pylist()
    better = {check.name: check.better for check in text_checks.CHECKS} | _BETTER
    names = dict.fromkeys(name for row in found for name, _ in row["checks"])
    out = []
    for name in names:
        mine, theirs = (_mean(found, name, column) for column in ("checks", "human_checks"))
        out.append(_checked(name, better.get(name, "human"), mine, theirs))
    for name, of in {"distinct_2": text_checks.distinct, "self_bleu": text_checks.self_bleu}.items():
        # a sample of each prompt, so that many prompts are compared with as many human texts
        first = [row for row in found if row["sample"] == 0][:_ALIKE]
        sides = [_of_many([row[side] for row in first if row[side].strip()], of) for side in ("text", "human")]
        out.append(_checked(name, "human", *sides))
    return pa.Table.from_pylist(out, schema=CHECKED)


_BETTER = {
    "order_score": "human",
    "responsiveness": "human",
    "support": "human",
    "ended": "human",
    "length_ratio": "human",
}
_ALIKE = 60  # texts of which likeness is measured: its cost grows with the square
_DRAWS = 40  # each is a whole measurement


def _mean(rows: Sequence[dict[str, Any]], name: str, column: str) -> Interval:
    values = [(row["id"], dict(row[column])[name]) for row in rows if name in dict(row[column])]
    total, count = by_unit([u for u, _ in values], [v for _, v in values], [1.0] * len(values)) if values else ([], [])
    return ratio(total, count)


def _of_many(texts: Sequence[str], of: Any) -> Interval:
    def at(chosen: Any) -> float:
        # a text drawn twice is like itself, which would look like little variety: each counts once
        return float(of([texts[i] for i in np.unique(chosen)]))

    return statistic(len(texts), at, draws=_DRAWS)


def _checked(name: str, better: str, mine: Interval, theirs: Interval) -> dict[str, Any]:
    numbers = (mine.value, mine.low, mine.high, theirs.value, theirs.low, theirs.high)
    known = [None if math.isnan(x) else x for x in numbers]
    keys = ("model", "low", "high", "human", "human_low", "human_high")
    return {"check": name, "better": better, **dict(zip(keys, known, strict=True)), "prompts": mine.units}
