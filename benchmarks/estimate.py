"""How far `python -m corpus estimate` is off: a sample, then a real build of ten times as much.

    python benchmarks/estimate.py [--recipe corpus/recipes/web.toml] [--input FILE] [--split-mb 0.5] [--workers 2]

A tenth of the input's parts is the sample; the build is of all of them. Processor seconds are compared (of the whole
command, its workers included; its start, measured on a build of one page for each worker, is taken off), documents,
words, shuffle and disk as the run has them. Expected: within 20 %.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
from curation import ROOT, SHARED, timed

from corpus import recipe as recipes
from corpus.estimate import estimate
from corpus.plan import plan


def build(recipe: Path, out: Path, overrides: list[str], workers: int) -> float:
    """Processor seconds of a whole build, its workers included."""
    command = [sys.executable, "-m", "corpus", "build", recipe, "--out", out, "--workers", str(workers), *overrides]
    return timed(command, out.parent / "log").cpu


def main() -> int:
    """Estimate, build, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "corpus" / "recipes" / "web.toml")
    parser.add_argument("--input", default=str(SHARED / "data" / "web" / "web.warc.gz"))
    parser.add_argument("--split-mb", type=float, default=0.5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    settings = [f'sources.0.files=["{options.input}"]', f"write.split_mb={options.split_mb}"]
    overrides = [word for setting in settings for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiny").mkdir()
        for number in range(options.workers):  # a page for each worker, so that each loads all that it needs
            page = (
                f"<html lang=en><body><p>{number} mills stand by the river, and grind in the morning.</p></body></html>"
            )
            (folder / "tiny" / f"{number}.html").write_text(page)
        changes = [f'sources.0.files=["{folder}/tiny"]', 'sources.0.kind="html"', "write.split_mb=0.0000001"]
        small = [word for change in changes for word in ("--set", change)]
        start = build(options.recipe, folder / "start", small, options.workers)
        seconds = build(options.recipe, folder / "run", overrides, options.workers) - start
        told = json.loads((folder / "run" / "manifest.json").read_text())
        text = pq.read_table(folder / "run" / "docs", columns=["text"])["text"]
        words = pc.sum(pc.count_substring_regex(text, r"\S+")).as_py()
        sizes = {path: path.stat().st_size for path in (folder / "run").rglob("part-*") if path.is_file()}
    # Last: it leaves a server of workers, which the builds' children would be waited for with.
    planned = plan(recipes.load(options.recipe, settings))
    found = estimate(options.recipe, settings, max(1, len(planned.parts) // 10))
    disk = found.whole.stages_bytes + found.whole.output_bytes
    pairs = [
        ("documents read", found.whole.read, told["read"]),
        ("documents kept", found.whole.kept, told["docs"]),
        ("words kept", found.whole.words, words),
        ("core-seconds", found.whole.core_hours * 3600, seconds),
        ("disk, bytes", disk, sum(sizes.values())),
    ]
    print(f"{found.num_sampled} of {found.num_parts} parts sampled")
    print(f"{start:.1f} s of start taken off the build's")
    print(f"{'':16} {'estimated':>14} {'built':>14} {'error':>7}")
    for name, guessed, real in pairs:
        print(f"{name:16} {guessed:14,.0f} {real:14,.0f} {guessed / real - 1:+7.1%}")
    return 0


if __name__ == "__main__":
    main()
