"""`remove`: a takedown. The text goes from every file of a run, and a tombstone keeps it out of later builds.

First the tombstones are written, then each touched part is rewritten whole, then the manifest: killed anywhere, the
same command goes on. What stays of a document is its id, source, address and place in the input, for the books.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus import corrections, schema, tombstones, why
from corpus.dedup.keys import exact_hashes
from corpus.failures import Failure
from corpus.lineage import Use
from corpus.lock import held
from corpus.manifest import books
from corpus.parts import marked, record_batches, row_groups, write_json
from corpus.takedown import Rewrite, recover
from corpus.terminal import console, line, table
from corpus.tombstones import Tombstone, Tombstones, address
from corpus.views import Run, parquet
from corpus.write import Tally

_MOST_ROWS = 20


class NothingNamed(Failure):
    """No document was named, and no takedown waits to be finished."""

    status = 2


@dataclasses.dataclass(frozen=True)
class Removed:
    """What a takedown did."""

    documents: list[dict[str, Any]]  # id, url, was (kept, or the reason why not), for every document of the run named
    parts: list[str]  # that were rewritten
    copies: list[dict[str, Any]]  # id, kept_id, kind, jaccard, url: dropped in favour of a removed one, still told of


def is_id(name: str) -> bool:
    """Whether a line of a file is an id, in full."""
    return len(name) == 32 and set(name) <= set("0123456789abcdef")


def remove(
    path: Path, urls: Sequence[str] = (), ids: Sequence[str] = (), reason: str = "", copies: bool = False
) -> Removed:
    """Take documents out of a run.

    Raises NotARun, NoSuchDocument, NothingNamed, FolderInUse; then nothing is changed.
    """
    with Run(path, unfinished=True):  # a folder that is no run must not be locked into one
        pass
    with held(path):
        recover(path)
        with Run(path, unfinished=True) as run:
            known = tombstones.load(path)
            if not urls and not ids and not known:
                raise NothingNamed(f"{path}: name documents by --url, --id or --from")
            named = _named(run, urls, ids, known)
            if copies:
                named |= {row["id"] for row in _followers(run, named)}
            every = _with_exact_copies(run, named)
            stones = known + Tombstones(_stones(run, every - known.named("id"), urls, reason))
            documents, left = _documents(run, every), _followers(run, every)
            if stones.digest != known.digest:
                tombstones.save(path / tombstones.FILE, stones)
            parts = _rewrite(run, stones)
            corrections.forget(path, stones.named("id"))
            _finish(run, stones)
    return Removed(documents, parts, left)


def _named(run: Run, urls: Sequence[str], ids: Sequence[str], known: Tombstones) -> set[str]:
    """Ids of the run's documents that are meant. Raises NoSuchDocument for what nothing is known of."""
    found: set[str] = set()
    for key in ids:
        found |= {key} if key in known.named("id") else set(why.by_id(run, key))
    wanted = {address(url): url for url in urls}
    at: dict[str, set[str]] = {url: set() for url in wanted}
    query = "select id, url from docs where url is not null union all select id, url from ledger where url is not null"
    cursor = run.db.execute(query) if wanted else None
    while cursor and (rows := cursor.fetchmany(10_000)):
        for id_, url in rows:
            if (name := address(url)) in at:
                at[name].add(id_)
    for name, those in at.items():
        if not those and name not in known.named("url"):
            why.find(run, wanted[name])  # raises, with what is close to it
        found |= those
    return found


def _with_exact_copies(run: Run, named: set[str]) -> set[str]:
    """The same text under other ids goes with it: kept or rejected, in whatever part."""
    hashes: set[bytes] = set()
    for part in run.manifest["parts"]:
        for rows in _exact(run, part):
            mine = rows.filter(_among(rows["id"], named))
            hashes |= set(mine["exact"].drop_null().to_pylist())
    every = set(named)
    for part in run.manifest["parts"] if hashes else ():
        for rows in _exact(run, part):
            same = pc.is_in(rows["exact"], value_set=pa.array(sorted(hashes), pa.binary(16)))
            every |= set(rows["id"].filter(same).to_pylist())
    return every


def _among(column: Any, ids: Iterable[str]) -> Any:
    return pc.is_in(column, value_set=pa.array(sorted(ids), pa.string()))


def _exact(run: Run, part: str) -> Iterable[pa.Table]:
    """(id, exact) of what has text in a part: from the stage's keys, or from the texts where those are gone."""
    stored = run.path / "stages" / "measure" / f"part-{part}.keys.arrow"
    if stored.exists():
        for batch in record_batches(stored):
            yield pa.Table.from_batches([batch]).select(["id", "exact"])
        return
    for folder in ("docs", "ledger"):
        for rows in row_groups(run.path / folder / f"part-{part}.parquet"):
            yield pa.table({"id": rows["id"], "exact": exact_hashes(rows["text"])})


def _stones(run: Run, ids: set[str], urls: Sequence[str], reason: str) -> Iterable[Tombstone]:
    """One for each document, with the hash of its text before edits, and one for each address."""
    hashes = {id_: text for part in run.manifest["parts"] for id_, text in _raw_hashes(run, part, ids)}
    for id_ in ids:
        yield Tombstone(id_, "", hashes.get(id_, ""), reason)
    for url in urls:
        yield Tombstone("", address(url), "", reason)


def _raw_hashes(run: Run, part: str, ids: set[str]) -> Iterable[tuple[str, str]]:
    """Hashes of texts as extraction gave them: what another recipe's editors would cut differently."""
    stored = run.path / "stages" / "extract" / f"part-{part}.parquet"
    edits = None
    if not stored.exists():
        edits = pq.read_table(run.path / "edits" / f"part-{part}.parquet")
        edits = edits.filter(_among(edits["id"], ids)).to_pylist()
    for path in [stored] if edits is None else [run.path / f / f"part-{part}.parquet" for f in ("docs", "ledger")]:
        if not any(pc.any(_among(rows["id"], ids)).as_py() for rows in row_groups(path, ["id"])):
            continue
        for rows in row_groups(path):
            mine = rows.select(["id", "text"]).filter(pc.and_(_among(rows["id"], ids), pc.is_valid(rows["text"])))
            names, texts = mine["id"].to_pylist(), mine["text"].to_pylist()
            for name, text in zip(names, texts, strict=True):
                raw = _unedited(text, [edit for edit in edits or () if edit["id"] == name])
                yield name, tombstones.text_hashes(pa.array([raw], pa.large_string()))[0]


def _unedited(text: str, edits: list[dict[str, Any]]) -> str:
    """A text as it was before the recipe's editors, from what they cut; the last one is undone first."""
    steps = [step for step in dict.fromkeys(edit["step"] for edit in edits) if step != "read"]
    for step in reversed(steps):
        mine, pieces, at, shift = [edit for edit in edits if edit["step"] == step], [], 0, 0
        for edit in sorted(mine, key=lambda edit: edit["start"]):
            start = edit["start"] - shift
            pieces += [text[at:start], edit["removed"]]
            at = start + len(edit["replacement"])
            shift += edit["end"] - edit["start"] - len(edit["replacement"])
        text = "".join([*pieces, text[at:]])
    return text


def _documents(run: Run, ids: set[str]) -> list[dict[str, Any]]:
    query = """select id, url, if(kept, 'kept', coalesce(step || '.', '') || reason) as was from fates
        where id in (select unnest(?)) order by id, was"""
    return run.rows(query, [sorted(ids)])


def _followers(run: Run, ids: set[str]) -> list[dict[str, Any]]:
    """What was dropped in favour of some documents, and is not one of them."""
    query = """select distinct pairs.id, pairs.kept_id, kind, jaccard, url from duplicates pairs
        left join ledger on ledger.id = pairs.id and ledger.kept_id = pairs.kept_id
        where pairs.kept_id in (select unnest(?)) and pairs.id not in (select unnest(?)) order by pairs.id, url"""
    return run.rows(query, [sorted(ids), sorted(ids)])


def _rewrite(run: Run, stones: Tombstones) -> list[str]:
    """Rewrite the parts that still tell of the text of any document named."""
    reasons = {stone.id: stone.reason for stone in reversed(stones.stones) if stone.id}
    docs, ledger = (parquet(run.files()[folder], ", filename = true") for folder in ("docs", "ledger"))
    query = f"""select distinct filename from (
            select filename, id from {docs} union all select filename, id from {ledger} where text is not null
        ) where id in (select unnest(?)) order by filename"""
    rows = run.rows(query, [sorted(reasons)])
    touched = {Path(row["filename"]).name[5:17] for row in rows}
    write = run.settings["write"]
    cut = {"rows": write["row_group_rows"], "max_bytes": 64 << 20, "level": write["compression_level"]}
    parts = [part for part in run.manifest["parts"] if part in touched]
    if parts:  # it shows excerpts; the command writes it anew
        (run.path / "report.html").unlink(missing_ok=True)
    for part in parts:
        Rewrite(run.path, part, reasons, stones, cut)()
    return parts


def _finish(run: Run, stones: Tombstones) -> None:
    """Prove the books and write the manifest of what is left. Raises ConservationError."""
    counts = []
    for part in run.manifest["parts"]:
        told = marked(run.path / "stages" / "write" / f"part-{part}.done.json")
        counts.append(told if "docs_hash" in told else _count(run.path, part))
    write_json(run.path / "manifest.json", run.manifest | books(run.path, counts) | {"tombstones": stones.digest})


def _count(run: Path, part: str) -> dict[str, Any]:
    tally = Tally()
    for rows in row_groups(run / "docs" / f"part-{part}.parquet"):
        tally.add(rows, schema.LEDGER.empty_table())
    for rows in row_groups(run / "ledger" / f"part-{part}.parquet"):
        tally.add(schema.DOCUMENT.empty_table(), rows)
    return tally.counts()


def show(path: Path, done: Removed, used: Sequence[Use], models: Sequence[Path]) -> None:
    """Print what was taken out, what is still like it, and who learnt from it."""
    out = console()
    where = (
        f"{len(done.parts)} part{'s' * (len(done.parts) != 1)} rewritten" if done.parts else "nothing was left of it"
    )
    out.print(line(f"{path}: {len(done.documents)} rows named by {tombstones.FILE}; {where}", "bold"))
    rows = [(row["id"][:12], row["was"], row["url"]) for row in done.documents[:_MOST_ROWS]]
    out.print(table(("id", "was", "url"), rows))
    if done.copies:
        out.print(line(f"\nStill in ledger/, dropped in favour of what was removed: {len(done.copies):,}", "bold red"))
        like = [(row["id"][:12], row["kind"], row["jaccard"], row["url"]) for row in done.copies[:_MOST_ROWS]]
        out.print(table(("id", "kind", "similarity", "url"), like))
        out.print(
            line("  They stay out of this run; a later build would keep the best of them. --copies removes them.")
        )
    for use in used:
        told = f"trained on {use.documents:,} of them, first at step {use.first_step:,}, last at step {use.last_step:,}"
        out.print(line(f"{use.model}: {told}", "bold red"))
    if models and not used:
        out.print(line(f"{', '.join(map(str, models))}: trained on none of them"))
    out.print()
    if done.copies:
        out.print(line("next: the same command with --copies", "dim"))
    else:
        out.print(line(f'next: tombstones = ["{path}"] in a recipe keeps them out of other builds', "dim"))
