"""`scale`: small runs at several sizes and token counts, a law fitted to them, and what it advises for a budget.

Each run stands in OUT/runs, each result in OUT/runs.parquet at once, so the same command goes on after a kill.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainer import memory, power_law, ranks, recipe_text, train
from trainer.failures import Failure, UsageFailure
from trainer.files import locked, replacing
from trainer.model import Shape, shape_of
from trainer.power_law import LEVEL, Advice, Fit, Interval
from trainer.recipe import Recipe, plain
from trainer.shared_start import Ground, Stopped, check_steps, prepare, short

FRESH_EPOCHS = 4.0  # text read more often teaches clearly less (Muennighoff et al. 2023, arXiv 2305.16264)
FAR = 100.0  # times the compute of the largest run, from where a law is a guess
_MOST_DEPTH = 256
_SCHEMA = pa.schema(
    [
        ("depth", pa.int32()), ("parameters", pa.int64()), ("tokens", pa.int64()), ("epochs", pa.float64()),
        ("bits_per_byte", pa.float64()), ("flops", pa.float64()), ("counted", pa.float64()),
        ("wanted_tokens", pa.int64()),
    ]
)  # fmt: skip

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Run:
    """One finished run."""

    depth: int
    parameters: int  # N: those that every token is multiplied with, the output matrix among them
    tokens: int  # D: learnt from
    epochs: float
    bits_per_byte: float
    flops: float  # 6 N D
    counted: float  # with attention: Shape.flops_per_token
    wanted_tokens: int  # as it was asked for, before rounding to whole steps


@dataclasses.dataclass(frozen=True)
class Study:
    """What came of all runs."""

    folder: Path
    runs: tuple[Run, ...]
    fit: Fit | None  # None: too few runs
    advice: Advice | None
    recipe: Recipe | None  # as OUT/advised.toml holds it
    said: tuple[str, ...]  # the result in words
    doubts: tuple[str, ...]  # why it may be wrong


def study(
    recipe: Recipe,
    corpora: Sequence[Path],
    out: Path,
    *,
    depths: Sequence[int],
    tokens: Sequence[int],
    budget_flops: float,
    on_progress: Progress = print,
) -> Study:
    """Train `recipe` at every depth for every token count, and advise size and tokens for `budget_flops` (0: do not).

    Writes OUT/runs.parquet, report.html and, with a budget, advised.toml. Raises UsageFailure before any work for what
    cannot be done; a run that fails is told and left out.
    """
    cells = _cells(recipe, depths, tokens)
    with locked(out):
        ground = prepare(recipe, corpora, out)
        _check_memory(ground, max(depths))
        fingerprint = json.dumps([plain(short(ground.recipe, 1)), ground.shards.key], sort_keys=True)
        failed: list[str] = []
        try:
            runs = _run_all(cells, ground, corpora, out, fingerprint, failed, on_progress)
        except Stopped as error:
            on_progress(str(error))
            raise SystemExit(0) from None
        found = conclude(out, runs, recipe, ground, budget_flops, failed)
        _write(found, budget_flops)
    return found


def conclude(
    out: Path, runs: Sequence[Run], recipe: Recipe, ground: Ground, budget_flops: float, failed: Sequence[str] = ()
) -> Study:
    """Fit, advise, and say both in words."""
    doubts = list(failed)
    if len(runs) < 5:
        doubts.append(f"no law: {len(runs)} runs came to their end, and five numbers are to be fitted")
        return Study(out, tuple(runs), None, None, None, (), tuple(doubts))
    fit = power_law.fit([r.parameters for r in runs], [r.tokens for r in runs], [r.bits_per_byte for r in runs])
    doubts += [*fit.doubts, *_worn(runs)]
    said = [_law_said(fit, len(runs))]
    if not budget_flops:
        return Study(out, tuple(runs), fit, None, None, tuple(said), tuple(doubts))
    advice = power_law.advise(fit, budget_flops, max(run.flops for run in runs))
    shape, depth = _nearest(recipe, ground.tokenizer.vocab, advice.parameters.value)
    tokens = _whole_steps(budget_flops / 6 / shape.num_parameters(embeddings=False), recipe.train.batch_tokens)
    advised = dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, depth=depth),
        train=dataclasses.replace(recipe.train, tokens=tokens),
    )
    said += _advice_said(advice, shape, tokens, recipe.data.sequence_length)
    doubts += _advice_doubts(advice, tokens / ground.train_tokens)
    return Study(out, tuple(runs), fit, advice, advised, tuple(said), tuple(doubts))


def lines(found: Study) -> list[str]:
    """Runs, law, advice and doubts for a terminal."""
    rows = [["depth", "parameters", "tokens", "epochs", "bits/byte", "FLOPs"]]
    for run in found.runs:
        numbers = [f"{run.parameters:,}", f"{run.tokens:,}", f"{run.epochs:.2f}", f"{run.bits_per_byte:.4f}"]
        rows.append([str(run.depth), *numbers, f"{run.flops:.2e}"])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    told = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    names = ["runs.parquet", "report.html", *(["advised.toml"] if found.recipe else [])]
    files = ", ".join(str(found.folder / name) for name in names)
    return [*told, *found.said, *(f"doubt: {doubt}" for doubt in found.doubts), f"written: {files}"]


def _cells(recipe: Recipe, depths: Sequence[int], tokens: Sequence[int]) -> list[tuple[int, int]]:
    """(depth, tokens) of every run, cheapest first as far as depth times tokens tells."""
    if not depths or not tokens or min(depths) < 1:
        raise UsageFailure("give at least one depth (1 or more) and one token count")
    check_steps(recipe, min(tokens), "--tokens")
    return sorted({(depth, count) for depth in depths for count in tokens}, key=lambda cell: (cell[0] * cell[1], cell))


def _check_memory(ground: Ground, depth: int) -> None:
    model = dataclasses.replace(ground.recipe.model, depth=depth)
    with ranks.joined(ground.recipe.train.device) as here:
        memory.check(shape_of(model, ground.tokenizer.vocab), ground.recipe, here.device)


def _run_all(
    cells: Sequence[tuple[int, int]], ground: Ground, corpora: Sequence[Path], out: Path, fingerprint: str,
    failed: list[str], on_progress: Progress,
) -> list[Run]:  # fmt: skip
    done = _read(out / "runs.parquet", fingerprint)
    for number, (depth, tokens) in enumerate(cells, 1):
        name = f"depth {depth}, {tokens:,} tokens"
        if (depth, tokens) not in done:
            on_progress(f"run {number} of {len(cells)}: {name}")
            try:
                done[depth, tokens] = _run(depth, tokens, ground, corpora, out)
            except (Failure, MemoryError, RuntimeError, ArithmeticError) as error:  # torch's out-of-memory is one
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                failed.append(f"{name}: failed and left out: {reason}")
                on_progress(failed[-1])
                continue
            _save(out / "runs.parquet", list(done.values()), fingerprint)
        on_progress(f"run {number} of {len(cells)}: {name}: {done[depth, tokens].bits_per_byte:.4f} bits per byte")
    return [done[cell] for cell in sorted(set(cells) & set(done))]


def _run(depth: int, tokens: int, ground: Ground, corpora: Sequence[Path], out: Path) -> Run:
    recipe = short(ground.recipe, tokens)
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, depth=depth))
    shape = shape_of(recipe.model, ground.tokenizer.vocab)
    result = train.train(recipe, corpora, out / "runs" / f"depth-{depth}-tokens-{tokens}")
    if not result.finished:
        raise Stopped("stopped; the same command goes on with this run")
    if not math.isfinite(result.bits_per_byte):
        raise Failure(f"bits per byte are {result.bits_per_byte}; lower optimizer.lr")
    size = shape.num_parameters(embeddings=False)
    counted = shape.flops_per_token(recipe.data.sequence_length) * result.tokens
    epochs = result.tokens / ground.train_tokens
    return Run(depth, size, result.tokens, epochs, result.bits_per_byte, 6.0 * size * result.tokens, counted, tokens)


def _read(path: Path, fingerprint: str) -> dict[tuple[int, int], Run]:
    """Results of before; UsageFailure where they are of another study."""
    if not path.exists():
        return {}
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise Failure(f"{path}: cannot be read ({error}); remove it, and its runs are read again") from None
    if (table.schema.metadata or {}).get(b"winnow.study") != fingerprint.encode():
        raise UsageFailure(f"{path}: holds runs of another recipe or corpus; take another --out")
    return {(row["depth"], row["wanted_tokens"]): Run(**row) for row in table.to_pylist()}


def _save(path: Path, runs: Sequence[Run], fingerprint: str) -> None:
    schema = _SCHEMA.with_metadata({"winnow.study": fingerprint})
    with replacing(path) as temporary:
        rows = [dataclasses.asdict(run) for run in runs]
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary, compression="zstd")


def _nearest(recipe: Recipe, vocab: int, parameters: float) -> tuple[Shape, int]:
    """The depth whose model is nearest to a size, as a ratio."""

    def off(depth: int) -> float:
        shape = shape_of(dataclasses.replace(recipe.model, depth=depth), vocab)
        return abs(math.log(shape.num_parameters(embeddings=False) / parameters))

    depth = min(range(1, _MOST_DEPTH + 1), key=off)
    return shape_of(dataclasses.replace(recipe.model, depth=depth), vocab), depth


def _whole_steps(tokens: float, batch_tokens: int) -> int:
    return max(round(tokens / batch_tokens), 1) * batch_tokens


def _law_said(fit: Fit, runs: int) -> str:
    named = ", ".join(f"{name} = {_interval(fit.interval(name))}" for name in ("E", "A", "alpha", "B", "beta"))
    return (
        f"Bits per byte L(N, D) = E + A / N^alpha + B / D^beta, fitted to {runs} runs ({LEVEL:.0%} intervals by "
        f"bootstrap of residuals): {named}. The runs lie {fit.spread:.2%} off it."
    )


def _advice_said(advice: Advice, shape: Shape, tokens: int, length: int) -> list[str]:
    size = shape.num_parameters(embeddings=False)
    attention = shape.flops_per_token(length) / (6 * size) - 1
    return [
        f"For C = 6 N D = {advice.flops:.3g} FLOPs: N = {_interval(advice.parameters)} parameters, D = "
        f"{_interval(advice.tokens)} tokens, which should come to {_interval(advice.loss)} bits per byte.",
        f"Nearest on the depth dial: model.depth = {shape.depth} (N = {size:,}), train.tokens = {tokens:,}. "
        f"Attention at rows of {length} costs {attention:.0%} more than 6 N D counts.",
    ]


def _advice_doubts(advice: Advice, epochs: float) -> list[str]:
    found = []
    if advice.stretch > FAR:
        found.append(f"the budget is {advice.stretch:,.0f} times that of the largest run: far outside what was seen")
    if epochs > FRESH_EPOCHS:
        found.append(
            f"the advised tokens are {epochs:.1f} epochs of this corpus; the law is of fresh text, and text read more "
            f"than {FRESH_EPOCHS:.0f} times teaches clearly less: more documents, or a smaller budget"
        )
    return found


def _worn(runs: Sequence[Run]) -> list[str]:
    worn = sum(run.epochs > FRESH_EPOCHS for run in runs)
    return [f"{worn} runs read the corpus more than {FRESH_EPOCHS:.0f} times, and bend the law"] * bool(worn)


def _interval(found: Interval) -> str:
    if math.isnan(found.low):
        return f"{found.value:.3g}"
    return f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g})"


def _write(found: Study, budget_flops: float) -> None:
    from trainer import search_report  # only now: matplotlib

    if found.recipe is not None:
        said = f"Advised by {len(found.runs)} small runs for {budget_flops:.3g} FLOPs."
        with replacing(found.folder / "advised.toml") as path:
            path.write_text(recipe_text.text(found.recipe, said), "utf-8")
    with replacing(found.folder / "report.html") as path:
        path.write_text(search_report.scale_page(found), "utf-8")
