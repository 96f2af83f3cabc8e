"""A mapping of keys to values, as JSON lines and Parquet rows are, to a record."""

import re
from collections.abc import Mapping
from typing import Any

from corpus.readers import Record, Settings

SURROGATES = re.compile("[\ud800-\udfff]")
ROLES = ("role", "from", "speaker")  # OpenAI's name first, then ShareGPT's
MAX_INTEGER = 1 << 63
MAX_DEPTH = 100
CONTENTS = ("content", "value", "text")


def record_of(row: Mapping[str, Any], position: int, settings: Settings) -> Record:
    """Fills a record; one without text or turns fails with `no_text`. Keys that no setting names go to `extra`."""
    s = settings
    known = (s.url_key, s.title_key, s.date_key, s.id_key, s.license_key)
    url, title, date, origin, licence = [_scalar(row[key]) if key in row else None for key in known]
    turns = _turns(row.get(s.turns_key))
    text = row.get(s.text_key)
    record = Record(position, url, origin, title=title, date=date, license=licence, turns=turns)
    used = {key for key, value in zip(known, (url, title, date, origin, licence), strict=True) if value is not None}
    if isinstance(text, str) and text.strip():
        record.text = text
    elif turns:
        record.text = render(turns)
    else:
        found = f"is {type(text).__name__}" if text is not None and not isinstance(text, str) else "is missing or empty"
        record.failure = ("no_text", f"{s.text_key!r} {found}")
    used |= {s.text_key} if record.text is text else set()
    used |= {s.turns_key} if turns else set()
    extra = {str(key): _plain(value) for key, value in row.items() if key not in used and value is not None}
    record.extra = extra or None
    return record


def render(turns: list[dict[str, str]]) -> str:
    """`role: content` blocks with an empty line between."""
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)


def without_surrogates(value: Any) -> Any:
    """Half a pair of surrogates is no character and no UTF-8: U+FFFD in its place, through lists and objects."""
    if isinstance(value, str):
        return value if value.isascii() else SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [without_surrogates(v) for v in value]
    if isinstance(value, dict):
        return {without_surrogates(k): without_surrogates(v) for k, v in value.items()}
    return value


def _plain(value: Any, depth: int = 0) -> Any:
    """What JSON can hold: orjson refuses dates of odd types, integers beyond 64 bits and more than 254 levels."""
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        return value if -MAX_INTEGER <= value < MAX_INTEGER else str(value)
    if isinstance(value, list | tuple) and depth < MAX_DEPTH:
        return [_plain(v, depth + 1) for v in value]
    if isinstance(value, dict) and depth < MAX_DEPTH:
        return {str(k): _plain(v, depth + 1) for k, v in value.items()}
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _scalar(value: Any) -> str | None:
    if type(value) is str:
        return value or None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value.isoformat() if hasattr(value, "isoformat") else None
    return str(value) or None


def _turns(value: Any) -> list[dict[str, str]] | None:
    if not isinstance(value, list):
        return None
    turns = [turn for v in value if isinstance(v, dict) and (turn := _turn(v))]
    return turns or None


def _turn(value: dict[str, Any]) -> dict[str, str] | None:
    role = next((value[k] for k in ROLES if isinstance(value.get(k), str)), None)
    content = next((text for k in CONTENTS if (text := _content(value.get(k)))), None)
    return {"role": role, "content": content} if role and content else None


def _content(value: Any) -> str | None:
    if isinstance(value, list):  # parts; images and tool calls have no text
        parts = [p.get("text") if isinstance(p, dict) else p for p in value]
        return "\n".join(p for p in parts if isinstance(p, str)) or None
    return value if isinstance(value, str) else None
