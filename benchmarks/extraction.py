"""Extraction engines on gold pages: quality by kind of page and language, speed, memory, failures, Markdown.

    python benchmarks/extraction.py ../shared/data/web [--trees blocks-folds.npz] [--speed-pages 300]

The learned engine is cross-validated: each page is scored by trees grown without any page of its site. They are grown
here (needs lightgbm, some minutes) or read from the file of an earlier run. Speed is process time of one core, all
engines in turn on the same pages, so ratios count.
"""

import argparse
import itertools
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import trafilatura
from markdown_cases import CASES
from short_news import cases

from corpus.extraction import ExtractionError, Page, engine
from corpus.extraction.blocks import main_text
from corpus.extraction.learned import hydration
from corpus.extraction.learned.forest import Forest
from corpus.extraction.training import crossed
from corpus.extraction.training.folds import NUM_FOLDS, fold
from corpus.extraction.training.gold import GoldPage, pages
from corpus.extraction.training.scores import contained, interval, word_f1
from filters.language import Language

PEER = "trafilatura defaults"  # as the library comes: comments kept, second opinions asked
ENGINES = ("blocks", "trafilatura", PEER, "fast")
SHORT_NEWS = 240
MEMORY_PAGES = 800
Texts = dict[str, list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trees", type=Path, help="keep the trees of each fold here")
    parser.add_argument("--speed-pages", type=int, default=300)
    parser.add_argument("--only-speed", action="store_true")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        _extract_all(args.memory_of, itertools.islice(pages(args.folder), MEMORY_PAGES))
        # ru_maxrss would be the parent's: it survives exec, and VmHWM does not
        status = Path("/proc/self/status").read_text()
        print(next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")))
        return
    if not args.only_speed:
        measure_quality(args.folder, args.trees)
    speed([page for page in pages(args.folder) if page.text is not None], args.speed_pages)
    memory(args.folder)


def measure_quality(folder: Path, trees: Path | None) -> None:
    forests = _forests(folder, trees)
    held = [page for page in pages(folder) if page.text is not None or page.inside or page.outside]
    texts = {name: _texts(name, held, forests) for name in ENGINES}
    quality(held, texts)
    snippets(held, texts)
    languages(held, texts)
    short_news(held, forests)
    markdown()


def _forests(folder: Path, kept: Path | None) -> list[Forest]:
    if kept is not None and kept.exists():
        return crossed.kept(kept)
    forests = crossed.folds(crossed.all_examples(folder, print), print)
    if kept is not None:
        crossed.keep(forests, kept)
    return forests


def _held_out(page: GoldPage, forests: Sequence[Forest]) -> str:
    text, _ = main_text(page.html, forests[fold(page.url)])
    return hydration.text(page.html, text) or text


def _texts(name: str, held: Sequence[GoldPage], forests: Sequence[Forest]) -> list[str]:
    if name == "blocks":
        return [_held_out(page, forests) for page in held]
    return [_extract(name, page.html) for page in held]


def _extract(name: str, html: str, output: str = "text") -> str:
    if name == PEER:
        return trafilatura.extract(html) or ""
    try:
        return engine(name).extract(Page(html, None, "utf-8", output)).text
    except ExtractionError:
        return ""


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def quality(held: Sequence[GoldPage], texts: Texts) -> None:
    gold = [(k, page) for k, page in enumerate(held) if page.text is not None]
    scores = {name: {k: word_f1(found[k], page.text or "") for k, page in gold} for name, found in texts.items()}
    kinds = ["all", *sorted({page.kind for _, page in gold})]
    rows = []
    for name in ENGINES:
        row = [name]
        for kind in kinds:
            values = [scores[name][k] for k, page in gold if kind in ("all", page.kind)]
            low, high = interval(values)
            row.append(f"{np.mean(values):.3f} ({low:.3f}-{high:.3f})")
        rows.append(row)
    counts = [f"{kind} ({sum(kind in ('all', page.kind) for _, page in gold)})" for kind in kinds]
    _table("Word-F1 on pages with gold text, by kind of page (95 % bootstrap intervals)", ["engine", *counts], rows)
    rows = []
    for name in ENGINES[1:]:
        for kind in kinds:
            values = [scores["blocks"][k] - scores[name][k] for k, page in gold if kind in ("all", page.kind)]
            low, high = interval(values)
            rows.append([f"blocks - {name}", kind, f"{np.mean(values):+.3f} ({low:+.3f} to {high:+.3f})"])
    _table("Paired differences", ["", "kind", "word-F1"], rows)


def snippets(held: Sequence[GoldPage], texts: Texts) -> None:
    rows = []
    for name in ENGINES:
        row = [name]
        for with_gold in (True, False):
            of_set = [(k, page) for k, page in enumerate(held) if (page.text is not None) == with_gold]
            inside = sum(contained(page.inside, texts[name][k]) for k, page in of_set)
            outside = sum(contained(page.outside, texts[name][k]) for k, page in of_set)
            row.append(f"{inside / sum(len(page.inside) for _, page in of_set):.3f}")
            row.append(f"{outside / sum(len(page.outside) for _, page in of_set):.3f}")
        row.append(str(sum(not text for text in texts[name])))
        rows.append(row)
    head = ["engine", "with, gold pages", "without, gold pages", "with, other pages", "without, other pages", "no text"]
    _table(f"Recall of `with` and leak of `without` snippets, {len(held)} pages", head, rows)


def languages(held: Sequence[GoldPage], texts: Texts) -> None:
    """By the language of what is known of the page's text."""
    known = [page.text if page.text is not None else " ".join(page.inside) for page in held]
    found = Language().measure(pa.table({"text": pa.array(known, pa.large_string())}))["lang"].to_pylist()
    groups = defaultdict(list)
    for k, lang in enumerate(found):
        groups[lang].append(k)
    rows = []
    for lang, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        if len(members) < 3:
            continue
        gold = [k for k in members if held[k].text is not None]
        rest = [k for k in members if held[k].text is None]
        row = [lang, str(len(gold))]
        row += [
            f"{np.mean([word_f1(texts[n][k], held[k].text or '') for k in gold]):.3f}" if gold else "" for n in ENGINES
        ]
        row.append(str(len(rest)))
        for name in ENGINES:
            total = sum(len(held[k].inside) for k in rest), sum(len(held[k].outside) for k in rest)
            there = [
                sum(contained(getattr(held[k], side), texts[name][k]) for k in rest) for side in ("inside", "outside")
            ]
            row.append(f"{there[0] / total[0]:.2f} / {there[1] / total[1]:.2f}" if all(total) else "")
        rows.append(row)
    head = [
        "language",
        "gold pages",
        *(f"F1 {n}" for n in ENGINES),
        "snippet pages",
        *(f"with / without {n}" for n in ENGINES),
    ]
    _table("By language (of 3 pages and more)", head, rows)


def short_news(held: Sequence[GoldPage], forests: Sequence[Forest]) -> None:
    """Each fold's trees see cases made of that fold's articles only."""
    scores = defaultdict(list)
    for k in range(NUM_FOLDS):
        articles = [
            (_title(page), page.text) for page in held if page.kind == "article" and page.text and fold(page.url) == k
        ]
        for html, gold in cases(articles, SHORT_NEWS // NUM_FOLDS, seed=k):
            scores["blocks"].append(word_f1(main_text(html, forests[k])[0], gold))
            for name in ENGINES[1:]:
                scores[name].append(word_f1(_extract(name, html), gold))
    rows = []
    for name in ENGINES:
        low, high = interval(scores[name])
        rows.append([name, f"{np.mean(scores[name]):.3f} ({low:.3f}-{high:.3f})"])
    _table(
        f"Word-F1 on {len(scores['blocks'])} short news pages with long rails (benchmarks/short_news.py)",
        ["engine", "word-F1"],
        rows,
    )


def _title(page: GoldPage) -> str:
    start = page.html.find("<title>")
    return page.html[start + 7 : page.html.find("<", start + 7)].strip()[:150] if start >= 0 else ""


def markdown() -> None:
    rows = []
    for name in ("blocks", "trafilatura"):
        rows.append(
            [name]
            + ["yes" if all(s in _extract(name, c.html, "markdown") for s in c.expected) else "no" for c in CASES]
        )
    _table("Markdown fidelity on cases written by hand", ["engine", *(case.name for case in CASES)], rows)


def speed(held: Sequence[GoldPage], number: int) -> None:
    rows = []
    sizes = {
        "all": held[:: max(1, len(held) // number)],
        "about 100 kB": [p for p in held if 80_000 < len(p.html) < 120_000][:number],
    }
    for name in ENGINES:
        row = [name]
        for chosen in sizes.values():
            _extract_all(name, chosen[:3])  # compiled, and its caches warm
            started = time.process_time()
            _extract_all(name, chosen)
            seconds = time.process_time() - started
            row += [f"{len(chosen) / seconds:.0f}", f"{sum(len(page.html) for page in chosen) / seconds / 1e6:.1f}"]
        rows.append(row)
    head = [f"{unit}, {size} ({len(chosen)} of {sum(len(p.html) for p in chosen) / len(chosen) / 1000:.0f} kB)"
            for size, chosen in sizes.items() for unit in ("pages/s", "MB/s")]  # fmt: skip
    _table("Speed on one core, process time, metadata included", ["engine", *head], rows)


def _extract_all(name: str, chosen: Iterable[GoldPage]) -> None:
    for page in chosen:
        if name != "nothing":
            _extract(name, page.html)


def memory(folder: Path) -> None:
    rows = []
    for name in (*ENGINES, "nothing"):
        command = [sys.executable, __file__, str(folder), "--memory-of", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        rows.append(
            [name, done.stdout.strip().split("\n")[-1] if done.returncode == 0 else f"ended by {done.returncode}"]
        )
    _table(
        f"Peak memory of a process that reads and extracts {MEMORY_PAGES} pages, MB (nothing: imports and reader)",
        ["engine", "MB"],
        rows,
    )


if __name__ == "__main__":
    main()
