"""How time and memory grow with the number of documents: processor seconds of each stage, and the fitted exponent.

    python benchmarks/growth.py [--documents 10000 30000 100000 300000 1000000] [--workers 1] [--folder DIR]
    python benchmarks/growth.py --source copies --documents 1000000      # near copies of one page
    python benchmarks/growth.py --source none --documents 1000000        # no copies at all
    python benchmarks/growth.py --signatures 10000000                    # deduplication alone, synthetic keys

Texts of some 700 characters (benchmarks/grown.py), whole builds in processes of their own; seconds are the
processor's, of all processes of a build, so that what runs beside it counts less, and its start is apart. The exponent
is the slope of log time over log documents with its 95 % interval (Student's t); what a stage costs however little it
does flattens it, so the slope between the two largest sizes is told too.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import grown
import numpy as np
import watched
from scipy import stats

STAGES = watched.STAGES[1:]
SENTENCES = 6


def fitted(sizes: list[int], seconds: list[float]) -> str:
    """Slope of log over log, its interval, and the slope at the end."""
    x, y = np.log(sizes), np.log(seconds)
    last = (y[-1] - y[-2]) / (x[-1] - x[-2])
    if len(sizes) < 3:
        return f"{last:.2f}"
    line = stats.linregress(x, y)
    half = stats.t.ppf(0.975, len(sizes) - 2) * line.stderr
    return f"{line.slope:.3f} ({line.slope - half:.3f} to {line.slope + half:.3f}), at the end {last:.2f}"


def builds(source: str, sizes: list[int], workers: int, folder: Path) -> None:
    print(
        "| documents | MB | kept | "
        + " | ".join(f"{stage} s" for stage in STAGES)
        + " | by the clock s | main MB | worker MB |"
    )
    print("|---:|" + "---:|" * (len(STAGES) + 5))
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for size in sizes:
        texts = {
            "mixed": grown.lines, "copies": grown.near_copies, "none": grown.without_copies,
        }[source](SENTENCES)  # fmt: skip
        file = folder / "in.jsonl"
        grown.write(file, texts, documents=size)
        (folder / "recipe.toml").write_text(grown.RECIPE.format(file=file, split=4.0, most=16 << 20))
        found = watched.build(folder / "recipe.toml", folder / "run", workers)
        told = [found.processor[stage] for stage in STAGES]
        for stage, spent in zip(STAGES, told, strict=True):
            seconds[stage].append(spent)
        print(f"| {size:,} | {file.stat().st_size / 1e6:.0f} | {found.manifest['docs']:,} | "
              + " | ".join(f"{spent:.1f}" for spent in told)
              + f" | {found.seconds['total']:.0f} | {found.main:.0f} | {found.worker:.0f} |", flush=True)  # fmt: skip
        shutil.rmtree(folder / "run")
    if len(sizes) > 1:
        print("\n| stage | exponent |\n|---|---|")
        for stage in STAGES:
            print(f"| {stage} | {fitted(sizes, seconds[stage])} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 30_000, 100_000, 300_000, 1_000_000])
    parser.add_argument("--source", choices=("mixed", "copies", "none"), default="mixed")
    parser.add_argument("--signatures", type=int, nargs="*")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as temporary:
        if asked.signatures:
            from growth_signatures import signatures

            signatures(asked.signatures, Path(temporary))
        else:
            builds(asked.source, asked.documents, asked.workers, Path(temporary))


if __name__ == "__main__":
    main()
