"""Proof that documents stand behind an error: learn them once more, or train a model without them; beside controls.

Ranks only make suspects. A document is called harmful when what it does to log p(wrong) - log p(right) is more than
what any of the controls does.
"""

import dataclasses
import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus import schema
from corpus.parts import writing
from corpus.write import Tally
from eval import loss_drop, pieces
from eval.chance import digest
from eval.mistakes import Mistake
from trainer import recipe as recipes
from trainer.files import read_json

if TYPE_CHECKING:
    from eval.ladder import Ladder, Trace
    from trainer.model import Transformer

CONTROLS = 19  # random documents: one that beats them all does so by chance once in twenty times


def margin(ladder: "Ladder", model: "Transformer", mistake: Mistake) -> float:
    """log p(wrong) - log p(right), or log p(wrong) alone; mean over the wordings of the prompt, in nats."""
    out = -_nats(ladder, model, mistake, mistake.wrong)
    return out + _nats(ladder, model, mistake, mistake.right) if mistake.right else out


def _nats(ladder: "Ladder", model: "Transformer", mistake: Mistake, answer: str) -> float:
    rows = ladder.answers(mistake, answer)
    return float(pieces.losses(model, rows, ladder.end, 1)[0]) / max(len(rows), 1)


def tail_patch(ladder: "Ladder", traces: Sequence["Trace"], top: int, controls: int = CONTROLS) -> None:
    """Of each error's first documents: how the margin changes by one step on that document (TrackStar's tail-patch).

    All at the checkpoint where the model learnt fastest last: where it knows its documents by heart, one more step on
    them tells little.
    """
    every = sorted(range(len(ladder.documents)), key=lambda n: digest("control", ladder.documents[n].id))
    with ladder.costs.stage("patch") as cost, ladder.at(ladder.learning()):
        for trace in traces:
            chosen = [number for number, _ in trace.fused[:top]]
            seen = {number for number, _ in trace.fused}
            drawn = [number for number in every if number not in seen][:controls]
            before = margin(ladder, ladder.subject.model, trace.mistake)
            changes = {number: _patched(ladder, trace.mistake, number) - before for number in [*chosen, *drawn]}
            asked = len(trace.mistake.prompts) * (1 + bool(trace.mistake.right))
            cost.add(len(changes), asked + len(changes) * (1 + asked), len(changes))
            trace.proved = {number: changes[number] for number in chosen}
            if len(drawn) == controls:  # fewer prove nothing
                limit = max(0.0, *(changes[number] for number in drawn))
                trace.harmful |= {number for number in chosen if changes[number] > limit}


def _patched(ladder: "Ladder", mistake: Mistake, number: int) -> float:
    model = ladder.subject.model
    with loss_drop.moved(model, ladder.pieces([number]), ladder.end, steps=1):
        return margin(ladder, model, mistake)


@dataclass(frozen=True)
class LeftOut:
    """Margins of one error in three proxies: trained on everything, without the documents, without random ones."""

    full: float
    without: float
    random: float

    @property
    def change(self) -> float:
        """How far the margin falls when the documents are gone, beside random ones being gone."""
        return self.random - self.without

    @property
    def harmful(self) -> bool:
        """Whether that is more than what removing random documents does, in either direction."""
        return self.change > abs(self.full - self.random)


def leave_out(
    ladder: "Ladder", traces: Sequence["Trace"], run: Path, top: int, out: Path, changes: Sequence[str] = ()
) -> list[LeftOut]:
    """Train the model's recipe again on the run as it is, without the first documents of all errors, and without as
    many random ones; say what becomes of each error. `changes` (a.b=c) make the proxy smaller.

    What is trained already in `out` is not trained again. Three trainings; their documents are counted as read.
    """
    if ladder.subject.folder is None:
        raise ValueError("a model without a folder has no recipe to train again")
    removed = {ladder.documents[number].id for trace in traces for number, _ in trace.fused[:top]}
    drawn = sorted((d.id for d in ladder.documents if d.id not in removed), key=lambda name: digest("left out", name))
    arms: dict[str, Collection[str]] = {"full": (), "without": removed, "random": drawn[: len(removed)]}
    found: dict[str, list[float]] = {}
    with ladder.costs.stage("retrain") as cost:
        for name, gone in arms.items():
            model = _trained(ladder.subject.folder, run, gone, out / name, changes)
            found[name] = [margin(ladder, model, trace.mistake) for trace in traces]
            cost.add(len(ladder.documents) - len(gone))
    results = [LeftOut(*values) for values in zip(found["full"], found["without"], found["random"], strict=True)]
    for trace, result in zip(traces, results, strict=True):
        if result.harmful:
            trace.harmful |= {number for number, _ in trace.fused[:top]}
    return results


def _trained(folder: Path, run: Path, gone: Collection[str], out: Path, changes: Sequence[str]) -> "Transformer":
    from trainer.checkpoint import load_model
    from trainer.train import train

    recipe = proxy_recipe(folder, changes)
    key = digest(json.dumps(recipes.plain(recipe)), (run / "manifest.json").read_text("utf-8"), *sorted(gone))
    if not (out / "key").is_file() or (out / "key").read_text() != key:
        shutil.rmtree(out, ignore_errors=True)
        without(run, gone, out / "run")
        (out / "key").write_text(key)
    train(recipe, [out / "run"], out / "model")
    return load_model(out / "model", "last")[0]


def proxy_recipe(folder: Path, changes: Sequence[str]) -> recipes.Recipe:
    """The recipe of a model with some settings changed, and the model's own tokenizer. Raises RecipeError."""
    raw: dict[str, Any] = read_json(folder / "recipe.json")
    for change in changes:
        recipes._put(raw, change)
    recipe = recipes.parse(raw, str(folder / "recipe.json"))
    tokenizer = dataclasses.replace(recipe.tokenizer, path=str((folder / "tokenizer").resolve()))
    return dataclasses.replace(recipe, tokenizer=tokenizer)


def without(run: Path, gone: Collection[str], out: Path) -> Path:
    """A copy of a run that lacks some documents: what a trainer reads of it, and no more."""
    told, tally = read_json(run / "manifest.json"), Tally()
    removed = pa.array(sorted(gone), pa.string())
    for part in told["parts"]:
        with (
            pq.ParquetFile(run / "docs" / f"part-{part}.parquet") as file,
            writing(out / "docs" / f"part-{part}.parquet", schema.DOCUMENT) as kept,
        ):
            for batch in file.iter_batches():
                table = pa.Table.from_batches([batch])
                table = table.filter(pc.invert(pc.is_in(table["id"], removed)))
                kept.write(table)
                tally.add(table, schema.LEDGER.empty_table())
    told = {"schema": told["schema"], "parts": told["parts"], "read": told["read"], **tally.counts()}
    (out / "manifest.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")
    return out


def mean_change(results: Sequence[LeftOut]) -> float:
    """Over errors, in nats; nan without any."""
    return float(np.mean([result.change for result in results])) if results else float("nan")
