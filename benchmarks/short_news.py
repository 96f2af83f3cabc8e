"""Short news pages with long rails, made of real texts: what collections of gold pages lack and crawls are full of.

Each page takes the first paragraphs of one gold article and puts them into a page of one of six layouts, among teasers
(title and first sentence) of other articles. No layout names its parts like another, and two name nothing.
"""

import html
import random
import re
from collections.abc import Callable, Sequence

Story = tuple[str, list[str]]
SENTENCE = re.compile(r"^.{30,200}?[.!?](?=\s|$)")


def stories(gold: Sequence[tuple[str, str]]) -> list[Story]:
    """(title, paragraphs) of gold articles; paragraphs are lines with a full stop."""
    found = []
    for title, text in gold:
        paragraphs = [line for line in text.split("\n") if len(line) > 80 and line.rstrip()[-1] in '.!?”"']
        if title and len(paragraphs) >= 5:
            found.append((title, paragraphs))
    return found


def cases(gold: Sequence[tuple[str, str]], number: int, seed: int = 1) -> list[tuple[str, str]]:
    """(html, gold text) of as many pages."""
    draw = random.Random(seed)
    held = stories(gold)
    made = []
    for k in range(number):
        title, paragraphs = draw.choice(held)
        body = paragraphs[: draw.randint(1, 4)]
        rail = [draw.choice(held) for _ in range(draw.randint(8, 30))]
        made.append((LAYOUTS[k % len(LAYOUTS)](title, body, rail, draw), "\n".join(body)))
    return made


def _teaser(story: Story) -> tuple[str, str]:
    sentence = SENTENCE.match(story[1][0])
    return html.escape(story[0]), html.escape(sentence[0] if sentence else story[1][0][:120])


def _p(paragraphs: Sequence[str]) -> str:
    return "".join(f"<p>{html.escape(p)}</p>\n" for p in paragraphs)


def _page(title: str, body: str) -> str:
    return f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{html.escape(title)}</title></head><body>{body}</body></html>"


NAV = (
    "<ul>"
    + "".join(f'<li><a href="/{w}">{w}</a></li>' for w in "World Politics Business Sport Culture Opinion".split())
    + "</ul>"
)
FOOT = '<p>© 2024 The Daily Example. All rights reserved.</p><ul><li><a href="/t">Terms</a></li><li><a href="/p">Privacy</a></li></ul>'


def _semantic(title: str, body: Sequence[str], rail: Sequence[Story], draw: random.Random) -> str:
    cards = "".join(
        f'<li><a href="/s{k}"><h3>{t}</h3></a><p>{s}</p></li>' for k, (t, s) in enumerate(map(_teaser, rail))
    )
    return _page(title, f"<header><nav>{NAV}</nav></header><main><article><h1>{html.escape(title)}</h1><p>By Jane Doe, 3 May 2024</p>"
                 f"{_p(body)}</article></main><aside><h2>Related stories</h2><ul>{cards}</ul></aside><footer>{FOOT}</footer>")  # fmt: skip


def _wordpress(title: str, body: Sequence[str], rail: Sequence[Story], draw: random.Random) -> str:
    cards = "".join(f'<div class="post-item"><h4><a href="/s{k}">{t}</a></h4><div class="excerpt">{s}</div></div>'
                    for k, (t, s) in enumerate(map(_teaser, rail)))  # fmt: skip
    return _page(title, f'<div id="menu">{NAV}</div><div class="entry"><h1 class="entry-title">{html.escape(title)}</h1><div class="entry-content">'
                 f'{_p(body)}</div><div class="tags"><a href="/t/a">City</a> <a href="/t/b">Council</a></div></div>'
                 f'<div class="more-posts"><h3>Latest stories</h3>{cards}</div><div id="footer">{FOOT}</div>')  # fmt: skip


def _nameless(title: str, body: Sequence[str], rail: Sequence[Story], draw: random.Random) -> str:
    cards = "".join(f'<div class="x{draw.randint(1, 9)}f"><div><a href="/s{k}">{t}</a></div><div>{s}</div></div>'
                    for k, (t, s) in enumerate(map(_teaser, rail)))  # fmt: skip
    return _page(title, f'<div class="a1">{NAV}</div><div class="b2"><div class="c3"><h1>{html.escape(title)}</h1>{_p(body)}</div>'
                 f'<div class="d4">{cards}</div></div><div class="e5">{FOOT}</div>')  # fmt: skip


def _divs(title: str, body: Sequence[str], rail: Sequence[Story], draw: random.Random) -> str:
    """Text in <div>, teasers in <p>, the rail before and after the text."""
    text = "".join(f"<div>{html.escape(p)}</div>" for p in body)
    half = len(rail) // 2
    before, after = ("".join(f'<p><a href="/s{k}"><b>{t}</b></a> {s}</p>' for k, (t, s) in enumerate(map(_teaser, part)))
                     for part in (rail[:half], rail[half:]))  # fmt: skip
    return _page(title, f'<div>{NAV}</div><div class="trending">{before}</div><div><h1>{html.escape(title)}</h1><span>12:41, 3 May 2024</span>'
                 f'<div class="story">{text}</div></div><div class="recommended">{after}</div>{FOOT}')  # fmt: skip


def _table(title: str, body: Sequence[str], rail: Sequence[Story], draw: random.Random) -> str:
    """A layout of tables and line breaks, as sites of 2000 have it."""
    text = "<br><br>".join(map(html.escape, body))
    links = "<br>".join(f'<a href="/s{k}.html">{t}</a>' for k, (t, _) in enumerate(map(_teaser, rail)))
    return _page(title, f'<table width=100%><tr><td colspan=3>{NAV}</td></tr><tr><td width=150 valign=top>{links}</td><td><font size=5><b>'
                 f"{html.escape(title)}</b></font><br><br>{text}</td><td>Advertisement</td></tr></table><center>{FOOT}</center>")  # fmt: skip


def _inline(title: str, body: Sequence[str], rail: Sequence[Story], draw: random.Random) -> str:
    """A box of related links within the text, and full teasers of whole paragraphs below it."""
    box = "".join(f'<li><a href="/s{k}">{_teaser(s)[0]}</a></li>' for k, s in enumerate(rail[:3]))
    long = "".join(f'<article class="card"><h2><a href="/s{k}">{_teaser(s)[0]}</a></h2><p>{html.escape(s[1][0])}</p>'
                   f'<a href="/s{k}">Read more</a></article>' for k, s in enumerate(rail))  # fmt: skip
    return _page(title, f'<nav>{NAV}</nav><article class="main"><h1>{html.escape(title)}</h1><div class="share"><a href="#">Share</a><a href="#">Tweet</a></div>'
                 f'{_p(body[:1])}<div class="inline-related"><b>Read also</b><ul>{box}</ul></div>{_p(body[1:])}</article>'
                 f'<section class="feed"><h2>More news</h2>{long}</section><footer>{FOOT}</footer>')  # fmt: skip


LAYOUTS: tuple[Callable[[str, Sequence[str], Sequence[Story], random.Random], str], ...] = (
    _semantic, _wordpress, _nameless, _divs, _table, _inline,
)  # fmt: skip
