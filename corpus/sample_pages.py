"""The standard library's documentation as web pages, rendered by pydoc.

Values are left out of the pages: `os.environ` would carry the user's secrets into a corpus, and sets and addresses
would make each run differ.
"""

import contextlib
import importlib
import inspect
import io
import pkgutil
import pydoc
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

BASE = "https://docs.python.example/library/"  # .example is reserved: nobody is crawled by mistake
# they open windows or browsers, print poems, start other programs, or are test material
SKIPPED = {
    "antigravity",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "nt",
    "pydoc_data",
    "readline",
    "rlcompleter",
    "test",
    "this",
    "tkinter",
    "turtle",
    "turtledemo",
    "venv",
}
PACKAGES = (
    "asyncio",
    "collections",
    "concurrent",
    "email",
    "html",
    "http",
    "importlib",
    "json",
    "logging",
    "multiprocessing",
    "unittest",
    "urllib",
    "xml",
)
ADDRESS = re.compile(r"(?: |&nbsp;)at(?: |&nbsp;)0x[0-9a-fA-F]{4,16}")
ENVIRONMENT = "environ({"  # the default of an argument of cgi's
FILE_LINK = re.compile(r'<br><a href="file:[^"]*">[^<]*</a>')
MIN_CHARS = 3_000  # shorter pages are lists of links
MAX_CHARS = 400_000


class _Pages(pydoc.HTMLDoc):
    def docother(self, object: object, name: str | None = None, mod: object = None, *ignored: object) -> str:  # noqa: A002
        return f"<strong>{name}</strong> ({type(object).__name__})" if name else type(object).__name__


def pages() -> Iterator[tuple[str, str]]:
    """(url, html) of every module that can be imported quietly, in alphabetical order."""
    renderer = _Pages()
    for name in sorted(set(_names())):
        module = quietly(name)
        if module is not None and inspect.getdoc(module):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                html = renderer.page(f"Python: module {name}", renderer.document(module, name))
            html = _anonymous(FILE_LINK.sub("", ADDRESS.sub("", html)))
            if MIN_CHARS < len(html) < MAX_CHARS and ENVIRONMENT not in html:
                yield f"{BASE}{name}.html", html.encode("utf-8", "replace").decode()


def _anonymous(html: str) -> str:
    """Without the paths of this machine, which are the defaults of some arguments."""
    for path in sorted({sys.executable, sys.prefix, sys.base_prefix, str(Path.home())}, key=len, reverse=True):
        if len(path) > 4:
            html = html.replace(path, "python")
    return html


def _names() -> Iterator[str]:
    yield from (name for name in sys.stdlib_module_names if not name.startswith("_") and name not in SKIPPED)
    for package in PACKAGES:
        module = quietly(package)
        for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{package}.", onerror=lambda name: None):
            if not any(part.startswith("_") for part in found.name.split(".")):
                yield found.name


def quietly(name: str) -> ModuleType | None:
    """The module, or None where it does not exist on this platform."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except Exception:  # whatever an old module raises when its platform or its service is missing
            return None
