"""What a search may change: a TOML file whose keys are a recipe's keys and whose values are ranges or lists.

A range is {low, high}, with log = true for rates and step = n for whole numbers. Keys that only make sense together
are options of one choice, under [together.NAME].
"""

import dataclasses
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainer.recipe import Recipe, RecipeError, parse, plain

DEFAULT = Path(__file__).parent / "recipes" / "tune.toml"
# Anything else would change what is measured (the validation text, the tokenizer: other text for the same tokens) or
# what a trial costs.
_TABLES = ("model", "optimizer")
_KEYS = ("data.sequence_length", "data.mixture", "train.batch_tokens", "train.spike_sigmas")


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included."""

    low: float
    high: float
    log: bool = False
    step: int = 0  # 0: any (whole) number
    whole: bool = False

    def holds(self, value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and not (self.step and (value - self.low) % self.step)


@dataclasses.dataclass(frozen=True)
class Choices:
    """One of several: label -> the keys of a recipe that it sets. Labels are what the search and its report name."""

    options: Mapping[Any, Mapping[str, Any]]


Space = Mapping[str, Range | Choices]


def load(path: Path | None, recipe: Recipe) -> Space:
    """The space of a file, or the default one. Raises RecipeError; every value is tried on `recipe` alone."""
    file = path or DEFAULT
    try:
        raw = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: not TOML: {error}") from None
    except OSError as error:
        raise RecipeError(f"{file}: {error.strerror}; give the path of a TOML file such as {DEFAULT.name}") from None
    return read(raw, recipe, str(file))


def read(raw: Mapping[str, Any], recipe: Recipe, name: str) -> Space:
    """A table of TOML as a space; RecipeError names `name`, the key and what is accepted."""
    found: dict[str, Range | Choices] = {}
    tables = dict(raw)
    together = tables.pop("together", {})
    for key, value in _leaves(tables, name):
        _check_key(key, recipe, name)
        found[key] = _range(key, value, recipe, name) if isinstance(value, dict) else _choices(key, value, name)
    for group, options in _options(together, name):
        for option in options.values():
            for key in option:
                _check_key(key, recipe, name)
                if key in found:
                    raise RecipeError(f"{name}: {key} is under together.{group} too: leave one of them out")
        found[group] = Choices(options)
    if not found:
        raise RecipeError(f'{name}: nothing to search: give a key, for example optimizer.matrices = ["muon", "adamw"]')
    for key, each in found.items():
        _try(key, each, recipe, name)
    return found


def change(recipe: Recipe, space: Space, picked: Mapping[str, Any], name: str = "search") -> Recipe:
    """A recipe with what was picked: a number for each range, a label for each choice. Raises RecipeError."""
    raw = plain(recipe)
    for key, each in space.items():
        keys = each.options[picked[key]] if isinstance(each, Choices) else {key: picked[key]}
        for path, value in keys.items():
            table, last = path.split(".", 1)
            raw[table][last] = value
    return parse(raw, name)


def picked_by(recipe: Recipe, space: Space) -> dict[str, Any] | None:
    """What to pick for the recipe itself; None where it lies outside the space."""
    raw, found = plain(recipe), {}
    for key, each in space.items():
        if isinstance(each, Range):
            labels = [value for value in [_value(raw, key)] if each.holds(value)]
        else:
            labels = [k for k, keys in each.options.items() if all(_value(raw, p) == v for p, v in keys.items())]
        if not labels:
            return None
        found[key] = max(labels, key=lambda label: len(_keys_of(each, label)))  # {} fits every recipe: last resort
    return found


def as_json(space: Space) -> str:
    """To tell whether two spaces are the same."""
    return json.dumps({key: dataclasses.asdict(each) for key, each in space.items()})


def _keys_of(each: Range | Choices, label: Any) -> Mapping[str, Any]:
    return each.options[label] if isinstance(each, Choices) else {}


def _value(raw: Mapping[str, Any], key: str) -> Any:
    table, last = key.split(".", 1)
    return raw[table].get(last)


def _leaves(tables: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    for table, keys in tables.items():
        if not isinstance(keys, dict):
            raise RecipeError(f"{name}: {table}: expected a table of a recipe, such as [optimizer], or [together.NAME]")
        yield from ((f"{table}.{key}", value) for key, value in keys.items())


def _check_key(key: str, recipe: Recipe, name: str) -> None:
    table, _, last = key.partition(".")
    tables = plain(recipe)
    if table not in tables or last not in tables[table]:
        accepted = ", ".join(f"{t}.{k}" for t in _TABLES for k in tables[t])
        raise RecipeError(f"{name}: {key} is no key of a recipe; accepted: {accepted}, {', '.join(_KEYS)}")
    if table not in _TABLES and key not in _KEYS:
        raise RecipeError(
            f"{name}: {key} cannot be searched, since trials would no longer be measured or paid alike; set it in the "
            f"recipe. Accepted: keys of {' and '.join(_TABLES)}, {', '.join(_KEYS)}"
        )


def _range(key: str, value: dict[str, Any], recipe: Recipe, name: str) -> Range:
    odd = set(value) - {"low", "high", "log", "step"}
    numbers = [value.get(end) for end in ("low", "high")]
    if odd or not all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in numbers):
        raise RecipeError(f"{name}: {key}: expected {{low = a, high = b}} with log = true or step = n, found {value!r}")
    low, high = value["low"], value["high"]
    log, step = value.get("log", False), value.get("step", 0)
    current = _value(plain(recipe), key)
    whole = isinstance(current, int) and not isinstance(current, bool)
    if whole and not all(isinstance(x, int) for x in (low, high, step)):
        raise RecipeError(f"{name}: {key}: expected whole numbers, found {value!r}")
    if not whole and (step or not isinstance(current, float)):
        raise RecipeError(f"{name}: {key}: expected {'no step' if step else 'a list of choices'}, found {value!r}")
    if low >= high or (log and low <= 0) or (log and step) or not isinstance(log, bool) or step < 0:
        raise RecipeError(
            f"{name}: {key}: expected low < high, above 0 with log = true, and log or step; got {value!r}"
        )
    return Range(low, high - (high - low) % step if step else high, log, step, whole)


def _choices(key: str, value: Any, name: str) -> Choices:
    if not isinstance(value, list) or len(value) < 2:
        raise RecipeError(f"{name}: {key}: expected a list of at least two choices or {{low, high}}, found {value!r}")
    options = {_label(one): {key: one} for one in value}
    if len(options) < len(value):
        raise RecipeError(f"{name}: {key}: a choice is there twice: {value!r}")
    return Choices(options)


def _label(value: Any) -> Any:
    """What optuna can keep: a scalar, or the JSON of a list or table."""
    return value if isinstance(value, str | int | float) else json.dumps(value, sort_keys=True)


def _options(together: Any, name: str) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    if not isinstance(together, dict):
        raise RecipeError(f"{name}: together: expected tables, such as [together.attention]")
    for group, options in together.items():
        good = isinstance(options, dict) and len(options) > 1 and all(isinstance(x, dict) for x in options.values())
        if not good or "." in group:
            raise RecipeError(
                f"{name}: together.{group}: expected at least two options, each a table of keys, for example "
                'wide = {"model.depth" = 2, "model.width" = 256}'
            )
        yield group, options


def _try(key: str, each: Range | Choices, recipe: Recipe, name: str) -> None:
    """RecipeError where one value, put into the recipe as it is, cannot be."""
    for pick in each.options if isinstance(each, Choices) else (each.low, each.high):
        change(recipe, {key: each}, {key: pick}, f"{name}: {key} = {pick}")
