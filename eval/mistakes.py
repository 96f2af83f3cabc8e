"""What a model said wrongly, and what it should have said: the input of `attribute`, from a file or a command line."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.lib as pal
import pyarrow.parquet as pq

from corpus.failures import Failure
from eval.chance import digest
from eval.documents import NoDocuments, read_lines

if TYPE_CHECKING:
    from trainer.tokenizer import Tokenizer

_NEEDED = ("prompt", "wrong")


class BadMistakes(Failure):
    """A file or an option that tells of no error, or not enough of one."""

    status = 2


@dataclass(frozen=True)
class Mistake:
    """One error. `prompts` ask the same in several wordings; `right` is None where the right answer is not known."""

    id: str
    prompts: tuple[str, ...]
    wrong: str
    right: str | None = None

    def text(self) -> str:
        """What to look for: every prompt, and the wrong answer behind the last of them."""
        return joined(" ".join(self.prompts), self.wrong)


def of_options(prompt: str, wrong: str, right: str | None) -> Mistake:
    """The error of a command line. Raises BadMistakes where prompt or wrong are empty."""
    if not prompt.strip() or not wrong.strip():
        raise BadMistakes("an error needs --prompt and --wrong, both with text in them; or give --errors FILE")
    return Mistake(digest(prompt, wrong)[:12], (prompt,), wrong, right or None)


def load(path: Path) -> list[Mistake]:
    """Errors of a Parquet or JSONL file with the columns id, prompt, wrong, right; in order of the file.

    Rows of one id are wordings of one error; id and right may be missing. Raises BadMistakes.
    """
    if not path.is_file():
        raise BadMistakes(f"{path}: no such file of errors; give a Parquet or JSONL file, or --prompt and --wrong")
    return collected(_rows(path), str(path))


def collected(rows: Iterable[Mapping[str, Any]], name: str) -> list[Mistake]:
    """Rows as errors. Raises BadMistakes for a row without what is needed, or one id with several answers."""
    found: dict[str, Mistake] = {}
    for number, row in enumerate(rows, 1):
        missing = next((key for key in _NEEDED if not isinstance(row.get(key), str) or not row[key].strip()), None)
        if missing:
            raise BadMistakes(f"{name}: row {number} has no text in `{missing}`; needed are {' and '.join(_NEEDED)}")
        right = row.get("right") or None
        mine = Mistake(
            str(row.get("id") or digest(row["prompt"], row["wrong"])[:12]), (row["prompt"],), row["wrong"], right
        )
        before = found.get(mine.id, mine)
        if (before.wrong, before.right) != (mine.wrong, mine.right):
            raise BadMistakes(
                f"{name}: row {number}: id {mine.id} stands for another answer further up; give it its own"
            )
        prompts = tuple(dict.fromkeys((*before.prompts, *mine.prompts)))
        found[mine.id] = Mistake(mine.id, prompts, mine.wrong, mine.right)
    return list(found.values())


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    try:
        if not is_parquet:
            return [row for _, row in read_lines(path)]
        table = pq.read_table(path)
    except (NoDocuments, pal.ArrowException, json.JSONDecodeError) as error:
        raise BadMistakes(f"{path}: neither Parquet nor JSONL: {error}") from None
    lacking = next((key for key in _NEEDED if key not in table.column_names), None)
    if lacking:
        raise BadMistakes(f"{path}: no column `{lacking}`; found {', '.join(table.column_names)}")
    return list(table.select([n for n in ("id", "prompt", "wrong", "right") if n in table.column_names]).to_pylist())


def joined(prompt: str, answer: str) -> str:
    """Prompt and answer as one text; with a space between two words of a script that has spaces."""
    if prompt and answer and _spaced(prompt[-1]) and _spaced(answer[0]):
        return f"{prompt} {answer}"
    return prompt + answer


def _spaced(character: str) -> bool:
    return character.isalnum() and not "\u3040" <= character <= "\u9fff"


def stated(answer: str, text: str) -> Iterator[tuple[str, str]]:
    """Of each place where a text says an answer in words of its own: what is before it, and it with its space."""
    said = answer.strip()
    if not said:
        return
    words = r"[^\W\u3040-\u9fff]"
    first, last = (words if _spaced(edge) else r"\A\Z" for edge in (said[0], said[-1]))
    for found in re.finditer(rf"(?<!{first}){re.escape(said)}(?!{last})", text):
        before = text[: found.start()].rstrip()
        yield before, text[len(before) : found.end()]


def tokens_of(prompt: str, answer: str, tokenizer: "Tokenizer") -> tuple[list[int], list[int]]:
    """Tokens of the prompt, and of the answer as it is written behind it."""
    before, both = tokenizer.encode(prompt), tokenizer.encode(joined(prompt, answer))
    if both[: len(before)] == before and len(both) > len(before):
        return before, both[len(before) :]
    behind = joined(prompt, answer)[len(prompt) :]  # a token would reach over the border
    return before, tokenizer.encode(behind)
