"""Deduplication: what it finds, what it costs, and what datasketch finds and costs on the same documents.

    python benchmarks/dedup.py

Copies are planted in real text (books of ../shared/data, else Python's own manual) by substituting and deleting words;
their Jaccard similarity is then measured, with Python sets of word tuples, not assumed. About 15 s.
"""

import collections
import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, TypeVar

import datasketch
import numpy as np
import pyarrow as pa
import xxhash

from corpus.dedup import Settings, buckets, keys, replay, resolve, shingles
from filters.kernels import signature

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DOCUMENT_WORDS = 400
LEVELS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0]
COPIES_PER_LEVEL = 200
LAYOUTS = [(14, 8), (20, 13), (9, 13), (25, 10), (26, 11)]  # FineWeb, NeMo, SlimPajama, Data-Juicer, marin
Pair = tuple[int, int]
T = TypeVar("T")


def main() -> None:
    documents = real_documents()
    rng = np.random.default_rng(7)
    texts, planted = plant(documents, rng)
    sets = [python_shingles(text) for text in texts]
    truth = {pair: jaccard(sets[pair[0]], sets[pair[1]]) for pair in planted}
    print(f"{len(texts):,} documents, {size(texts) / 1e6:.1f} MB, {len(planted):,} of them planted copies\n")
    recall_table(texts, truth, sets)
    verified(texts, truth, sets)
    stages([*documents, *(text for text in texts if text not in set(documents))])
    articles()


def real_documents() -> list[str]:
    """Pieces of DOCUMENT_WORDS words, no two with a common line of thought: repeated pieces are left out."""
    books = sorted((DATA / "books" / "en").glob("*.txt"))
    sources = [path.read_text("utf-8", errors="replace") for path in books] or list(topics.values())
    found, seen = [], set[str]()
    for source in sources:
        words = source.split()
        for at in range(0, len(words) - DOCUMENT_WORDS // 2, DOCUMENT_WORDS):
            piece = words[at : at + DOCUMENT_WORDS]
            marks = {" ".join(piece[i : i + 8]) for i in range(0, len(piece), 8)}
            if not marks & seen:  # another edition of the same book starts elsewhere and is caught by verification
                found.append(" ".join(piece))
            seen |= marks
    return found


def plant(documents: list[str], rng: np.random.Generator) -> tuple[list[str], list[Pair]]:
    """The first documents, and a copy of each at one of LEVELS; with the positions of original and copy."""
    count = min(len(documents), COPIES_PER_LEVEL * len(LEVELS))
    vocabulary = np.array(sorted({word for text in documents[:500] for word in text.split()}))
    copies = [damaged(documents[i], LEVELS[i % len(LEVELS)], vocabulary, rng) for i in range(count)]
    texts = documents[: 2 * count] + copies
    first = len(texts) - count
    return texts, [(i, first + i) for i in range(count)]


def damaged(text: str, target: float, vocabulary: Any, rng: np.random.Generator) -> str:
    """A copy in which a share 2J / (1 + J) of the 5-word shingles is left whole."""
    words = text.split()
    rate = 1 - (2 * target / (1 + target)) ** (1 / 5)
    hits = set(np.flatnonzero(rng.random(len(words)) < rate).tolist())
    delete = rng.random(len(words)) < 0.3
    other = rng.choice(vocabulary, len(words))
    return " ".join(
        str(other[i]) if i in hits else word for i, word in enumerate(words) if i not in hits or not delete[i]
    )


def python_shingles(text: str, n: int = 5) -> set[tuple[str, ...]]:
    """An independent reading of the rule, for ASCII and Latin letters."""
    words = re.findall("[a-z0-9\u00c0-\U0010ffff]+", re.sub("[\u2000-\u206f]", " ", text.replace("Σ", "σ").lower()))
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def jaccard(a: set[Any], b: set[Any]) -> float:
    return len(a & b) / max(1, len(a | b))


def size(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def column(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def proposed(hashes: Any) -> set[Pair]:
    """Pairs of documents that share a band; `hashes` is [documents, bands]."""
    pairs: set[Pair] = set()
    for band in hashes.T:
        members = collections.defaultdict(list)
        for row, value in enumerate(band.tolist()):
            members[value].append(row)
        for rows in members.values():
            pairs.update(itertools.combinations(rows, 2))
    return pairs


def level_recall(truth: dict[Pair, float], found: set[Pair]) -> Iterator[str]:
    for low, high in itertools.pairwise([0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.01]):
        here = [pair for pair, value in truth.items() if low <= value < high]
        yield f"{sum(pair in found for pair in here) / len(here):9.3f}" if here else "        -"


def precision(pairs: set[Pair], sets: list[set[Any]], least: float = 0.7) -> float:
    return sum(jaccard(sets[a], sets[b]) >= least for a, b in pairs) / max(1, len(pairs))


def recall_table(texts: list[str], truth: dict[Pair, float], sets: list[set[Any]]) -> None:
    edges = ["0.4", "0.5", "0.6", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95"]
    print("recall of planted pairs by true Jaccard (from …), share of proposed pairs with J >= 0.7, seconds")
    print(f"{'bands x rows':24}" + "".join(f"{edge:>9}" for edge in edges) + f"{'prec.':>9}{'s':>8}")
    band_hashes(texts[:9], 1, 1)  # compiles
    for num_bands, rows in LAYOUTS:
        hashes, seconds = timed(lambda b=num_bands, r=rows: band_hashes(texts, b, r))  # type: ignore[misc]
        report_line(f"{num_bands} x {rows}", proposed(hashes), truth, sets, seconds)
    found, seconds = timed(lambda: datasketch_pairs(texts, 14, 8))
    report_line("14 x 8 datasketch", found, truth, sets, seconds)


def report_line(name: str, found: set[Pair], truth: dict[Pair, float], sets: list[set[Any]], seconds: float) -> None:
    print(f"{name:24}{''.join(level_recall(truth, found))}{precision(found, sets):9.3f}{seconds:8.2f}")


def band_hashes(texts: list[str], num_bands: int, rows: int) -> Any:
    return signature.bands(signature.signatures(column(texts), 5, num_bands * rows), num_bands, rows)


def datasketch_pairs(texts: list[str], num_bands: int, rows: int) -> set[Pair]:
    """The usual way: Python shingles, xxh32, MinHash and MinHashLSH, both at their fastest."""
    index = datasketch.MinHashLSH(num_perm=num_bands * rows, params=(num_bands, rows))
    found: set[Pair] = set()
    blank = datasketch.MinHash(num_bands * rows, scheme="affine32", hashfunc=xxhash.xxh32_intdigest)
    for row, text in enumerate(texts):
        minhash = blank.copy()
        minhash.update_batch([" ".join(shingle).encode() for shingle in python_shingles(text)])
        found.update((other, row) for other in index.query(minhash))
        index.insert(row, minhash)
    return found


class Memory:
    """A part held in memory."""

    def __init__(self, texts: list[str], settings: Settings) -> None:
        rows = len(texts)
        self.docs = pa.table(
            {
                "id": [f"{i:032x}" for i in range(rows)],
                "url": [f"https://www.example.com/{i}?utm_source=x" for i in range(rows)],
                "text": column(texts),
                "date": pa.nulls(rows, pa.string()),
                "source": ["books"] * rows,
            }
        )
        self.keys, self.seconds = timed(lambda: keys.keys(self.docs, settings))

    def texts(self, rows: Any) -> signature.Text:
        return self.docs["text"].take(rows)


def verified(texts: list[str], truth: dict[Pair, float], sets: list[set[Any]]) -> None:
    """After verification: every verdict is checked with Python sets."""
    settings = Settings()
    part = Memory(texts, settings)
    outcome = replay.deduplicate([part], [np.ones(len(texts), bool)], settings)
    refs = outcome.verdicts["docref"].to_pylist()
    kept = [int(kept_id, 16) for kept_id in outcome.verdicts["kept_id"].to_pylist()]
    pairs = {(min(pair), max(pair)) for pair in zip(refs, kept, strict=True)}
    keeper = dict(zip(refs, kept, strict=True))
    # where another edition of the same page is better than both, original and copy point at it
    joined = {(a, b) for a, b in truth if keeper.get(a, a) == keeper.get(b, b)}
    report_line("14 x 8, verified >= 0.7", pairs | joined, truth, sets, part.seconds)
    values = outcome.verdicts["jaccard"].to_pylist()
    error = max(abs(v - jaccard(sets[a], sets[b])) for v, a, b in zip(values, refs, kept, strict=True))
    at = {pair for pair, value in truth.items() if value >= 0.8}
    print(f"\nrecall at J >= 0.8: {len(at & joined) / len(at):.4f} of {len(at)} pairs (expected >= 0.95)")
    print(f"verdicts: {len(pairs):,}; precision {precision(pairs, sets):.4f} (expected 1.0)")
    print(
        f"largest difference of the evidence from Python's Jaccard: {error:.1e}; pairs compared: {outcome.compared:,}"
    )


def stages(texts: list[str]) -> None:
    """Time of each stage on one core, compiled code warm."""
    settings, megabytes = Settings(), size(texts) / 1e6
    text = column(texts)
    warm = Memory(texts[:50] * 2, settings)
    replay.deduplicate([warm], [np.ones(100, bool)], settings)
    _, signing = timed(lambda: signature.bands(signature.signatures(text), 14, 8))
    part = Memory(texts, settings)
    sent, sending = timed(lambda: buckets.entries(part.keys, 0, np.ones(len(texts), bool), settings))
    collided, colliding = timed(lambda: buckets.by_space((key, buckets.collisions([value])) for key, value in sent))
    ranks = resolve.ranks(part.keys, 0, resolve.candidates(collided))
    needed = shingles.needed(collided, ranks)
    near = part.texts(buckets.rows_of(needed, 0))
    sets, measuring = timed(lambda: shingles.measure(near, needed, settings.shingle_words))
    _, resolving = timed(lambda: resolve.resolve(collided, ranks, sets, settings))
    print(f"\nstages, {len(texts):,} documents, {megabytes:.1f} MB, {ranks.num_rows:,} candidates, one core")
    print(f"{'':34}{'seconds':>9}{'docs/s':>12}{'MB/s':>9}")
    for name, seconds, num_docs, volume in [
        ("signatures and bands", signing, len(texts), megabytes),
        ("keys (URL, exact, bands, ranks)", part.seconds, len(texts), megabytes),
        ("entries", sending, len(texts), megabytes),
        ("collisions", colliding, len(texts), megabytes),
        ("shingle sets of near candidates", measuring, sets.num_rows, near.nbytes / 1e6),
        ("resolve", resolving, ranks.num_rows, float("nan")),
    ]:
        print(f"{name:34}{seconds:9.3f}{num_docs / seconds:12,.0f}{volume / seconds:9.1f}")


def articles() -> None:
    """A public test set with planted plagiarism: ten pairs in a thousand articles."""
    folder = DATA / "dedup_eval"
    if not folder.is_dir():
        return
    lines = (folder / "articles_1000.train").read_text("utf-8").splitlines()
    names, texts = zip(*(line.split(" ", 1) for line in lines), strict=True)
    truth = {frozenset(line.split()) for line in (folder / "articles_1000.truth").read_text("utf-8").splitlines()}
    settings = Settings()
    outcome = replay.deduplicate([Memory(list(texts), settings)], [np.ones(len(texts), bool)], settings)
    rows = outcome.verdicts.to_pylist()
    found = {frozenset((names[row["docref"]], names[int(row["kept_id"], 16)])) for row in rows}
    right = len(found & truth)
    print(f"\narticles_1000: recall {right / len(truth):.2f}, precision {right / max(1, len(found)):.2f}", end="")
    print(f" ({len(truth)} planted, {len(found)} found, least Jaccard {min(row['jaccard'] for row in rows):.2f})")


if __name__ == "__main__":
    main()
