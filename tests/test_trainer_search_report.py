"""The pages load nothing, obey nothing that they show, and are the same bytes for the same search."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the extra `search` is not installed")

from trainer import power_law, search_report
from trainer.recipe import Recipe
from trainer.scale import Run, Study
from trainer.search_space import Choices, Range
from trainer.trials import Trial
from trainer.tune import Found

EVIL = '<script>alert("$x_1$")</script> & \u202e$\\frac{1}{0}$'


def found(trials: int = 12) -> Found:
    space = {"optimizer.lr": Range(0.001, 0.1, log=True), EVIL: Choices({EVIL: {"model.depth": 1}, "b": {}})}
    made = [
        Trial(
            n, ("complete", "stopped", "failed")[n % 3], EVIL if n % 3 == 2 else "", None if n % 3 == 2 else 2 - n / 50,
            100 * n, 1000, {"optimizer.lr": 0.001 * (n + 1), EVIL: EVIL if n % 2 else "b"},
            () if n % 3 == 2 else tuple((at, 3 - at / 10) for at in range(1, 11)),
        )
        for n in range(trials)
    ]  # fmt: skip
    return Found(Path("out"), made[0], Recipe(), space, tuple(made), {"optimizer.lr": 0.75, EVIL: 0.25})


def study() -> Study:
    law = power_law.Law(0.9, 120.0, 0.34, 30.0, 0.28)
    runs = tuple(
        Run(
            depth,
            size,
            tokens,
            0.5,
            float(law.loss(size, tokens)) * (1 + 0.001 * depth),
            6.0 * size * tokens,
            7.0,
            tokens,
        )
        for depth, size in ((1, 10_000), (2, 50_000), (3, 200_000))
        for tokens in (10_000, 50_000, 250_000)
    )
    fit = power_law.fit([r.parameters for r in runs], [r.tokens for r in runs], [r.bits_per_byte for r in runs])
    return Study(Path("out"), runs, fit, None, None, (EVIL,), (EVIL,))


class Page(HTMLParser):
    """Tags in order, and every attribute that a browser would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data", "action")
        ]


@pytest.mark.parametrize("page", ["tune", "scale"])
def test_a_page_loads_and_runs_nothing(page: str) -> None:
    text = search_report.tune_page(found(), 1000) if page == "tune" else search_report.scale_page(study())
    seen = Page(text)
    assert "script" not in seen.tags
    assert not [address for address in seen.fetched if not address.startswith("#")]
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text
    assert "<script>" not in text
    assert "\u202e" not in text
    assert "default-src 'none'" in text
    assert seen.tags.count("svg") == (4 if page == "tune" else 2)


def test_the_same_search_is_the_same_page() -> None:
    assert search_report.tune_page(found(), 1000) == search_report.tune_page(found(), 1000)


def test_ids_in_a_page_are_used_once_or_say_the_same() -> None:
    text = search_report.tune_page(found(), 1000)
    for name in set(re.findall(r'<clipPath id="([^"]+)"', text)):
        assert len(set(re.findall(rf'<clipPath id="{name}">(.*?)</clipPath>', text, re.DOTALL))) == 1


def test_every_trial_is_in_the_page_with_its_reason() -> None:
    text = search_report.tune_page(found(), 1000)
    assert text.count("<tr>") == 1 + 12 + 1 + 2  # trials with their head, importance with its own
    assert text.count("alert(&quot;$x_1$&quot;)") >= 4
    assert "too few to tell" not in text


def test_a_search_with_one_trial_has_a_page() -> None:
    assert "trial 0" in search_report.tune_page(found(1), 1000)
