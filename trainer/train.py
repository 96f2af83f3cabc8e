"""The loop: read, learn or refuse, evaluate, keep. What a step reads is a function of its number, so it can be redone.

Steps count from 1; a checkpoint of step n holds what n steps came to.
"""

import contextlib
import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainer import checkpoint, evaluate, journal, lineage, progress, schedule
from trainer.files import locked, write_jsonl
from trainer.learner import Learner
from trainer.loader import Loader
from trainer.ranks import Ranks, joined
from trainer.recipe import Recipe
from trainer.refusal import Refusals
from trainer.start import Start, begin

OnEvaluation = Callable[[int, float], bool]


@dataclass(frozen=True)
class Result:
    """What a run has come to. bits_per_byte is of the best step, over all validation text; nan without any."""

    steps: int
    tokens: int  # learnt from
    bits_per_byte: float
    best_step: int
    folder: Path
    finished: bool = True


def train(
    recipe: Recipe,
    corpora: Sequence[Path],
    out: Path,
    *,
    restore: str = "last",
    init: str = "",
    extend_vocab: bool = False,
    on_evaluation: OnEvaluation | None = None,
) -> Result:
    """Train, or go on with what `out` holds. on_evaluation(step, bits_per_byte) -> True ends the run there.

    Raises UsageFailure before any work for what cannot be done as asked, and Failure for what went wrong.
    """
    with (
        joined(recipe.train.device) as ranks,
        locked(out) if ranks.first else contextlib.nullcontext(),
        _arithmetic(recipe, ranks) if ranks.device.type == "cpu" else contextlib.nullcontext(),
    ):
        run = Run(recipe, begin(recipe, corpora, out, init, extend_vocab, ranks), out, ranks, on_evaluation)
        try:
            return run.run(restore)
        finally:
            run.close()


class Run:
    """One training run on one rank."""

    def __init__(
        self, recipe: Recipe, start: Start, out: Path, ranks: Ranks, on_evaluation: OnEvaluation | None
    ) -> None:
        self.recipe, self.start, self.out, self.ranks = recipe, start, out, ranks
        self._on_evaluation = on_evaluation
        self.learner = Learner(recipe, start, out, ranks)
        self.model, self.optimizers, self.lineage = self.learner.model, self.learner.optimizers, self.learner.lineage
        length = recipe.data.sequence_length
        self._length = length
        self.loader = Loader(
            start.shards, "train", start.order, length, ranks.rank, ranks.size, micro_rows=start.micro_rows
        )
        self.refusals = Refusals(recipe.train.spike_sigmas, recipe.train.refusals)
        self.journal: journal.Journal = journal.NoJournal()
        self.meter = progress.Meter(start.steps, 0, loud=False)
        self.step = self.tokens = 0
        self.best: tuple[float, int] = (math.inf, 0)  # bits per byte, step
        self.without_better = 0  # evaluations
        self.finished = False
        self.asked_to_stop = False  # this rank was, by a signal
        self.stopping = False  # all ranks agreed to
        name = torch.cuda.get_device_name(ranks.device) if ranks.device.type == "cuda" else ""
        self._peak = journal.peak_tflops(name, recipe.train.peak_tflops)

    def run(self, restore: str) -> Result:
        """From where the folder's checkpoints are to the last step, or to where something ends it."""
        self._resume(restore)
        with _stopping(self):
            while self.step < self.start.steps and not self.finished and not self.stopping:
                self._once()
        bits, step = self.best
        done = self.finished or self.step >= self.start.steps
        return Result(self.step, self.tokens, bits if step else math.nan, step, self.out, done)

    def close(self) -> None:
        self.loader.close()
        self.learner.close()
        self.journal.close()
        self.meter.close()

    def _resume(self, restore: str) -> None:
        if self.ranks.first:
            checkpoint.sweep(self.out)
        found = checkpoint.restore(self.out, restore) if checkpoint.listed(self.out) else None
        self._load(found)
        self.ranks.wait()
        if self.ranks.first:
            abandoned = [step for step in checkpoint.listed(self.out) if step > self.step]
            checkpoint.remove(self.out, abandoned)
            lineage.cut(self.out, self.step)
            self.journal = journal.Journal(self.out, found.state["journal_bytes"] if found else 0, self.step)
        self.meter = progress.Meter(self.start.steps, self.step, loud=self.ranks.first)
        if weights := self.start.document_weights:
            self.meter.say(f"{weights.count:,} documents do not count as one (weights.parquet of the corpus)")
        if found:
            self.meter.say(f"going on from step {self.step:,} of {self.start.steps:,}")

    def _load(self, found: checkpoint.Checkpoint | None) -> None:
        """Take over a checkpoint, or the beginning."""
        if found is None:
            self.learner.reset(self.start.weights)
            self.step = self.tokens = self.without_better = 0
            self.best = (math.inf, 0)
            self.refusals.losses.clear()
            return
        self.model.load_state_dict(found.model)
        self.optimizers.load(found.optimizer)
        state = found.state
        self.step, self.tokens = found.step, state["tokens"]
        self.best = (state["best"][0], state["best"][1]) if state["best"] else (math.inf, 0)
        self.without_better, self.finished = state["without_better"], state["finished"]
        self.refusals.load(state["refusals"])

    def _once(self) -> None:
        """The next step, and what is due after it."""
        self.step += 1
        if self.step in self.refusals.skipped:
            self.journal.write("skipped", self.step)
        elif not self._learn(self.step):
            return self._go_back()
        train, step = self.recipe.train, self.step
        last = step == self.start.steps
        bits, better = None, False
        if last or step % (train.evaluate_every or math.ceil(self.start.steps / 10)) == 0:
            bits, better = self._evaluate(step)
        due = step % train.checkpoint_every == 0 if train.checkpoint_every else bits is not None
        stable = step == schedule.stable_until(self.start.steps, self.recipe.optimizer)
        if due or last or better or stable or self.finished or self.stopping:
            self._save(bits)
        return None

    def _learn(self, step: int) -> bool:
        """One optimiser step. False where it was refused, and so many in a row that the run should go back."""
        batches = self.loader.step(step - 1)
        found = self.learner.gradients(step, batches, self.asked_to_stop)
        self.stopping = found.stop
        warm = step > schedule.warmup_steps(self.start.steps, self.recipe.optimizer)
        reason = self.refusals.reason(found.loss, found.norm, warm)
        share = schedule.share(step, self.start.steps, self.recipe.optimizer)
        if reason or not found.tokens:
            self.optimizers.zero_grad()
            return self._refuse(step, reason) if reason else True
        self.optimizers.set_share(share)
        self.optimizers.step()
        self.optimizers.zero_grad()
        self.refusals.accept(step, found.loss)
        self.tokens += found.tokens
        told = {"loss": found.loss, "tokens": self.tokens, "share": share, "gradient_norm": found.norm}
        self.journal.write("step", step, **told, sources=found.sources)
        if timing := self.meter.step(step, found.tokens, found.loss, self._mfu):
            self.journal.time(step, **timing)
        return True

    def _refuse(self, step: int, reason: str) -> bool:
        """Note a step that is not learnt from, with its documents; False when the run should go back."""
        mine = self.lineage.documents(step)
        documents = lineage.merged([row for rows in self.ranks.gather(mine) for row in rows])
        self.journal.write("refused", step, reason=reason, documents=documents)
        worst = documents[0]["id"] if documents else "unknown (train.lineage is off)"
        self.meter.say(f"step {step} refused: {reason}; its worst document is {worst}")
        self._refused_documents = [row["id"] for row in documents]
        return not self.refusals.refuse(step)

    def _go_back(self) -> None:
        """To the last checkpoint before anything was refused; what was is skipped from now on."""
        came_to, refused = self.step, set(self.refusals.in_a_row)
        good = [step for step in checkpoint.listed(self.out) if step < min(refused)]
        found = checkpoint.restore(self.out, str(good[-1])) if good else None
        to = found.step if found else 0
        self.refusals.go_back(to, self._refused_documents)
        kept = self.refusals.state()
        self._load(found)
        self.refusals.load({**kept, "losses": list(self.refusals.losses)})
        self.lineage.take_back(to, refused, self.ranks.size)
        self.journal.write("went back", came_to, to=to, skipped=sorted(refused))
        self.meter.say(f"went back from step {came_to} to step {to}; steps {sorted(refused)} are skipped")

    def _evaluate(self, step: int) -> tuple[float | None, bool]:
        """Bits per byte of the validation text, and whether that is the best so far."""
        train = self.recipe.train
        found = evaluate.scores(
            self.model, self.start.shards, self._length, self.recipe.data.validation_max_tokens,
            self.start.micro_rows, self.ranks, self.learner.lanes,
        )  # fmt: skip
        bits = evaluate.overall(found)
        if self.ranks.first and train.sample_tokens and train.sample_prompts:
            made = evaluate.samples(
                self.model, self.start.tokenizer, train.sample_prompts, train.sample_tokens, train.seed
            )
            write_jsonl(self.out / "samples" / f"step-{step:08}.jsonl", made)
        if not found:
            self.meter.pause()
            return None, False
        sources = {name: {"bits_per_byte": part.bits_per_byte, "bytes": part.bytes} for name, part in found.items()}
        self.journal.write("evaluation", step, bits_per_byte=bits, sources=sources)
        self.meter.say(f"step {step:,}: {bits:.4f} bits per byte of validation text")
        better = bits < self.best[0]
        self.best = (bits, step) if better else self.best
        self.without_better = 0 if better else self.without_better + 1
        self.finished = bool(train.stop_after) and self.without_better >= train.stop_after
        if self._on_evaluation is not None:
            self.finished |= bool(self.ranks.share(self.ranks.first and self._on_evaluation(step, bits)))
        self.meter.pause()
        return bits, better

    def _save(self, bits: float | None) -> None:
        """A checkpoint, after the lineage of all ranks up to it."""
        self.lineage.flush()
        self.ranks.wait()
        if not self.ranks.first:
            return
        state = {
            "bits_per_byte": bits,
            "best": list(self.best) if self.best[1] else None,
            "without_better": self.without_better,
            "finished": self.finished,
            "tokens": self.tokens,
            "refusals": self.refusals.state(),
            "journal_bytes": self.journal.size(),
        }
        checkpoint.save(self.out, self.step, self.model.state_dict(), self.optimizers.state(), state)
        stable = schedule.stable_until(self.start.steps, self.recipe.optimizer)
        checkpoint.prune(self.out, self.recipe.train.keep_last, self.recipe.train.keep_best, {stable, self.best[1]})

    def _mfu(self, tokens_per_second: float) -> float | None:
        flops = self.start.shape.flops_per_token(self._length)
        return journal.mfu(tokens_per_second, flops, self._peak, self.ranks.size)


@contextlib.contextmanager
def _arithmetic(recipe: Recipe, ranks: Ranks) -> Iterator[None]:
    """Threads as asked, and no denormal numbers: softmax gradients underflow to them, and they are 6 times slower."""
    threads, flushed = torch.get_num_threads(), math.ulp(0.0) * 1.0 == 0.0
    torch.set_num_threads(ranks.threads(recipe.train.threads))
    torch.set_flush_denormal(True)
    try:
        yield
    finally:  # both hold for the whole process, which may have other things to do
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)


@contextlib.contextmanager
def _stopping(run: Run) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the run after the step in hand, with a checkpoint; the second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def asked(number: int, _: Any) -> None:
        run.asked_to_stop = True
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, asked)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
