"""A run decided again with other thresholds: what a rebuild would keep, without another pass over the text.

Rules are evaluated as SQL on the stored signals. Who is whose duplicate depends on who survives the rules, so
deduplication is replayed on the stored keys, and only the texts of candidates are read.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus import corrections
from corpus import recipe as recipes
from corpus.against import earlier
from corpus.decide import rules
from corpus.dedup import replay as dedup
from corpus.duplicates import read_keys
from corpus.edited import texts
from corpus.plan import Part, Task
from corpus.recipe import EXTRACT, Recipe, RecipeError
from corpus.views import NotARun, Run, literal

# Settings of [dedup] that only decide; the others change the stored keys.
_DECIDING = ("min_jaccard", "keep", "url", "exact")
_NO_DOCUMENT = ("write",)  # settings that decide about no document


@dataclasses.dataclass(frozen=True)
class Change:
    """One setting that differs."""

    key: str
    before: Any
    after: Any


def thresholds(recipe: Recipe) -> list[str]:
    """The settings that can be replayed, in the order of the recipe."""
    found = [f"{name}.{field}" for name, step in recipe.filters().items() for field in _compared(step)]
    return [*found, *(f"dedup.{name}" for name in _DECIDING)]


def _compared(step: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(step) if field.metadata.get("threshold")]


def setting_of(recipe: Recipe, rule: str) -> str | None:
    """The numeric setting that a rule, `quality.too_short`, is compared with: the one whose change changes it."""
    table, _, reason = rule.partition(".")
    step: Any = recipe.filters()[table]
    before = {found.reason: found for found in step.rules()}
    for field in _compared(step):
        value = getattr(step, field)
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                after = {found.reason: found for found in dataclasses.replace(step, **{field: value / 2 + 1}).rules()}
            except ValueError:  # a value that the filter refuses
                continue
            if after.get(reason) != before[reason]:
                return f"{table}.{field}"
    return None


def revise(run: Run, overrides: Sequence[str]) -> tuple[Recipe, list[Change]]:
    """The run's recipe with overrides, and what they change. Raises RecipeError, also for what cannot be replayed."""
    raw, old = run.settings, run.recipe
    for override in overrides:
        recipes.put(raw, override)
    new = recipes.parse(raw, "--set")
    changed = changes(old.resolved(), new.resolved())
    for change in changed:
        _check(change, old)
    return new, changed


def changes(before: Any, after: Any, at: str = "") -> list[Change]:
    """The settings in which two resolved recipes differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        return [
            found for key in keys for found in changes(before.get(key), after.get(key), f"{at}.{key}" if at else key)
        ]
    return [] if before == after else [Change(at, before, after)]


def _check(change: Change, recipe: Recipe) -> None:
    accepted = thresholds(recipe)
    turned_off = change.key == "dedup.near" and not change.after
    table = change.key.partition(".")[0]
    if change.key in accepted or turned_off or table in _NO_DOCUMENT:
        return
    stage = {"sources": "extract", "extract": "extract", "tombstones": "extract"}.get(table, "measure")
    stage = "dedup" if change.key == "dedup.against" else stage
    same = [key for key in accepted if key.startswith(f"{table}.")]
    raise RecipeError(
        f"--set {change.key}: is no threshold, so its effect is not stored: a rebuild redoes the stage `{stage}` "
        f"and what follows; accepted here: {', '.join(same or accepted)}"
    )


def decide(run: Run, new: Recipe) -> None:
    """Make the table `decided`: every row read with its fate `before` and `after`; null is kept. Raises NotARun."""
    blocks = [row for row in corrections.of_run(run.path) if row.action == "block"]
    told = {name: pa.array([getattr(row, name) for row in blocks], pa.string()) for name in ("id", "reason")}
    run.db.register("blocks", pa.table(told))
    ruled = _RULED.format(old=_first(run.recipe), new=_first(new), files=_files(run))
    run.db.execute(f"create or replace temp table ruled as {ruled}")
    run.db.unregister("blocks")
    run.db.register("found", _duplicates(run, new))
    run.db.execute("create or replace temp table copied as from found")
    run.db.unregister("found")
    run.db.execute("create or replace temp table decided as " + _DECIDED)


# A text that no rule of the new recipe rejects, unless somebody had it taken down. What a signed correction blocks is
# alive: it is blocked only after duplicates are found, so that its copies do not come back.
_ALIVE = "chars is not null and rule_after is null and (coalesce(stage, '') <> 'correction' or block is not null)"
_RULED = """
select list_position({files}, signals.filename) - 1 as part, file_row_number as row, signals.id, signals.source,
    coalesce(signals.lang, 'not known') as language, words, chars, signals.kept, told.stage, told.reason,
    {old} as rule_before, {new} as rule_after, blocks.reason as block
from read_parquet({files}, filename = true, file_row_number = true) signals
left join (
    select id, any_value(stage) as stage, any_value(reason) as reason
    from ledger where stage in ('extract', 'correction') group by id
) told on told.id = signals.id and not signals.kept
left join blocks on blocks.id = signals.id
"""
_DECIDED = f"""
select ruled.*,
    case
        when kept then null
        when stage is not null then stage || '.' || reason
        else coalesce(rule_before, 'dedup.' || pairs.kind || '_duplicate')
    end as before,
    case
        when {_ALIVE} and copied.kind is not null then 'dedup.' || copied.kind || '_duplicate'
        when {_ALIVE} then 'correction.' || block
        when stage is not null then stage || '.' || reason
        when rule_after is not null then rule_after
        else 'unknown'
    end as after
from ruled
left join (select id, any_value(kind) as kind from duplicates group by id) pairs on pairs.id = ruled.id
left join copied on copied.part = ruled.part and copied.row = ruled.row
"""


def _first(recipe: Recipe) -> str:
    """SQL: the name of the first rule that fires, or null."""
    cases = [f"when {bound.sql} then {literal(bound.name)}" for bound in rules(recipe)]
    return f"case {' '.join(cases)} else null end" if cases else "null::varchar"


def _files(run: Run) -> str:
    return "[" + ", ".join(map(literal, run.files()["signals"])) + "]"


class _Stored:
    """A part of a run as deduplication wants it."""

    def __init__(self, task: Task) -> None:
        self._task = task

    @property
    def keys(self) -> pa.Table:
        return read_keys(self._task)

    def texts(self, rows: npt.NDArray[np.int64]) -> Any:
        return texts(self._task, rows)


def _duplicates(run: Run, new: Recipe) -> pa.Table:
    """(part, row, kind, kept_id, jaccard) of what deduplication rejects among the survivors of the new rules."""
    source = run.recipe.sources[0]  # any: stored files are found by the name of the part alone
    tasks = [Task(run.path, Part(name, source, (), ""), run.recipe, {}) for name in run.manifest["parts"]]
    try:
        survives = [np.zeros(read_keys(task).num_rows, np.bool_) for task in tasks]
        for part, rows in _alive(run).items():
            survives[part][rows] = True
        before = [part for _, part in earlier(new, run.path)]
        stored = [_Stored(task) for task in tasks]
        verdicts = dedup.deduplicate(stored, survives, new.dedup, earlier=before).verdicts
    except FileNotFoundError as error:
        raise NotARun(
            f"{error.filename or error}: is missing, and duplicates cannot be decided again without it"
        ) from None
    refs = verdicts["docref"].to_numpy()
    part, row = (refs >> np.uint64(32)).astype(np.int64), (refs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    told = {name: verdicts[name] for name in ("kind", "kept_id", "jaccard")}
    return pa.table({"part": pa.array(part), "row": pa.array(row), **told})


def _alive(run: Run) -> dict[int, npt.NDArray[np.int64]]:
    found = run.db.execute(f"select part, row from ruled where {_ALIVE} order by part, row").fetchnumpy()
    parts, rows = np.asarray(found["part"]), np.asarray(found["row"], np.int64)
    return {int(part): rows[parts == part] for part in np.unique(parts)}


def blind_spots(run: Run, new: Recipe) -> list[str]:
    """What a rebuild might add that nothing stored can tell: pages that were never extracted."""
    found = []
    unread = run.rows("select count(*) as n from decided where after = 'unknown'")[0]["n"]
    if unread:
        found.append(
            f"the text of {_many(unread, 'document')} passed over by address: "
            "a rebuild redoes the stage `extract` and would read it"
        )
    if _quick_list(new) != _quick_list(run.recipe):
        query = "select count(*) as n from ledger where stage = 'extract' and reason = 'other_language'"
        found.append(
            f"the fate of {_many(run.rows(query)[0]['n'], 'page')} dropped for language before extraction, by a check "
            "that reads the same list: a rebuild redoes the stage `extract` and may decide otherwise"
        )
    return found


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _quick_list(recipe: Recipe) -> Any:
    if EXTRACT not in recipe.steps or not recipe.extract.quick_language or "language" not in recipe.settings:
        return None
    return recipe.settings["language"].keep
