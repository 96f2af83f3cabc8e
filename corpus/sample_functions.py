"""What the functions and classes of the installed numerical packages say of themselves: one document each.

They are most of the sample's text: enough prose, tables and code to train a first model on.
"""

import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from corpus.sample_pages import quietly

PACKAGES = ("numpy", "pyarrow", "scipy")  # Winnow needs them, so that they are there
MIN_CHARS = 400  # shorter ones are lists of arguments
# in texts that are written anew by each process: results of random examples, the print-out of a set
VARYING = ("may vary", "Use of argument(s) ``{")
TESTS = {"conftest", "testing", "tests"}


def docstrings() -> list[dict[str, str]]:
    """{id, title, text} in alphabetical order. Each text once, under the first name that has it."""
    seen: set[str] = set()
    found = []
    for name, text in sorted(_found(), key=lambda pair: (pair[0].count("."), pair[0])):
        if len(text) >= MIN_CHARS and text not in seen and not any(mark in text for mark in VARYING):
            seen.add(text)
            found.append({"id": name, "title": name, "text": text})
    return found


def _found() -> Iterator[tuple[str, str]]:
    # all of them first: some packages rewrite the texts of others when they are loaded
    modules = [found for package in PACKAGES for found in _modules(package)]
    for name, module in modules:
        for key, value in sorted(vars(module).items()):
            if not key.startswith("_") and not inspect.ismodule(value):
                yield from _texts(f"{name}.{key}", value)


def _modules(package: str) -> Iterator[tuple[str, ModuleType]]:
    """The package and its public modules, one level down."""
    top = quietly(package)
    if top is None:
        return
    yield package, top
    for found in pkgutil.iter_modules(top.__path__, f"{package}."):
        last = found.name.rpartition(".")[2]
        module = None if last.startswith("_") or last in TESTS else quietly(found.name)
        if module is not None:
            yield found.name, module


def _texts(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Its own text and, of a class, its public methods'."""
    members = sorted(vars(value).items()) if inspect.isclass(value) else []
    for key, what in [("", value), *members]:
        text = getattr(what, "__doc__", None)
        # a value without a text of its own has its class's
        if not key.startswith("_") and isinstance(text, str) and (inspect.isclass(what) or callable(what)):
            yield f"{name}.{key}".rstrip("."), inspect.cleandoc(text)
