"""`whatif`: what other thresholds would have kept and lost, from what a run has stored.

The answer is that of a rebuild, and says what it cannot know.
"""

import dataclasses
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from corpus.replay import Change, blind_spots, decide, revise, thresholds
from corpus.terminal import console, excerpt, line, say, table
from corpus.views import Run

# A token of a 32,000-word vocabulary is about four characters of English; other languages have more tokens.
CHARACTERS_PER_TOKEN = 4
_EXCERPT = 200
_MOVED = """
select *, before is not null and after is null as won
from decided where (before is null) <> (after is null)
"""
_SUMS = f"""
    count(*) as documents, coalesce(sum(words), 0)::bigint as words,
    (coalesce(sum(chars), 0) // {CHARACTERS_PER_TOKEN})::bigint as tokens
"""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What would change. `before`, `after`, `gained` and `lost` are sums: documents, words, tokens (estimated)."""

    changes: list[Change]
    before: dict[str, int]
    after: dict[str, int]
    gained: dict[str, int]
    lost: dict[str, int]
    by_source: list[dict[str, Any]]
    by_language: list[dict[str, Any]]
    by_reason: list[dict[str, Any]]
    examples: list[dict[str, Any]]
    not_known: list[str]


def answer(run: Run, overrides: Sequence[str], num_examples: int = 5) -> Answer:
    """Decide again. Leaves the table `decided` in the run's connection. Raises RecipeError, NotARun."""
    new, changes = revise(run, overrides)
    decide(run, new)
    run.db.execute(f"create or replace temp view moved as {_MOVED}")
    return Answer(
        changes,
        _sums(run, "decided where before is null"),
        _sums(run, "decided where after is null"),
        _sums(run, "moved where won"),
        _sums(run, "moved where not won"),
        _groups(run, "source"),
        _groups(run, "language"),
        run.rows(
            f"select won as gained, if(won, before, after) as reason, {_SUMS} from moved "
            "group by all order by gained desc, documents desc, reason"
        ),
        _examples(run, num_examples),
        blind_spots(run, new),
    )


def _sums(run: Run, of: str) -> dict[str, int]:
    return run.rows(f"select {_SUMS} from {of}")[0]


def _groups(run: Run, by: str) -> list[dict[str, Any]]:
    return run.rows(
        f"""select {by},
            count(*) filter (won) as gained, count(*) filter (not won) as lost,
            coalesce(sum(words) filter (won), 0)::bigint as words_gained,
            coalesce(sum(words) filter (not won), 0)::bigint as words_lost,
            (coalesce(sum(chars) filter (won), 0) // {CHARACTERS_PER_TOKEN})::bigint as tokens_gained,
            (coalesce(sum(chars) filter (not won), 0) // {CHARACTERS_PER_TOKEN})::bigint as tokens_lost
        from moved group by {by} order by gained + lost desc, {by}"""
    )


def _examples(run: Run, num_examples: int) -> list[dict[str, Any]]:
    """The same for the same question: ids are hashes, and the lowest are taken."""
    picked = run.rows(
        """select id, won as gained, if(won, before, after) as reason from moved
        qualify row_number() over (partition by won order by id) <= ? order by won desc, id""",
        [num_examples],
    )
    for row in picked:
        text = run.rows(
            f"select url, title, text from {'ledger' if row['gained'] else 'docs'} where id = ? limit 1", [row["id"]]
        )[0]
        row |= {"url": text["url"], "title": text["title"], "text": excerpt(text["text"], _EXCERPT)}
    return picked


def show(path: Path, overrides: Sequence[str], num_examples: int, as_json: bool) -> None:
    """Print what other thresholds would change. Raises NotARun, RecipeError."""
    with Run(path) as run:
        if not overrides:
            _guide(run)
            return
        found = answer(run, overrides, num_examples)
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
        return
    out = console()
    for change in found.changes:
        out.print(line(f"{change.key}: {say(change.before)} -> {say(change.after)}", "bold"))
    if not found.changes:
        out.print(line("nothing differs from the recipe of this run", "bold"))
    _totals(out, found)
    if found.by_reason:
        _details(out, found)
    for told in found.not_known:
        out.print(line(f"\nnot known: {told}", "yellow"))
    _next(out, path, overrides, found)


def _guide(run: Run) -> None:
    """Everything that can be tried, as it is now."""
    out = console()
    settings = run.recipe.resolved()
    keys = [key.split(".") for key in thresholds(run.recipe)]
    out.print(table(("setting", "value"), [(".".join(key), say(settings[key[0]][key[1]])) for key in keys]))
    first = ".".join(keys[0])
    out.print(line(f"\nnext: python -m corpus whatif {shlex.quote(str(run.path))} --set {first}=...", "dim"))


def _totals(out: Console, found: Answer) -> None:
    names = ("before", "after", "gained", "lost")
    sums = [(name, *getattr(found, name).values()) for name in names]
    out.print()
    out.print(table(("", "documents", "words", "tokens_(estimate)"), sums))


def _details(out: Console, found: Answer) -> None:
    for title, rows in (("By source", found.by_source), ("By language", found.by_language)):
        out.print(line(f"\n{title}", "bold"))
        out.print(table(tuple(rows[0]), [tuple(row.values()) for row in rows]))
    out.print(line("\nBy reason: why it was rejected before, or is now", "bold"))
    reasons = [("gained" if row["gained"] else "lost", *list(row.values())[1:]) for row in found.by_reason]
    out.print(table(("", "reason", "documents", "words", "tokens_(estimate)"), reasons))
    if found.examples:
        out.print(line("\nExamples", "bold"))
    for row in found.examples:
        sign = "+" if row["gained"] else "-"
        out.print(line(f"{sign} {row['id'][:12]}  {row['reason']}  {row['url'] or row['title'] or ''}"))
        out.print(line(f"    {row['text']}", "dim"))


def _next(out: Console, path: Path, overrides: Sequence[str], found: Answer) -> None:
    folder = shlex.quote(str(path))
    sets = " ".join(f"--set {shlex.quote(override)}" for override in overrides)
    out.print(line(f"\nnext: python -m corpus build RECIPE --out ANOTHER_RUN {sets}", "dim"))
    if found.examples:
        out.print(line(f"      python -m corpus why {folder} {found.examples[0]['id'][:12]}", "dim"))
