"""Curation of text alone beside datatrove with FineWeb's settings: same texts, same run, start-up included.

    python benchmarks/text_curation.py [--megabytes 100] [--files 8] [--workers 2] [--repeat 3] [--alone]

Makes JSON lines of real text (benchmarks/resampled.py), deals them to gzip files, then runs as whole processes, in
turn: our build (recipe jsonl.toml, FineWeb's filters, near-dedup 14 x 8) and ../shared/peers/datatrove_fineweb.py in an
environment of its own (benchmarks/curation.py makes it). Prints seconds, MB/s, the ratio, what each kept, and how our
seconds divide among stages. Ratios count, single seconds do not: the machine may be busy.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import resampled
from curation import ROOT, SHARED, Seconds, our_python, theirs, timed

RECIPE = ROOT / "corpus" / "recipes" / "jsonl.toml"
# As datatrove runs C4 for FineWeb, and nothing that FineWeb has not.
STEPS = ["language", "repetition", "quality", "c4_lines", "c4", "fineweb"]


def overrides(texts: Path) -> list[str]:
    """Settings on top of jsonl.toml."""
    files = json.dumps([f"{texts}/*.jsonl.gz"])
    return [f"sources.0.files={files}", f"steps={json.dumps(STEPS)}", "c4_lines.min_words=3", "c4.min_sentences=5"]


def ours(texts: Path, run: Path, workers: int) -> tuple[Seconds, str, dict[str, float]]:
    """Seconds, what was kept, and the seconds of each stage."""
    shutil.rmtree(run, ignore_errors=True)
    sets = [word for setting in overrides(texts) for word in ("--set", setting)]
    command = [our_python(), "-m", "corpus", "build", RECIPE, "--out", run, "--workers", str(workers), *sets]
    seconds = timed(command, run.with_suffix(".log"))
    told = json.loads((run / "manifest.json").read_text())
    clock = json.loads((run / "stages" / "timing.json").read_text())
    near = told["reasons"].get("near_duplicate", 0) + told["reasons"].get("exact_duplicate", 0)
    stages = {**clock["stages"], "total": clock["total"]}
    return seconds, f"{told['docs'] + near:,}, then {told['docs']:,}", stages


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3, help="best of so many runs of ours")
    parser.add_argument(
        "--texts", type=Path, help="a folder to keep the input in, or where it lies from an earlier run"
    )
    parser.add_argument("--alone", action="store_true", help="without the peer")
    options = parser.parse_args()
    if not (SHARED / "data").exists():
        sys.exit(f"{SHARED / 'data'} is not there: this benchmark needs the shared data")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        texts = options.texts or out / "texts"
        if not texts.exists():
            resampled.write(SHARED / "data", texts, options.megabytes * 1e6, options.files)
        count, size = resampled.measured(texts)
        ours(texts, out / "warm", options.workers)  # byte code and kernels, once per clone
        best = min((ours(texts, out / "run", options.workers) for _ in range(options.repeat)), key=lambda run: run[0])
        rows = [("winnow", *best[:2])]
        if not options.alone:
            rows.append(("datatrove", *theirs(texts, out, options.workers)))
    print(f"{count:,} documents, {size / 1e6:.1f} MB of JSON lines, {options.workers} workers, {os.cpu_count()} cores")
    print(f"{'':10} {'seconds':>8} {'MB/s':>7} {'ratio':>7} {'cpu s':>8} {'ratio':>7}  kept before and after dedup")
    peer = rows[-1][1]
    for name, (clock, cpu), kept in rows:
        rate, ratios = size / 1e6 / clock, (peer.clock / clock, peer.cpu / cpu)
        print(f"{name:10} {clock:8.1f} {rate:7.1f} {ratios[0]:6.1f}x {cpu:8.1f} {ratios[1]:6.1f}x  {kept}")
    stages = " · ".join(f"{name} {seconds:.2f}" for name, seconds in best[2].items())
    print(f"stages of ours, s: {stages}; the rest is the interpreter's start, its end and the report")


if __name__ == "__main__":
    main()
