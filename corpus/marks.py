"""Fingerprints: what each stage's result depends on, so that a restart redoes that and no more."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import xxhash

import filters
from corpus import extraction
from corpus.extraction import wikitext
from corpus.extraction.learned import release
from corpus.plan import Part
from corpus.recipe import EXTRACT, Recipe, digest

# Raised when the code of a stage changes what it writes.
VERSIONS = {"extract": 1, "measure": 1, "dedup": 1, "write": 1}


def stage_settings(recipe: Recipe) -> dict[str, Any]:
    """Per stage the settings that it obeys, as plain data; thresholds count only where something is decided."""
    resolved = recipe.resolved()
    before = recipe.steps[: recipe.steps.index(EXTRACT)] if EXTRACT in recipe.steps else ()
    gates = [*before, *(["language"] if recipe.extract.quick_language and "language" in recipe.settings else [])]
    steps = {
        name: [step.version, filters.measured_settings(step), _contents(step)] for name, step in recipe.settings.items()
    }
    return {
        "extract": [
            VERSIONS["extract"],
            resolved["extract"],
            _engine(recipe),
            [[g, resolved[g], steps[g]] for g in gates],
            *([wikitext.version()] if any(source.kind == "wiki" for source in recipe.sources) else []),
        ],
        "measure": [VERSIONS["measure"], list(recipe.settings), steps, filters.measured_settings(recipe.dedup)],  # type: ignore[arg-type]
        "dedup": [VERSIONS["dedup"], resolved["dedup"], {name: resolved[name] for name in recipe.settings}],
        "write": [
            VERSIONS["write"],
            resolved["write"],
            {name: resolved[name] for name in recipe.settings},
            *([recipe.corrections.sha256] if recipe.corrections.file else []),
        ],
    }


def part_marks(part: Part, settings: dict[str, Any], source: dict[str, Any]) -> dict[str, str]:
    """The fingerprints of one part's first two stages."""
    extract = digest([part.fingerprint, source, settings["extract"]])
    return {"extract": extract, "measure": digest([extract, settings["measure"]])}


def _engine(recipe: Recipe) -> str:
    name = recipe.extract.engine
    packages = {"trafilatura": "trafilatura", "fast": "resiliparse"}
    if name == "blocks":
        return release.version()
    # The version without the import: loading a parser takes half a second that the workers need anyway.
    return f"{name} {version(packages[name])}" if name in packages else extraction.engine(name).version()


def _contents(step: Any) -> dict[str, str]:
    """Hashes of the files that a step's settings name: a swapped model is another setting."""
    found: dict[str, str] = {}
    for value in filters.measured_settings(step).values():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and text and Path(text).exists():
                found[text] = _hash(Path(text))
    return found


def _hash(path: Path) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    hasher = xxhash.xxh3_128()
    for file in files:
        hasher.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                hasher.update(block)
    return hasher.hexdigest()
