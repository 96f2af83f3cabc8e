"""What a build will read, cut into parts: found before any work starts, the same for the same input anywhere.

A part is what one worker does in one go and what one output file holds. Its name is a hash of what it reads, so
that another input file changes only the parts that read it.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path, PurePath

import xxhash

from corpus import files
from corpus.readers import Split, reader
from corpus.recipe import Recipe, Source, digest


@dataclasses.dataclass(frozen=True)
class Part:
    """Splits of one source, read one after the other into one part file."""

    name: str  # 12 hex digits
    source: Source
    splits: tuple[Split, ...]
    fingerprint: str  # of the input files as they are now: path, size, time of change

    @property
    def num_bytes(self) -> int:
        return sum(split.end - split.start for split in self.splits)


@dataclasses.dataclass(frozen=True)
class Task:
    """One part in one stage, with all that a worker needs to know."""

    run: Path
    part: Part
    recipe: Recipe
    marks: dict[str, str]  # stage -> fingerprint of the part's input and of the settings that the stage obeys

    def file(self, folder: str, suffix: str = ".parquet") -> Path:
        return self.run / folder / f"part-{self.part.name}{suffix}"

    def mark(self, stage: str) -> Path:
        return self.file(f"stages/{stage}", ".done.json")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Every part of a build in the order of the recipe, and the files that they read."""

    parts: tuple[Part, ...]
    inputs: tuple[files.FoundFile, ...]


def plan(recipe: Recipe) -> Plan:
    """Find the input files and cut them. Raises FileNotFoundError for a pattern that matches nothing."""
    parts: list[Part] = []
    inputs: list[files.FoundFile] = []
    target = int(recipe.write.split_mb * 1e6)
    for source in recipe.sources:
        found = sorted({file.path: file for pattern in source.files for file in files.find(pattern)}.values())
        inputs += found
        parts += _bundle(source, found, target)
    return Plan(tuple(parts), tuple(inputs))


def _bundle(source: Source, found: list[files.FoundFile], target: int) -> list[Part]:
    """Cut the files of a source so that another file changes little.

    A large file has parts of its own. Small ones share parts, and where a part ends follows from the files at its
    end: after a file that was put between others, the cuts are soon the same again.
    """
    stamps = {file.path: f"{file.size} {file.modified}" for file in found}
    bundles: list[list[Split]] = []
    held: list[Split] = []
    size = 0
    for file in found:
        splits = reader(source.kind).splits(file.path, file.size, target)
        if file.size >= target:
            bundles += _cut(splits, target)
            continue
        if held and (size + file.size > target or _opens(file, target)):
            bundles.append(held)
            held, size = [], 0
        held += splits
        size += file.size
    bundles += [held] if held else []
    return [_part(source, bundle, stamps) for bundle in sorted(bundles, key=lambda splits: splits[0])]


def _cut(splits: list[Split], target: int) -> Iterator[list[Split]]:
    """Neighbouring splits of one file, as many together as the target allows."""
    held: list[Split] = []
    size = 0
    for split in splits:
        if held and size + split.end - split.start > target:
            yield held
            held, size = [], 0
        held.append(split)
        size += split.end - split.start
    if held:
        yield held


def _opens(file: files.FoundFile, target: int) -> bool:
    """Whether a small file begins a part wherever it stands: thrown by its name, on average twice in a full part."""
    name = f"{PurePath(file.path).name} {file.size}"
    return xxhash.xxh3_64_intdigest(name.encode()) * target < (2 * file.size << 64)


def _part(source: Source, splits: list[Split], stamps: dict[str, str]) -> Part:
    where = [f"{split.path} {split.start} {split.end}" for split in splits]
    name = xxhash.xxh3_128_hexdigest("\n".join([source.name, *where]).encode())[:12]
    return Part(name, source, tuple(splits), digest([where, [stamps[split.path] for split in splits]]))
