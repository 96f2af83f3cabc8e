"""lm-evaluation-harness on our checkpoints, in this process and offline: a model behind its interface, suites as tasks.

Needs the extra `harness`. A suite becomes a task by its form: choices after a context, contexts before one
continuation, or one continuation alone. Tasks of the harness's own YAML form come from a folder.
"""

import logging
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from corpus.failures import Failure
from eval.document_losses import Scorer
from eval.suites import Item, Suite

# Before the first import of `datasets`, which reads them then: nothing is fetched, whatever a task asks for. And the
# harness would start a pool of processes for each bootstrap.
os.environ.update({"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "DISABLE_MULTIPROC": "1"})
logging.getLogger("lm_eval").setLevel(logging.ERROR)

from lm_eval.api.model import LM  # noqa: E402

if TYPE_CHECKING:
    from lm_eval.api.task import Task

FIGURES = pa.schema(
    [
        ("task", pa.string()),
        ("metric", pa.string()),
        ("filter", pa.string()),
        ("found", pa.float64()),
        (
            "low",
            pa.float64(),
        ),  # ends of the 95 % interval: 1.96 of the harness's standard errors; null where it has none
        ("high", pa.float64()),
        ("items", pa.int64()),
        ("higher_is_better", pa.bool_()),
    ],
    metadata={"winnow.harness": "1"},
)
ITEMS = pa.schema(
    [
        ("task", pa.string()),
        ("item", pa.string()),  # of a suite: the item's id; else the number of the document
        ("metrics", pa.map_(pa.string(), pa.float64())),
    ]
)
_METRICS = {"sum": ("acc",), "per_byte": ("acc", "acc_bytes"), "pmi": ("acc", "acc_mutual_info")}
_MAX_TOKENS = 256  # of a generated answer where the task does not say


class CannotHarness(Failure):
    """A task that is not there, or that cannot run offline."""

    status = 2


class Checkpoint(LM):  # type: ignore[misc]
    """A Scorer as the harness asks its models; longer texts than its row slide through it, as elsewhere here."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self._scorer = scorer

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """(log p of the continuation, whether each of its tokens is the likeliest) of each (context, continuation)."""
        found = self._scorer.continuations([request.args[:2] for request in requests])
        return [(-math.fsum(one.nats), bool(one.likeliest.all())) for one in found]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """log p of each text, without its end: that is what the harness divides by words and bytes."""
        found = self._scorer.continuations([("", request.args[0]) for request in requests])
        return [-math.fsum(one.nats) for one in found]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Text up to the first of the task's stop texts; greedy unless the task asks for a temperature."""
        return [self._generated(*request.args[:2]) for request in requests]

    def _generated(self, context: str, asked: dict[str, Any]) -> str:
        from trainer.generate import Sampling, generate

        end, length = self._scorer.tokenizer.end, self._scorer.length
        temperature = float(asked.get("temperature", 0)) if asked.get("do_sample") else 0.0
        tokens = int(asked.get("max_gen_toks", _MAX_TOKENS))
        sampling = Sampling(tokens, temperature, float(asked.get("top_p", 1)), 0, (end,), length)
        prompt = [end, *self._scorer.encoded(context)][-length:]
        text = self._scorer.tokenizer.decode(generate(self._scorer.model, [prompt], sampling)[0])
        stops = asked.get("until") or ()
        for stop in (stops,) if isinstance(stops, str) else stops:
            text = text.split(stop)[0] if stop else text
        return text


def tasks_of(suite: Suite) -> "list[Task]":
    """The suite as tasks, one for each form of its items; none of an empty suite."""
    forms: dict[str, list[Item]] = {}
    for item in suite.items:
        forms.setdefault(_form(item), []).append(item)
    return [
        _task(suite.name if len(forms) == 1 else f"{suite.name}-{form}", form, forms[form], suite.scoring)
        for form in sorted(forms)
    ]


def _form(item: Item) -> str:
    return "contexts" if len(item.prompts) > 1 else "choices" if len(item.choices) > 1 else "continuation"


def _task(name: str, form: str, items: Sequence[Item], scoring: str) -> "Task":
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    rows = [
        {"id": item.id, "prompts": list(item.prompts), "choices": list(item.choices), "answer": item.answer}
        for item in items
    ]
    # A form's own columns; the harness takes a number in place of a text as the place of the right context.
    text, target, choices = {
        "contexts": (lambda row: row["answer"], lambda row: row["choices"][0], lambda row: row["prompts"]),
        "choices": (lambda row: row["prompts"][0], lambda row: row["answer"], lambda row: row["choices"]),
        "continuation": (lambda row: row["prompts"][0], lambda row: row["choices"][0], None),
    }[form]
    metrics = ("acc", "perplexity") if choices is None else _METRICS[scoring]
    config: dict[str, Any] = {
        "task": name, "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)}, "test_split": "test",
        "output_type": "loglikelihood" if choices is None else "multiple_choice", "target_delimiter": "",
        "doc_to_text": text, "doc_to_target": target, "doc_to_choice": choices, "num_fewshot": 0,
        "metric_list": [{"metric": m, "aggregation": "perplexity" if m == "perplexity" else "mean",
                         "higher_is_better": m != "perplexity"} for m in metrics],
    }  # fmt: skip
    return ConfigurableTask(config=config)


def run(
    scorer: Scorer, suites: Sequence[Suite], names: Sequence[str] = (), include: Path | None = None, limit: int = 0
) -> tuple[pa.Table, pa.Table]:
    """(FIGURES, ITEMS) of suites, and of tasks by name with their YAML in `include`. Raises CannotHarness."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    asked: list[Any] = [task for suite in suites for task in tasks_of(suite)]
    # The index of its own tasks is thousands of YAML files: only where one may be named
    manager = TaskManager(include_path=str(include) if include else None, include_defaults=bool(names) and not include)
    unknown = [name for name in names if name not in manager.all_tasks]
    if unknown:
        raise CannotHarness(f"--task {unknown[0]}: the harness has no such task, nor has --include {include or 'DIR'}")
    if not asked and not names:
        return FIGURES.empty_table(), ITEMS.empty_table()
    try:
        found = simple_evaluate(
            Checkpoint(scorer), tasks=[*asked, *names], task_manager=manager, limit=limit or None, bootstrap_iters=1000
        )
    except (OSError, ValueError) as error:  # what `datasets` raises for data that is not on this machine
        raise CannotHarness(f"{', '.join(names)}: {error}; a task's data must lie in local files") from None
    return pa.Table.from_pylist(list(_figures(found)), FIGURES), pa.Table.from_pylist(list(_items(found)), ITEMS)


def _figures(found: Any) -> Iterator[dict[str, Any]]:
    for task, told in sorted(found["results"].items()):
        for key, value in sorted(told.items()):
            metric, comma, name = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = told.get(f"{metric}_stderr,{name}")
            half = 1.96 * error if isinstance(error, float) and not math.isnan(error) else None
            yield {
                "task": task, "metric": metric, "filter": name, "found": float(value),
                "low": None if half is None else value - half, "high": None if half is None else value + half,
                "items": found["n-samples"][task]["effective"],
                "higher_is_better": found["higher_is_better"].get(task, {}).get(metric),
            }  # fmt: skip


def _items(found: Any) -> Iterator[dict[str, Any]]:
    for task, rows in sorted(found["samples"].items()):
        for row in rows:
            metrics = {m: float(row[m]) for m in row["metrics"] if isinstance(row.get(m), int | float)}
            yield {"task": task, "item": str(row["doc"].get("id", row["doc_id"])), "metrics": metrics}
