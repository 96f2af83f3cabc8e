"""`python -m corpus build`: check everything that can be checked, run the stages, prove the books, say what is next."""

import contextlib
import json
import logging
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import elsewhere
from corpus import recipe as recipes
from corpus.failures import Failure
from corpus.files import is_remote
from corpus.lock import held, held_in_store
from corpus.parts import write_json
from corpus.plan import Plan, plan
from corpus.recipe import Recipe, RecipeError
from corpus.scratch import Scratch
from corpus.workers import Workers

if TYPE_CHECKING:
    from corpus.store import Mirror


def build(
    path: Path,
    run: Path | str,
    overrides: Sequence[str] = (),
    num_workers: int = 1,
    beam_options: Sequence[str] = (),
    corrections: Path | None = None,
) -> dict[str, Any]:
    """Build a run from a recipe, in a folder or at an address of a store; returns its manifest.

    Of `corrections` it obeys the signed rows. Raises RecipeError, CorrectionError, FileNotFoundError, FolderInUse,
    WorkerDied, ConservationError, StoreFailed.
    """
    started = time.perf_counter()
    run = _named(run)
    recipe = _corrected(recipes.load(path, overrides), corrections)
    planned = plan(recipe)
    if not planned.parts:
        raise RecipeError(f"{path}: every input file is empty")
    _check_named(recipe, Path(run))
    away = elsewhere.asked(beam_options)
    if away:
        elsewhere.check_addresses(path, planned)
        if is_remote(run) and recipe.dedup.against:
            raise RecipeError(f"{path}: dedup.against: workers that share only a store cannot read earlier runs here")
    with _place(run) as (folder, mirror):
        _claim(recipe, folder)
        _finish_takedown(folder)
        _lay_down(recipe, folder)
        workers = None if away else Workers(min(num_workers, len(planned.parts)))
        try:
            return _stages(recipe, planned, folder, workers, beam_options, started, mirror)
        finally:
            if workers:
                workers.close()


def _named(run: Path | str) -> str:
    """The run's path or address. Raises RecipeError."""
    name = str(run).rstrip("/") or str(run)
    if re.match(r"\w+:/[^/]", name):
        raise RecipeError(f"--out {name}: an address begins with two slashes, as s3://bucket/runs/web-1 does")
    if is_remote(name) and any(letter in name for letter in "*?[]{}"):
        raise RecipeError(f"--out {name}: the address of a run has none of *?[]{{}}")
    return name


@contextlib.contextmanager
def _place(run: str) -> Iterator[tuple[Path, "Mirror | None"]]:
    """The folder in which the planning process works, held for this build: the run, or a mirror of one in a store."""
    if not is_remote(run):
        with held(Path(run)):
            yield Path(run), None
        return
    from corpus.store import Mirror

    with held_in_store(run) as check, Scratch() as folder:
        mirror = Mirror(run, folder, check)
        mirror.look()
        try:
            yield folder, mirror
        except Failure as error:
            error.args = tuple(str(told).replace(str(folder), run) for told in error.args)
            raise


def _stages(
    recipe: Recipe,
    planned: Plan,
    run: Path,
    workers: Workers | None,
    beam_options: Sequence[str],
    started: float,
    mirror: "Mirror | None",
) -> dict[str, Any]:
    # Beam takes a second to load: the server that workers are forked from loads theirs meanwhile, and only then is it
    # asked for some. Beam warns, through the root logger, of cloud libraries that nobody asked for.
    logging.disable(logging.WARNING)
    try:
        from corpus.manifest import finish, write_timing
        from corpus.pipeline import Build
    finally:
        logging.disable(logging.NOTSET)

    if workers:
        workers.start()
    stages = Build(recipe, planned, run, workers, beam_options, mirror)
    stages()
    proving = time.perf_counter()
    told = finish(recipe, planned, run, stages.tasks, mirror)
    stages.seconds["proof"] = time.perf_counter() - proving
    write_timing(run, workers.num_workers if workers else 0, stages.seconds, started)
    if mirror:
        mirror.push()
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
