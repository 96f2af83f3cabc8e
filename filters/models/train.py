"""Trains the classifier of `score` from a set of good and a set of other documents, and measures it on a tenth of them.

Repeatable: the split and the order follow from hashes of the texts, fastText runs with one thread.
"""

import dataclasses
import gzip
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import xxhash
import zstandard

from filters.models import fasttext_model

GOOD, BAD = "good", "bad"
_HELD_OUT = 10  # one document in ten
_TRIES = 6
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".zst": zstandard.open}
_KINDS = (".txt", ".jsonl", ".parquet")


@dataclasses.dataclass(frozen=True)
class Training:
    """fastText's settings; a word pair is one of `buckets` features."""

    epochs: int = 5
    learning_rate: float = 0.5
    dimensions: int = 64
    buckets: int = 1 << 18
    seed: int = 0

    def __post_init__(self) -> None:
        # With one thread fastText fills only the first tenth of its matrix with random numbers and leaves the rest as
        # the memory was (DenseMatrix::uniform). From 32 MB on malloc maps fresh pages, which are zero; below, old
        # memory gives another model each time, or NaN.
        if 4 * self.dimensions * self.buckets < 1 << 25:
            raise ValueError(f"dimensions times buckets must be at least {1 << 23}, for the matrix to begin at zero")


def train(good: Path, bad: Path, out: Path, settings: Training, say: Callable[[str], None]) -> dict[str, Any]:
    """Write a model (.bin, or .ftz: quantized) and beside it its report, `out`.json. Raises ValueError."""
    if out.suffix not in (".bin", ".ftz"):
        raise ValueError(f"--out: a model is called .bin or, ten times smaller, .ftz: {out}")
    labels = dict.fromkeys(texts(bad), BAD) | dict.fromkeys(texts(good), GOOD)
    rows = sorted((xxhash.xxh3_64_intdigest(text.encode()), text, label) for text, label in labels.items())
    # The low digits split and the high ones order, so that the order says nothing about the split.
    learn = [(text, label) for code, text, label in rows if code % _HELD_OUT]
    held_out = [(text, label) for code, text, label in rows if not code % _HELD_OUT]
    for part, name in ((learn, "to learn from"), (held_out, "held out")):
        missing = {GOOD, BAD} - {label for _, label in part}
        if missing:
            raise ValueError(f"no {missing.pop()} document is {name}: more documents are needed, a hundred at least")
    rate = _fit(learn, out, settings, say)
    report = evaluate(out, held_out) | {"learned_from": len(learn), "settings": dataclasses.asdict(settings)}
    report["settings"]["learning_rate"] = rate
    Path(f"{out}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def texts(path: Path) -> Iterator[str]:
    """The documents of a file (.txt: one a line; .jsonl; .parquet; also .gz or .zst) or of a folder of such files."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and _kind(file) in _KINDS)
    else:
        files = [path]
    if not files or not path.exists() or _kind(files[0]) not in _KINDS:
        raise ValueError(f"{path}: no such file, or no file of a kind that can be read: {', '.join(_KINDS)}")
    for file in files:
        for text in _read(file):
            line = fasttext_model.one_line(text).strip()
            if line:
                yield line


def _kind(file: Path) -> str:
    return Path(file.stem).suffix if file.suffix in _OPENERS else file.suffix


def _read(file: Path) -> Iterator[str]:
    if file.suffix == ".parquet":
        yield from (text or "" for text in pq.read_table(file, columns=["text"])["text"].to_pylist())
        return
    with _OPENERS.get(file.suffix, open)(file, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if _kind(file) == ".txt":
                yield line
            elif line.strip():
                yield _text_of(line, f"{file}, line {number}")


def _text_of(line: str, where: str) -> str:
    try:
        return str(json.loads(line)["text"] or "")
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{where}: not a JSON object with a `text`") from None


def _fit(rows: Sequence[tuple[str, str]], out: Path, settings: Training, say: Callable[[str], None]) -> float:
    """Train and save; returns the learning rate that worked."""
    import fasttext

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        # a word of a text that begins like a label would be taken for one
        lines = (f"__label__{label} {text.replace('__label__', 'label ')}\n" for text, label in rows)
        file.write_text("".join(lines), encoding="utf-8")
        rate = settings.learning_rate
        for _ in range(_TRIES):
            try:
                model = fasttext.train_supervised(
                    input=str(file),
                    lr=rate,
                    epoch=settings.epochs,
                    dim=settings.dimensions,
                    wordNgrams=2,  # with 1 there would be no buckets
                    bucket=settings.buckets,
                    seed=settings.seed,
                    thread=1,  # more threads update in an order of their own: another model each time
                    verbose=0,
                )
            except RuntimeError as error:
                if "NaN" not in str(error):
                    raise
                say(f"fastText met NaN at the learning rate {rate:g}; trying {rate / 2:g}")
                rate /= 2
            else:
                if out.suffix == ".ftz":
                    model.quantize(input=str(file), thread=1)
                out.parent.mkdir(parents=True, exist_ok=True)
                model.save_model(str(out))
                fasttext_model.load.cache_clear()  # the path may have held another model
                return rate
    raise ValueError(f"fastText met NaN at every learning rate down to {rate * 2:g}: look for odd documents")


def evaluate(model: Path, held_out: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Precision and recall of the good label on documents that the model has not seen."""
    labels, scores = fasttext_model.predict(str(model), [text for text, _ in held_out], -1)
    found = [dict(zip(*row, strict=True)) for row in zip(labels, scores, strict=True)]
    score = np.array([float(row.get(GOOD, 0.0)) for row in found])
    good = np.array([label == GOOD for _, label in held_out])
    cuts = [round(0.05 * i, 2) for i in range(1, 20)]
    return {
        "held_out": len(held_out),
        "held_out_good": int(good.sum()),
        "auroc": auroc(score, good),
        **{name: value for name, value in _at(0.5, score, good).items() if name in ("precision", "recall")},
        "thresholds": [_at(cut, score, good) for cut in cuts],
    }


def _at(cut: float, score: npt.NDArray[Any], good: npt.NDArray[Any]) -> Mapping[str, float]:
    kept = score >= cut
    hits = int((kept & good).sum())
    return {
        "min_score": cut,
        "kept": round(float(kept.mean()), 4),
        "precision": round(hits / max(int(kept.sum()), 1), 4),
        "recall": round(hits / int(good.sum()), 4),
    }


def auroc(score: npt.NDArray[Any], good: npt.NDArray[Any]) -> float:
    """The probability that a good document scores above another one; a tie counts half."""
    _, place, size = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(size) - (size - 1) / 2)[place]  # mean rank of equal scores
    num_good, num_bad = int(good.sum()), int((~good).sum())
    return round(float((rank[good].sum() - num_good * (num_good + 1) / 2) / (num_good * num_bad)), 4)
