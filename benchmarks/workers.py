"""How much faster two workers are than one on the web build, as whole processes in turn.

    python benchmarks/workers.py [--rounds 3] [--engine trafilatura]

Runs recipe web.toml over ../shared/data/web/web.warc.gz with 1 and 2 workers in turn and prints each round's seconds
and ratio, and the median ratio. Expected: at least 1.7 on two idle cores.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from curation import ROOT, SHARED, Seconds, timed


def build(out: Path, engine: str, workers: int, number: int) -> Seconds:
    run = out / f"{engine}-{workers}-{number}"
    command = [sys.executable, "-m", "corpus", "build", "corpus/recipes/web.toml", "--out", run]
    return timed([*command, "--workers", str(workers), "--set", f"extract.engine={engine}"], out / "log")


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="trafilatura")
    options = parser.parse_args()
    if not (SHARED / "data" / "web" / "web.warc.gz").exists():
        sys.exit("this benchmark needs ../shared/data/web/web.warc.gz")
    ratios = []
    print(f"{ROOT.name}: web.toml, engine {options.engine}")
    print(f"{'round':>5} {'1 worker':>9} {'2 workers':>10} {'ratio':>6} {'more cpu':>9}")
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), "fast", 2, 0)  # kernels compiled, files read once
        for number in range(1, options.rounds + 1):
            one, two = (build(Path(folder), options.engine, workers, number) for workers in (1, 2))
            ratios.append(one.clock / two.clock)
            more = two.cpu / one.cpu - 1
            print(f"{number:5} {one.clock:8.1f}s {two.clock:9.1f}s {ratios[-1]:5.2f}x {more:+9.1%}", flush=True)
    print(f"median {statistics.median(ratios):.2f}x")


if __name__ == "__main__":
    main()
