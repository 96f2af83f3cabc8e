"""Mutated pages against an engine: nothing may crash, hang, or give text that is not UTF-8.

    python benchmarks/fuzz_extraction.py ../shared/data/web [--pages 10000] [--engine blocks] [--seconds 10]

Each page is a real one, cut, spliced with another, its bytes flipped, its tags doubled, nested, unclosed or reversed.
A child process extracts them; the kernel's timer ends it at a page that takes too long. Set NUMBA_BOUNDSCHECK=1 to
have compiled code check its indices as well.
"""

import argparse
import multiprocessing
import random
import re
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from corpus.extraction import ExtractionError, Page, engine
from corpus.extraction.training.gold import pages

TAG = re.compile(r"<[^>]{0,200}>")
MAX_CHARS = 200_000  # of a page before it is mutated
HOSTILE = (
    "<plaintext>", "<svg><style><", "<!--", "<table><tr><td><table>", "<select><option>", "<template>", "<math><mi>",
    "</body></html>", '<a href="', "<noscript><iframe", "\0", "\ud800", "&#0;&#xD800;&nbsp;", "<p " + "a=b " * 500,
    "<frameset>", "<body class=x>", "<textarea>", "<xmp>", "]]>", "<?xml", "<b><i><u>" * 50, "\u202e\u200b" * 20,
)  # fmt: skip
NESTING = ("<div>", "<b>", "<table><tr><td>", "<ul><li>", "<a href=x>")


def mutated(draw: random.Random, html: str, other: str) -> str:
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(html) + 1)
        until = min(len(html), at + draw.choice((10, 1000, 50_000)))
        kind = draw.randrange(9)
        if kind == 0:
            html = html[:at]
        elif kind == 1:
            html = html[:at] + html[until:]
        elif kind == 2:
            start = draw.randrange(len(other) + 1)
            html = html[:at] + other[start : start + draw.choice((10, 1000, 50_000))] + html[at:]
        elif kind == 3:
            html = html[:at] + draw.choice(HOSTILE) + html[at:]
        elif kind == 4:
            html = (
                html[:at]
                + draw.choice(("<div>", "<b>", "<table><tr><td>", "<ul><li>", "<a href=x>")) * draw.choice((10, 3000))
                + html[at:]
            )
        elif kind == 5:
            part = html[at:until]
            html = html[:at] + "".join(reversed(TAG.findall(part))) + html[until:]
        elif kind == 6:
            html = html[:at] + TAG.sub(lambda tag: "" if draw.random() < 0.3 else tag[0], html[at:until]) + html[until:]
        elif kind == 7:
            data = bytearray(html[at:until].encode("utf-8", "replace"))
            for _ in range(min(len(data), 50)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            html = html[:at] + data.decode("latin-1") + html[until:]
        else:
            html = html[:at] + html[at:until] * draw.choice((2, 5)) + html[until:]
    return html


def page(seed: int, held: list[str]) -> str:
    draw = random.Random(seed)
    return mutated(draw, draw.choice(held)[:MAX_CHARS], draw.choice(held)[:MAX_CHARS])


def work(name: str, held: list[str], first: int, last: int, seconds: float, said: object) -> None:
    found = engine(name)
    getattr(found, "warm", lambda: None)()
    for seed in range(first, last):
        html = page(seed, held)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        started = time.perf_counter()
        try:
            outcome = "text"
            found.extract(Page(html, None, "utf-8")).text.encode("utf-8")
        except ExtractionError as error:
            outcome = error.reason
        except Exception as error:
            outcome = f"FAILED {type(error).__name__}: {error} (seed {seed})"
        signal.setitimer(signal.ITIMER_REAL, 0)
        said.put((seed, outcome, time.perf_counter() - started))  # type: ignore[attr-defined]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--engine", default="blocks")
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args()
    held = [page.html for number, page in enumerate(pages(args.folder)) if number % 10 == 0]
    context = multiprocessing.get_context("fork")
    counts: Counter[str] = Counter()
    at, slowest = 0, (0.0, -1)
    while at < args.pages:
        said = context.Queue()
        child = context.Process(target=work, args=(args.engine, held, at, args.pages, args.seconds, said))
        child.start()
        while child.is_alive() or not said.empty():
            try:
                seed, outcome, seconds = said.get(timeout=0.5)
            except Exception:
                continue
            counts[outcome] += 1
            slowest = max(slowest, (seconds, seed))
            at = seed + 1
        if child.exitcode:
            counts[f"FAILED exit {child.exitcode} (seed {at})"] += 1
            at += 1
    for outcome, number in counts.most_common():
        print(f"{number:6} {outcome}")
    print(f"slowest {slowest[0]:.2f} s (seed {slowest[1]})")
    return 1 if any(outcome.startswith("FAILED") for outcome in counts) else 0


if __name__ == "__main__":
    sys.exit(main())
