"""`python -m corpus build`: check everything that can be checked, run the stages, prove the books, say what is next."""

import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus import elsewhere
from corpus import recipe as recipes
from corpus.lock import held
from corpus.parts import write_json
from corpus.plan import Plan, plan
from corpus.recipe import Recipe, RecipeError
from corpus.workers import Workers


def build(
    path: Path,
    run: Path,
    overrides: Sequence[str] = (),
    num_workers: int = 1,
    beam_options: Sequence[str] = (),
    corrections: Path | None = None,
) -> dict[str, Any]:
    """Build a run folder from a recipe; returns its manifest. Of `corrections` it obeys the signed rows.

    Raises RecipeError, CorrectionError, FileNotFoundError, FolderInUse, WorkerDied, ConservationError.
    """
    started = time.perf_counter()
    if ":/" in str(run):  # Path makes s3:/ of s3://
        raise RecipeError(
            f"--out {run}: a run is a folder, here or mounted (it is locked, renamed in and mapped into memory); "
            "give a path, and copy the finished run to the store"
        )
    recipe = _corrected(recipes.load(path, overrides), corrections)
    planned = plan(recipe)
    if not planned.parts:
        raise RecipeError(f"{path}: every input file is empty")
    _check_named(recipe, run)
    if elsewhere.asked(beam_options):
        elsewhere.check_addresses(path, planned)
    with held(run):
        _claim(recipe, run)
        _finish_takedown(run)
        _lay_down(recipe, run)
        if elsewhere.asked(beam_options):
            return _stages(recipe, planned, run, None, beam_options, started)
        workers = Workers(min(num_workers, len(planned.parts)))
        try:
            workers.start()
            return _stages(recipe, planned, run, workers, beam_options, started)
        finally:
            workers.close()


def _stages(
    recipe: Recipe, planned: Plan, run: Path, workers: Workers | None, beam_options: Sequence[str], started: float
) -> dict[str, Any]:
    # Beam takes a second to load: the workers load theirs meanwhile. It warns, through the root logger, of cloud
    # libraries that nobody asked for.
    logging.disable(logging.WARNING)
    try:
        from corpus.manifest import finish, write_timing
        from corpus.pipeline import Build
    finally:
        logging.disable(logging.NOTSET)

    stages = Build(recipe, planned, run, workers, beam_options)
    stages()
    proving = time.perf_counter()
    told = finish(recipe, planned, run, stages.tasks)
    stages.seconds["proof"] = time.perf_counter() - proving
    write_timing(run, workers.num_workers if workers else 0, stages.seconds, started)
    return told


def _check_named(recipe: Recipe, run: Path) -> None:
    """What the recipe names besides its input must be there before anything is begun."""
    if recipe.dedup.against:
        from corpus.against import earlier

        earlier(recipe, run)
    if recipe.tombstones:
        from corpus.tombstones import obeyed

        obeyed(run, recipe.tombstones)


def _finish_takedown(run: Path) -> None:
    """What a killed `remove` has written whole takes its place before anything else does."""
    if (run / "stages" / "takedown").exists():
        from corpus.takedown import recover

        recover(run)


def _corrected(recipe: Recipe, file: Path | None) -> Recipe:
    if file is None and not recipe.corrections.file:
        return recipe
    from corpus.corrections import obeying  # loads kernels and DuckDB: only where there are some

    return obeying(recipe, file)


def _lay_down(recipe: Recipe, run: Path) -> None:
    if recipe.corrections.file:
        from corpus.corrections import lay_down

        if unsigned := lay_down(recipe, run):
            print(
                f"corrections: {unsigned:,} unsigned rows of {recipe.corrections.file} are not obeyed", file=sys.stderr
            )


def _claim(recipe: Recipe, run: Path) -> None:
    """Refuse a folder that another recipe began; begin it otherwise. More input is no other recipe."""
    begun = run / "recipe.json"
    now = json.loads(json.dumps(recipe.resolved()))
    if begun.exists():
        changed = sorted(_differences(_settings(json.loads(begun.read_text("utf-8"))), _settings(now)))
        if changed:
            raise RecipeError(
                f"{run}: was begun with another recipe (differs in {', '.join(changed)}); choose another --out"
            )
    write_json(begun, now)


def _settings(resolved: dict[str, Any]) -> dict[str, Any]:
    """A recipe without what it reads: files, earlier runs, tombstones. These may grow from one build to the next."""
    sources = [{key: value for key, value in source.items() if key != "files"} for source in resolved["sources"]]
    dedup = {key: value for key, value in resolved["dedup"].items() if key != "against"}
    rest = {key: value for key, value in resolved.items() if key != "tombstones"}
    return {**rest, "sources": {source["name"]: source for source in sources}, "dedup": dedup}


def _differences(before: Any, now: Any, at: str = "") -> set[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = before.keys() | now.keys()
        return {d for key in keys for d in _differences(before.get(key), now.get(key), f"{at}.{key}" if at else key)}
    return set() if before == now else {at}
