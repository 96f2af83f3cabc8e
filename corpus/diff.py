"""`diff`: what changed from one run to another, document by document, and by which rule or setting.

Two runs meet in DuckDB: by id first, and what is left by source and origin, since an id changes with the content.
Texts are only hashed, row by row.
"""

import dataclasses
import json
import shlex
import tempfile
from pathlib import Path
from typing import Any

import duckdb

from corpus.parts import replacing
from corpus.recipe import RecipeError
from corpus.replay import Change, changes, setting_of
from corpus.terminal import console, excerpt, line, say, table
from corpus.views import Run, literal, parquet

COLUMNS = {
    "change": "added, removed or edited",
    "id": "of the document in the second run; in the first where it is gone",
    "id_before": "of the document in the first run, where it is another one: the content at its origin changed",
    "source": "",
    "url": "",
    "reason_before": "why the first run rejected it; `not in the input` where it never read it",
    "reason_after": "the same for the second run",
    "rules": "every rule that fired in the one run and not in the other; of an edited text what edited it otherwise",
    "settings": "settings of those rules that differ between the two recipes",
    "kept_id": "the document whose copy it is or was",
    "chars_before": "",
    "chars_after": "",
}
UNREAD = "not in the input"
_MOST_ROWS = 40

# One row for each id, the kept one first: a record may have been read twice.
_TOLD = """
create table told_{side} as
select told.*, texts.hash, texts.chars from (
    select id, source, url, coalesce(nullif(url, ''), provenance.file || ' ' || provenance.record) as origin,
        true as kept, null as reason, []::varchar[] as rules, null::varchar as kept_id
    from {docs}
    union all
    select id, source, url, coalesce(nullif(url, ''), provenance.file || ' ' || provenance.record), false,
        if(stage = 'filter', hits[1]."filter", stage) || '.' || reason,
        if(
            stage = 'filter', list_transform(hits, lambda hit: hit."filter" || '.' || hit.reason),
            [stage || '.' || reason]
        ),
        kept_id
    from {ledger}
    qualify row_number() over (partition by id order by reason, kept_id) = 1
) told
left join (select id, hash(text) as hash, length(text) as chars from {docs}) texts on told.kept and texts.id = told.id
where told.kept or told.id not in (select id from {docs})
"""
_PAIRED = """
create table paired as
select told_a.id as id_a, told_b.id as id_b from told_a join told_b using (id)
union all
select a.id, b.id
from (
    select id, source, origin, row_number() over (partition by source, origin order by kept desc, id) as nth
    from told_a where id not in (select id from told_b)
) a
join (
    select id, source, origin, row_number() over (partition by source, origin order by kept desc, id) as nth
    from told_b where id not in (select id from told_a)
) b using (source, origin, nth)
"""
_MOVED = f"""
create table moved as
with met as (
    select a, b from paired join told_a a on a.id = id_a join told_b b on b.id = id_b
    union all select told_a, null from told_a where kept and id not in (select id_a from paired)
    union all select null, told_b from told_b where kept and id not in (select id_b from paired)
)
select
    case
        when a.kept and b.kept then 'edited'
        when b.kept then 'added'
        else 'removed'
    end as change,
    coalesce(b.id, a.id) as id,
    nullif(a.id, coalesce(b.id, a.id)) as id_before,
    coalesce(b.source, a.source) as source,
    coalesce(b.url, a.url) as url,
    if(a.id is null, '{UNREAD}', a.reason) as reason_before,
    if(b.id is null, '{UNREAD}', b.reason) as reason_after,
    case
        when a.kept and b.kept then []::varchar[]
        when a.id is null or b.id is null then ['{UNREAD}']
        when b.kept then a.rules
        else b.rules
    end as rules,
    coalesce(b.kept_id, a.kept_id) as kept_id,
    a.chars as chars_before,
    b.chars as chars_after
from met
where coalesce(a.kept, false) <> coalesce(b.kept, false) or (a.kept and b.kept and a.hash <> b.hash)
"""
# Edits of the documents that both runs kept with other texts, by rule, as one number each.
_EDITORS = """
create table editors as
with
    wanted as (select distinct coalesce(id_before, id) as id_a, id as id_b from moved where change = 'edited'),
    cut_a as (select id, step || '.' || rule as rule, bit_xor(hash(start, "end", removed, replacement)) as what
        from {a} where id in (select id_a from wanted) group by all),
    cut_b as (select id, step || '.' || rule as rule, bit_xor(hash(start, "end", removed, replacement)) as what
        from {b} where id in (select id_b from wanted) group by all),
    sides as (
        select id_b as id, rule, what, 'a' as side from wanted join cut_a on cut_a.id = id_a
        union all select id_b, rule, what, 'b' from wanted join cut_b on cut_b.id = id_b
    )
select id, list(rule order by rule) as rules from (
    select id, rule from sides group by id, rule
    having count(*) < 2 or min(what) <> max(what)
) group by id
"""


@dataclasses.dataclass(frozen=True)
class Difference:
    """What changed. `counts` and `examples` are rows as dictionaries."""

    settings: list[Change]
    before: int  # documents kept
    after: int
    added: int
    removed: int
    edited: int
    counts: list[dict[str, Any]]
    examples: list[dict[str, Any]]


def difference(before: Path, after: Path, num_examples: int = 5, out: Path | None = None) -> Difference:
    """Compare two runs; with `out`, write every changed document there. Raises NotARun."""
    offline: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    with Run(before) as a, Run(after) as b, duckdb.connect(config=offline) as db:
        db.execute(f"set temp_directory = {literal(tempfile.gettempdir() + '/winnow-duckdb')}")
        for side, run in (("a", a), ("b", b)):
            files = run.files()
            db.execute(_TOLD.format(side=side, docs=parquet(files["docs"]), ledger=parquet(files["ledger"])))
        db.execute(_PAIRED)
        db.execute(_MOVED)
        db.execute(_EDITORS.format(a=parquet(a.files()["edits"]), b=parquet(b.files()["edits"])))
        settings = changes(a.settings, b.settings)
        _blame(db, a, b, settings)
        _resolve(db)
        if out is not None:
            _write(db, out)
        sums: dict[str, int] = dict(db.execute("select change, count(*) from changed group by change").fetchall())
        return Difference(
            settings,
            a.manifest["docs"],
            b.manifest["docs"],
            sums.get("added", 0),
            sums.get("removed", 0),
            sums.get("edited", 0),
            _rows(db, _COUNTS),
            _rows(db, _EXAMPLES, [num_examples]),
        )


_COUNTS = """
select change, source, rules[1] as reason, array_to_string(settings, ', ') as settings, count(*) as documents
from changed group by all order by documents desc, change, source, reason, settings
"""
_EXAMPLES = """
select * from changed qualify row_number() over (partition by change order by id) <= ? order by change, id
"""


def _resolve(db: duckdb.DuckDBPyConnection) -> None:
    """The table `changed`: one row for each document that changed, of the columns `COLUMNS`."""
    db.execute("""
        create table changed as
        with told as (
            select moved.* replace (
                case
                    when change <> 'edited' then moved.rules
                    when id_before is not null then ['content']
                    else coalesce(editors.rules, ['extract'])
                end as rules
            )
            from moved left join editors on change = 'edited' and editors.id = moved.id
        ),
        named as (
            select id, list_sort(list_distinct(flatten(list(settings)))) as settings
            from (select id, unnest(rules) as rule from told) join blamed using (rule) group by id
        )
        select change, id, id_before, source, url, reason_before, reason_after, rules,
            coalesce(settings, []) as settings, kept_id, chars_before, chars_after
        from told left join named using (id)
    """)


def _blame(db: duckdb.DuckDBPyConnection, before: Run, after: Run, settings: list[Change]) -> None:
    """The table `blamed`: for each rule the settings that differ and that it, or what it reads, depends on."""
    db.execute("create table blamed (rule varchar, settings varchar[])")
    found = db.execute("""
        select distinct unnest(rules) as rule from moved union select distinct unnest(rules) from editors
        union select 'extract' order by rule
    """).fetchall()
    for (rule,) in found:
        named = _settings(rule, before, after, [change.key for change in settings])
        if named:
            db.execute("insert into blamed values (?, ?)", [rule, named])


def _settings(rule: str, before: Run, after: Run, keys: list[str]) -> list[str]:
    step = rule.partition(".")[0]
    own = {_setting(run, rule) for run in (before, after)} & set(keys)
    if any(own):
        return sorted(key for key in own if key)
    of_step = [key for key in keys if key == step or key.startswith(f"{step}.")]
    in_one = [step in run.settings["steps"] for run in (before, after)] in ([True, False], [False, True])
    if step == "correction":
        return [key for key in keys if key == "tombstones"]
    if rule == UNREAD:
        return [key for key in keys if key == "sources"]
    return of_step or (["steps"] if in_one else [])


def _setting(run: Run, rule: str) -> str | None:
    try:
        return setting_of(run.recipe, rule)
    except (KeyError, RecipeError):  # no rule of a filter, or of one that this version has not
        return None


def _write(db: duckdb.DuckDBPyConnection, out: Path) -> None:
    with replacing(out) as temporary:
        rows = "select * from changed order by change, source, id"
        db.execute(f"copy ({rows}) to {literal(str(temporary))} (format parquet, compression zstd)")


def _rows(db: duckdb.DuckDBPyConnection, query: str, parameters: object = None) -> list[dict[str, Any]]:
    result = db.execute(query, parameters)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def show(before: Path, after: Path, num_examples: int, out: Path | None, as_json: bool) -> None:
    """Print what changed. Raises NotARun."""
    found = difference(before, after, num_examples, out)
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
        return
    to = console()
    for change in found.settings:
        values = [excerpt(say(value), 200) for value in (change.before, change.after)]
        to.print(line(f"{change.key}: {' -> '.join(values)}", "bold"))
    if not found.settings:
        to.print(line("the two recipes are the same", "bold"))
    sums = [(found.before, found.added, found.removed, found.edited, found.after)]
    to.print()
    to.print(table(("kept_before", "added", "removed", "edited", "kept_after"), sums))
    if found.counts:
        to.print(line("\nBy source and reason", "bold"))
        to.print(table(tuple(found.counts[0]), [tuple(row.values()) for row in found.counts[:_MOST_ROWS]]))
    if found.examples:
        to.print(line("\nExamples", "bold"))
    for row in found.examples:
        sign = {"added": "+", "removed": "-", "edited": "~"}[row["change"]]
        to.print(line(f"{sign} {row['id'][:12]}  {', '.join(row['rules'])}  {row['url'] or ''}"))
    if out is not None:
        to.print(line(f"\nevery document that changed: {out}"))
    if found.examples:
        row = found.examples[-1]
        where = before if row["reason_after"] == UNREAD else after
        to.print(line(f"\nnext: python -m corpus why {shlex.quote(str(where))} {row['id'][:12]}", "dim"))
