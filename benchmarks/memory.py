"""Peak memory of a build by size of its input: a table of VmHWM of the main process and of its largest worker.

    python benchmarks/memory.py [--gb 0.1 1 5] [--compressed-gb 0.3 1] [--workers 1] [--folder DIR] [--no-document]

Text is made by benchmarks/grown.py, one in eight documents a copy, in one JSONL file with a document per line. Then the
same as one .jsonl.gz, which cannot be cut and is one part however large. Then one document of 200 MB, which the limit
of a record makes a ledger row, and two that it lets pass: of sentences, and of words of one letter. A size needs some
seven times its bytes of disk meanwhile. 5 GB take about half an hour on one core.
"""

import argparse
import itertools
import shutil
import sys
import tempfile
from pathlib import Path

import grown
import watched

from corpus.readers import Settings

LIMIT_MB = 1500
MOST = Settings().max_record_bytes
CASES = (  # one document each: of what, fewest bytes of one on average, bytes in all
    ("sentences", grown.sentences, 100, 200_000_000),
    ("sentences", grown.sentences, 100, MOST),
    ("words of one letter", lambda: "abcdefghij", 2, MOST),
)


def measure(folder: Path, label: str, workers: int) -> bool:
    """Print the row of the one file `folder`/in.*; whether it stayed below the limit."""
    [file] = folder.glob("in.*")
    (folder / "recipe.toml").write_text(grown.RECIPE.format(file=file, split=4.0, most=MOST))
    found = watched.build(folder / "recipe.toml", folder / "run", workers)
    told = found.manifest
    print(f"| {label} | {told['read']:,} | {told['docs']:,} | {found.row} | {found.seconds['total']:.0f} |", flush=True)
    shutil.rmtree(folder / "run")
    file.unlink()
    return max(found.main, found.worker) <= LIMIT_MB


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gb", type=float, nargs="*", default=[0.1, 1, 5])
    parser.add_argument("--compressed-gb", type=float, nargs="*", default=[0.3, 1])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sentences", type=int, default=20)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--document", action=argparse.BooleanOptionalAction, default=True)
    asked = parser.parse_args()
    print("| input | documents | kept | main MB | worker MB | all, PSS, MB | seconds |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(dir=asked.folder) as temporary:
        folder, fits = Path(temporary), []
        for size in asked.gb:
            grown.write(folder / "in.jsonl", grown.lines(asked.sentences), num_bytes=size * 1e9)
            fits.append(measure(folder, f"{size:g} GB", asked.workers))
        for size in asked.compressed_gb:
            grown.write(folder / "in.jsonl.gz", grown.lines(asked.sentences), num_bytes=size * 1e9)
            fits.append(measure(folder, f"{size:g} GB in one .jsonl.gz", asked.workers))
        for label, words, least, size in CASES if asked.document else ():
            body = " ".join(itertools.islice(itertools.cycle(words()), size // least))[: size - 100]
            (folder / "in.jsonl").write_text(f'{{"text": "{body}"}}\n')
            fits.append(measure(folder, f"one document, {size / 1e6:.0f} MB of {label}", asked.workers))
    sys.exit(not all(fits))


if __name__ == "__main__":
    main()
