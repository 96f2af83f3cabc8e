"""A run for the tests of what is asked of runs: two sources, every kind of duplicate, and text that would do harm."""

import json
from pathlib import Path
from typing import Any

from conftest import prose, write_jsonl

from corpus.build import build

HOSTILE = "Bad\x1b[31m [bold red]title[/bold red] <script>alert(1)</script> \u202egnp.exe"
RECIPE = """
steps = ["language", "repetition", "quality", "c4_lines", "c4", "fineweb"]

[[sources]]
name = "pages"
kind = "jsonl"
files = ["{folder}/pages.jsonl"]

[[sources]]
name = "teasers"
kind = "jsonl"
files = ["{folder}/teasers.jsonl"]

[write]
split_mb = 0.02

[language]
keep = ["en"]
min_score = 0.3

[fineweb]
max_repeated_line_characters = 0.2
"""


def rows() -> list[dict[str, Any]]:
    """Documents of the first source."""
    pages: list[dict[str, Any]] = [
        {"url": f"https://host{n % 4}.example/page/{n}", "title": f"Page {n}", "text": prose(n, 6 + n % 12)}
        for n in range(60)
    ]
    pages += [{"url": f"https://short.example/{n}", "text": prose(100 + n, 1 + n % 3)} for n in range(12)]
    near = prose(3, 40)
    added = "\nLine {} of another hand was added here, after all the others had been written."
    pages += [
        {"url": f"https://near.example/{n}", "text": near + "".join(added.format(i) for i in range(n))}
        for n in range(3)
    ]
    # Alike by about 0.8: which of them fall together depends on dedup.min_jaccard.
    pages += [{"url": f"https://alike.example/{n}", "text": prose(7, 40) + "\n" + prose(200 + n, 4)} for n in range(4)]
    pages += [
        {"url": "https://copy.example/1", "text": prose(5, 14).upper()},
        {"url": "https://copy.example/2", "text": prose(11, 17)},
    ]
    pages += [pages[0], {**pages[1], "text": prose(300, 20)}]  # read twice; another text under the same address
    pages += [
        {"url": "https://empty.example/", "text": "  "},
        {"url": "https://repeated.example/", "text": "Again and again.\n" * 40},
    ]
    pages += [{"url": f"https://hostile.example/{HOSTILE}", "title": HOSTILE, "text": prose(400, 12) + "\n" + HOSTILE}]
    return pages


def small_run(folder: Path, *overrides: str, name: str = "run") -> Path:
    """Build the run, with overrides."""
    if not (folder / "recipe.toml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_jsonl(folder / "pages.jsonl", rows())
        write_jsonl(folder / "teasers.jsonl", [{"text": f"Teaser {n}: read more about it here."} for n in range(25)])
        (folder / "recipe.toml").write_text(RECIPE.format(folder=folder), "utf-8")
    build(folder / "recipe.toml", folder / name, overrides)
    return folder / name


def printed(text: str) -> list[dict[str, Any]]:
    """Rows of output that is one JSON object a line."""
    return [json.loads(row) for row in text.splitlines()]
