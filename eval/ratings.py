"""Votes of people on pairs of texts: which pair is next, what was said, and nothing ever overwritten.

Sides are drawn by hash and stored. A tenth of the pairs comes again later with its sides swapped: whether a rater says
the same tells how far the answers can be trusted, and how much the side counts.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus.failures import Failure
from corpus.parts import writing
from eval.chance import Chance, digest
from eval.documents import NoDocuments, read_lines

CHOICES = ("left", "right", "tie", "both_bad")
ASPECTS = ("coherence", "factual", "responsive")
SPAN_KINDS = ("repetition", "contradiction", "false_fact", "off_topic", "grammar", "toxic")
REPEATS = 0.1
VOTES = pa.schema(
    [
        ("vote", pa.int64()),
        ("ts", pa.string()),
        ("rater", pa.string()),
        ("pair", pa.string()),
        ("prompt", pa.string()),
        ("kind", pa.string()),  # first | repeat
        ("left", pa.string()),  # which model stood there
        ("right", pa.string()),
        ("choice", pa.string()),  # left | right | tie | both_bad
        ("winner", pa.string()),  # the model; null for tie and both_bad
        ("milliseconds", pa.int64()),
        *((f"{aspect}_{side}", pa.int8()) for side in ("left", "right") for aspect in ASPECTS),  # 1 to 5, or null
        (
            "spans",
            pa.list_(
                pa.struct(
                    [("model", pa.string()), ("start", pa.int64()), ("end", pa.int64()), ("kind", pa.string()),
                     ("text", pa.string())]  # code points of the model's text
                )
            ),
        ),
    ]
)  # fmt: skip
_TABLES = """
create table if not exists about (key text primary key, value text not null);
create table if not exists pairs (place integer primary key, pair text not null, prompt text not null,
    first text not null, second text not null, swapped integer not null, kind text not null);
create table if not exists votes (vote integer primary key autoincrement,
    ts text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), rater text not null, place integer not null,
    choice text not null, ratings text not null, spans text not null, milliseconds integer not null);
create table if not exists undone (vote integer primary key,
    ts text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')));
"""


class BadRating(Failure):
    """A vote, or a file of samples, that cannot be used."""

    status = 2


@dataclass(frozen=True)
class Pair:
    """Two texts after one prompt."""

    id: str
    prompt: str
    texts: tuple[str, str]  # of the first and of the second model


def pairs(first: Path, second: Path) -> list[Pair]:
    """Samples of two JSONL files ({prompt, text}) on the same prompts, the n-th beside the n-th. Raises BadRating."""
    a, b = _samples(first), _samples(second)
    found = [
        Pair(digest(prompt, number)[:16], prompt, (text, other))
        for prompt, texts in a.items()
        for number, (text, other) in enumerate(zip(texts, b.get(prompt, ()), strict=False))
    ]
    if not found:
        raise BadRating(f"{first} and {second} have no prompt in common; both need `prompt` and `text` in every line")
    return sorted(found, key=lambda pair: pair.id)


def _samples(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        for number, row in read_lines(path):
            if not isinstance(row.get("prompt"), str) or not isinstance(row.get("text"), str):
                raise BadRating(f"{path}: line {number} has no `prompt` or no `text`")
            found.setdefault(row["prompt"], []).append(row["text"])
    except NoDocuments as error:
        raise BadRating(str(error)) from None
    except FileNotFoundError:
        raise BadRating(f"{path}: there is no such file") from None
    return found


def schedule(found: Sequence[Pair], seed: int = 0) -> list[tuple[Pair, bool, str]]:
    """(pair, swapped, kind) in the order of showing; repeats come after all others, the other way round."""
    order = sorted(found, key=lambda pair: digest("order", seed, pair.id))
    first = [(pair, Chance("side", seed, pair.id).below(2) == 1, "first") for pair in order]
    again = sorted(order, key=lambda pair: digest("repeat", seed, pair.id))[: round(REPEATS * len(order))]
    swapped = {pair.id: side for pair, side, _ in first}
    return [*first, *((pair, not swapped[pair.id], "repeat") for pair in again)]


class Store:
    """Votes in DIR/ratings.sqlite; several raters may write at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "ratings.sqlite"
        with self._open() as db:
            db.executescript(_TABLES)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            db.execute("pragma journal_mode = wal")
            yield db
        finally:
            db.close()

    def begin(self, found: Sequence[Pair], models: tuple[str, str], seed: int = 0) -> None:
        """Lay down what is to be rated, once. Raises BadRating where the folder holds another comparison."""
        about = json.dumps([*models, seed, digest(*(f"{p.id}{p.texts}" for p in found))])
        rows = [
            (place, pair.id, pair.prompt, *pair.texts, int(swapped), kind)
            for place, (pair, swapped, kind) in enumerate(schedule(found, seed))
        ]
        with self._open() as db:
            db.execute("begin immediate")
            held = db.execute("select value from about where key = 'comparison'").fetchone()
            if held is None:
                db.execute("insert into about values ('comparison', ?)", [about])
                db.executemany("insert into pairs values (?, ?, ?, ?, ?, ?, ?)", rows)
            db.execute("commit")
        if held is not None and held[0] != about:
            raise BadRating(f"{self._path.parent}: holds votes on other samples; choose another --out")

    def models(self) -> tuple[str, str]:
        """Names of the two. Raises BadRating where nothing was begun."""
        with self._open() as db:
            held = db.execute("select value from about where key = 'comparison'").fetchone()
        if held is None:
            raise BadRating(f"{self._path.parent}: no ratings here; `python -m eval rate` begins them")
        first, second, *_ = json.loads(held[0])
        return first, second

    def next(self, rater: str) -> dict[str, Any] | None:
        """What this rater sees next: place, prompt, left, right, and how far it is. None when all is done."""
        query = """select place, prompt, first, second, swapped from pairs where place not in
            (select place from votes where rater = ? and vote not in (select vote from undone)) order by place"""
        with self._open() as db:
            rows = db.execute(query, [rater]).fetchall()
            total = db.execute("select count(*) from pairs").fetchone()[0]
        if not rows:
            return None
        place, prompt, first, second, swapped = rows[0]
        left, right = (second, first) if swapped else (first, second)
        return {"place": place, "prompt": prompt, "left": left, "right": right, "done": total - len(rows), "all": total}

    def vote(self, rater: str, place: int, choice: str, ratings: Any, spans: Any, milliseconds: int) -> int:
        """Add a vote; returns its number. Raises BadRating for anything that the page would not send."""
        if choice not in CHOICES or not rater.strip() or len(rater) > 100:
            raise BadRating(f"a vote needs a rater and one of {', '.join(CHOICES)}")
        with self._open() as db:
            row = db.execute("select first, second, swapped from pairs where place = ?", [place]).fetchone()
            if row is None:
                raise BadRating(f"there is no pair at place {place}")
            first, second, swapped = row
            sides = {"left": second if swapped else first, "right": first if swapped else second}
            told = json.dumps(_ratings(ratings)), json.dumps(_spans(spans, sides))
            cursor = db.execute(
                "insert into votes (rater, place, choice, ratings, spans, milliseconds) values (?, ?, ?, ?, ?, ?)",
                [rater.strip(), place, choice, *told, max(0, int(milliseconds))],
            )
        return int(cursor.lastrowid or 0)

    def undo(self, rater: str) -> bool:
        """Take back the rater's last vote that stands; it stays in the file, marked."""
        query = "select max(vote) from votes where rater = ? and vote not in (select vote from undone)"
        with self._open() as db:
            last = db.execute(query, [rater]).fetchone()[0]
            if last is not None:
                db.execute("insert or ignore into undone (vote) values (?)", [last])
        return last is not None

    def votes(self) -> pa.Table:
        """Votes that stand, the last of each rater on each showing, in the order given."""
        query = """select vote, ts, rater, pair, prompt, kind, swapped, choice, milliseconds, ratings, spans
            from votes join pairs using (place) where vote in (
                select max(vote) from votes where vote not in (select vote from undone) group by rater, place
            ) order by vote"""
        models = self.models()
        with self._open() as db:
            rows = db.execute(query).fetchall()
        return pa.Table.from_pylist([_told(row, models) for row in rows], schema=VOTES)

    def export(self, path: Path) -> int:
        """Write the votes as Parquet; returns how many there are."""
        table = self.votes()
        with writing(path, VOTES) as out:
            out.write(table)
        return int(table.num_rows)


def _told(row: tuple[Any, ...], models: tuple[str, str]) -> dict[str, Any]:
    vote, ts, rater, pair, prompt, kind, swapped, choice, milliseconds, ratings, spans = row
    left, right = models[::-1] if swapped else models
    side = {"left": left, "right": right}
    given = json.loads(ratings)
    marked = [{"model": side[s.pop("side")], **s} for s in json.loads(spans)]
    return {
        "vote": vote, "ts": ts, "rater": rater, "pair": pair, "prompt": prompt, "kind": kind, "left": left,
        "right": right, "choice": choice, "winner": side.get(choice), "milliseconds": milliseconds, **given,
        "spans": marked,
    }  # fmt: skip


def _ratings(given: Any) -> dict[str, int]:
    known = {f"{aspect}_{side}" for side in ("left", "right") for aspect in ASPECTS}
    if not isinstance(given, dict) or any(key not in known or value not in range(1, 6) for key, value in given.items()):
        raise BadRating("ratings are whole numbers from 1 to 5")
    return {key: int(value) for key, value in given.items()}


def _spans(given: Any, sides: dict[str, str]) -> list[dict[str, Any]]:
    """Marked spans, with the text that they mark."""
    if not isinstance(given, list) or len(given) > 100:
        raise BadRating("spans are a list of at most 100")
    out = []
    for span in given:
        if not isinstance(span, dict) or span.get("side") not in sides or span.get("kind") not in SPAN_KINDS:
            raise BadRating("a span has a side, a start, an end and a kind of error")
        text, start, end = sides[span["side"]], span.get("start"), span.get("end")
        if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end <= len(text):
            raise BadRating("a span has a start and an end within its text")
        out.append({"side": span["side"], "start": start, "end": end, "kind": span["kind"], "text": text[start:end]})
    return out
