"""A recipe as TOML that `recipe.load` reads: only what differs from the schema's defaults, so that a person sees it."""

import json
from collections.abc import Mapping
from typing import Any

from trainer.recipe import Recipe, plain


def text(recipe: Recipe, comment: str = "") -> str:
    """The recipe, under a comment. Keys that have their default are left out: they are in docs/train.md."""
    default = plain(Recipe())
    tables = []
    for table, keys in plain(recipe).items():
        changed = {key: value for key, value in keys.items() if value != default[table][key]}
        if changed:
            tables.append("\n".join([f"[{table}]", *(f"{key} = {_value(value)}" for key, value in changed.items())]))
    head = [f"# {line}" for line in comment.splitlines()]
    return "\n\n".join(["\n".join(head), *tables]).strip() + "\n"


def _value(value: Any) -> str:
    """One value of TOML. A JSON string is one of TOML as well, but for the delete character and halves of pairs."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_value(str(key))} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
