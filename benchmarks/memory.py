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
DOCUMENT = 200_000_000


def measure(
    folder: Path, label: str, workers: int, split: float = 4.0, most: int = Settings().max_record_bytes
) -> bool:
    """Print the row of the one file `folder`/in.*; whether it stayed below the limit."""
    [file] = folder.glob("in.*")
    (folder / "recipe.toml").write_text(grown.RECIPE.format(file=file, split=split, most=most))
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
        limit = Settings().max_record_bytes
        for label, letters, body in (
            (
                (
                    "sentences",
                    DOCUMENT,
                    "\\n".join(itertools.islice(itertools.cycle(grown.sentences()), DOCUMENT // 120)),
                ),
                ("sentences", limit, " ".join(itertools.islice(itertools.cycle(grown.sentences()), limit // 120))),
                ("words of one letter", limit, " ".join(itertools.islice(itertools.cycle("abcdefghij"), limit // 2))),
            )
            if asked.document
            else ()
        ):
            (folder / "in.jsonl").write_text(f'{{"text": "{body[: letters - 100]}"}}\n')
            size = (folder / "in.jsonl").stat().st_size / 1e6
            fits.append(measure(folder, f"one document, {size:.0f} MB of {label}", asked.workers))
    sys.exit(not all(fits))


if __name__ == "__main__":
    main()
