"""`why`: the life of one document, from the bytes it was read from to where it is now, with every rule's value."""

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console

from corpus.corrections import STAGE, of_run
from corpus.decide import fired, rules
from corpus.failures import Failure
from corpus.replay import setting_of
from corpus.report import order
from corpus.schema import TAKEDOWN
from corpus.terminal import clean, console, excerpt, line, say, table
from corpus.views import Run

MIN_PREFIX = 6  # hex digits; fewer name too many documents
_MOST_LIVES = 20
_MOST_EDITS = 12
_MOST_COPIES = 10
_SUGGESTIONS = 8
_TOLD = """
select id, source, url, title, lang, provenance, meta, text, true as kept,
    null as stage, null as reason, null as detail, null as kept_id, null as evidence
from docs where id in (select unnest(?))
union all
select id, source, url, title, lang, provenance, meta, text, false, stage, reason, detail, kept_id, evidence
from ledger where id in (select unnest(?))
order by id, kept desc
"""


class NoSuchDocument(Failure, LookupError):
    """The message names close matches."""


def find(run: Run, key: str) -> list[str]:
    """Ids of the documents that a URL, an id or the first digits of an id name. Raises NoSuchDocument."""
    return _ids(run, "url = ?", key) or by_id(run, key)


def by_id(run: Run, key: str) -> list[str]:
    """The document whose id begins with some digits. Raises NoSuchDocument."""
    digits = key.lower()
    found = []
    if len(digits) >= MIN_PREFIX and set(digits) <= set("0123456789abcdef"):
        found = _ids(run, "starts_with(id, ?)", digits)
    if len(found) > 1:
        raise NoSuchDocument(f"{key}: several ids begin so: {', '.join(found[:_SUGGESTIONS])}")
    if not found:
        raise NoSuchDocument(_suggest(run, key))
    return found


def _ids(run: Run, condition: str, value: str) -> list[str]:
    query = f"select id from docs where {condition} union select id from ledger where {condition} order by id"
    return [row["id"] for row in run.rows(query, [value, value])]


def _suggest(run: Run, key: str) -> str:
    close = run.rows(
        """select distinct id, coalesce(url, file) as place from fates
        where contains(lower(url), lower(?)) or contains(lower(file), lower(?)) or domain = domain_of(?)
            or starts_with(id, lower(?)) or (url <> '' and contains(lower(?), lower(url)))
        order by not coalesce(contains(lower(url), lower(?)), false), place, id limit ?""",
        [key, key, key, key, key, key, _SUGGESTIONS],
    )
    lines = "".join(f"\n  {row['id'][:12]}  {clean(row['place'])}" for row in close)
    return f"{clean(key)}: no document has this id or URL" + (f"; close:{lines}" if close else "")


def lives(run: Run, ids: list[str]) -> list[dict[str, Any]]:
    """Everything that the run knows of some documents, one entry for each time that one was read."""
    found = run.rows(_TOLD, [ids, ids])
    for life in found:
        cut = "select step, rule, start, removed, replacement from edits where id = ?"
        life["edits"] = run.rows(cut, [life["id"]])
        life["rules"] = _verdicts(run, life["id"])
        life["corrections"] = [row for row in of_run(run.path) if row.id == life["id"]]
        life["kept_as"] = _named(run, [life["kept_id"]])
        life["copies"] = _copies(run, life["id"]) if life["kept"] else []
    return found


def _verdicts(run: Run, id_: str) -> list[dict[str, Any]]:
    """Every rule with the value that it saw."""
    signals = run.db.sql("select * from signals where id = ? limit 1", params=[id_]).to_arrow_table()
    hits = fired(signals, run.recipe)[0]
    values = signals.to_pylist()[0]
    return [
        {
            "rule": bound.name,
            "value": (values[bound.step] or {}).get(bound.rule.signal),
            "rejects_when": f"{bound.rule.signal} {bound.rule.operator} {say(bound.rule.threshold)}",
            "fired": bool(hit),
        }
        for bound, hit in zip(rules(run.recipe), hits, strict=True)
    ]


def _copies(run: Run, id_: str) -> list[dict[str, Any]]:
    found = run.rows("select id, kind, jaccard from duplicates where kept_id = ? order by jaccard desc, id", [id_])
    places = {row["id"]: row["place"] for row in _named(run, [row["id"] for row in found[:_MOST_COPIES]])}
    return [{**row, "place": places.get(row["id"])} for row in found]


def _named(run: Run, ids: list[str | None]) -> list[dict[str, Any]]:
    query = "select distinct id, coalesce(url, file) as place from fates where id in (select unnest(?)) order by id"
    return run.rows(query, [ids]) if any(ids) else []


def show(path: Path, key: str) -> None:
    """Print the life of each document that `key` names. Raises NotARun, NoSuchDocument."""
    out = console()
    with Run(path) as run:
        ids = find(run, key)
        found = lives(run, ids[:_MOST_LIVES])
        for life in found:
            _print(out, run, life)
        if len(ids) > _MOST_LIVES:
            out.print(line(f"… and {len(ids) - _MOST_LIVES:,} more with this URL: {', '.join(ids[_MOST_LIVES:])}"))
        _next(out, run, found[-1])


def _next(out: Console, run: Run, life: dict[str, Any]) -> None:
    folder = shlex.quote(str(run.path))
    if life["kept_id"]:
        where = (life["evidence"] or {}).get("kept_in")
        command = f"why {shlex.quote(where) if where else folder} {life['kept_id']}   # the document it is a copy of"
    elif sets := _would_keep(run, life):
        command = f"whatif {folder} {sets}   # what else this would keep"
    else:
        command = f"sql {folder} \"select * from edits where id = '{life['id']}'\""
    out.print(line(f"next: python -m corpus {command}", "dim"))


def _would_keep(run: Run, life: dict[str, Any]) -> str:
    """The settings with which every rule would pass the document, as options; empty where there are none."""
    hit = [rule for rule in life["rules"] if rule["fired"]]
    keys = [setting_of(run.recipe, rule["rule"]) for rule in hit]
    numbers = all(isinstance(rule["value"], int | float) for rule in hit)
    if not numbers or None in keys or life["stage"] != "filter":
        return ""
    return " ".join(f"--set {key}={rule['value']!r}" for key, rule in zip(keys, hit, strict=True))


def _print(out: Console, run: Run, life: dict[str, Any]) -> None:
    fate = "kept" if life["kept"] else f"rejected: {life['reason']}"
    out.print(line(f"{life['id']}  {fate}", "bold green" if life["kept"] else "bold red"))
    _origin(out, life)
    _edits(out, life["edits"])
    _rules(out, life)
    _copying(out, life)
    _corrected(out, life)
    place = "docs/" if life["kept"] else f"ledger/, stage {life['stage']}, reason {life['reason']}"
    order_said = " -> ".join([*order(run.recipe), *([STAGE] if run.recipe.corrections.file else [])])
    out.print(line(f"\nIt is in {place}.", "bold"))
    out.print(line(f"  order of reasons: {order_said}\n", "dim"))


def _origin(out: Console, life: dict[str, Any]) -> None:
    origin, meta = life["provenance"], life["meta"] or {}
    facts = {
        "url": life["url"],
        "title": life["title"],
        "read from": f"{origin['file']}, record {origin['record']} (source {life['source']})",
        "extractor": origin["extractor"],
        "charset": meta.get("charset"),
        "repairs": f"{meta['repairs']:,} characters repaired or dropped in normalisation"
        if meta.get("repairs")
        else None,
        "language": life["lang"],
        "failed": life["detail"] if life["stage"] == "extract" else None,
        "takedown": life["detail"] if life["reason"] == TAKEDOWN else None,
        "text": f"{excerpt(life['text'], 200)} ({len(life['text']):,} characters)"
        if life["text"]
        else "none was extracted",
    }
    for name, value in facts.items():
        if value:
            out.print(line(f"  {name:<10} {value}"))


def _edits(out: Console, edits: list[dict[str, Any]]) -> None:
    if not edits:
        return
    out.print(line(f"\nCut or replaced: {len(edits):,} spans", "bold"))
    shown = [
        (
            edit["step"],
            edit["rule"],
            edit["start"],
            excerpt(edit["removed"], 120) or repr(edit["removed"]),
            edit["replacement"],
        )
        for edit in edits[:_MOST_EDITS]
    ]
    out.print(table(("step", "rule", "at", "removed", "replaced_by"), shown))
    if len(edits) > _MOST_EDITS:
        out.print(line(f"… and {len(edits) - _MOST_EDITS:,} more"))


def _rules(out: Console, life: dict[str, Any]) -> None:
    hit = [rule for rule in life["rules"] if rule["fired"]]
    first = f"{hit[0]['rule']} is first in the recipe" if hit and life["stage"] == "filter" else ""
    out.print(
        line(f"\nRules: {len(hit)} of {len(life['rules'])} fired {f'({first})' if first else ''}".rstrip(), "bold")
    )
    rows = []
    for rule in life["rules"]:
        verdict = "FIRED" if rule["fired"] else "not measured" if rule["value"] is None else "passed"
        rows.append((rule["rule"], say(rule["value"]), rule["rejects_when"], verdict))
    if any(rule["value"] is not None for rule in life["rules"]):
        out.print(table(("rule", "value", "rejects_when", "verdict"), rows))
    else:
        out.print(line("  nothing was measured: there is no text"))


def _corrected(out: Console, life: dict[str, Any]) -> None:
    for row in life["corrections"]:
        out.print(line(f"\nCorrection: {row.action} {row.value}".rstrip() + f" ({row.reason})", "bold"))
        out.print(line(f"  {row.said()}"))


def _copying(out: Console, life: dict[str, Any]) -> None:
    if life["stage"] == "dedup":
        evidence, kept = life["evidence"] or {}, life["kept_as"][0]["place"] if life["kept_as"] else None
        said = [
            f"{name} {say(evidence[name])}"
            for name in ("jaccard", "containment", "bands")
            if evidence.get(name) is not None
        ]
        run = f" in the earlier run {evidence['kept_in']}" if evidence.get("kept_in") else ""
        out.print(line(f"\nDuplicate ({evidence.get('kind')}) of {life['kept_id']}{run}", "bold"))
        kept = kept or (f"why {evidence['kept_in']} tells of it" if run else None)
        out.print(line(f"  {kept or 'without a URL'}{'; ' + ', '.join(said) if said else ''}"))
    if life["copies"]:
        out.print(line(f"\nCopies of it, rejected in its favour: {len(life['copies']):,}", "bold"))
        rows = [
            (copy["id"][:12], copy["kind"], copy["jaccard"], copy["place"]) for copy in life["copies"][:_MOST_COPIES]
        ]
        out.print(table(("copy", "kind", "similarity", "place"), rows))
        if len(life["copies"]) > _MOST_COPIES:
            out.print(line(f"… and {len(life['copies']) - _MOST_COPIES:,} more"))
    elif life["kept"]:
        out.print(line("\nNo copies of it were found.", "bold"))
