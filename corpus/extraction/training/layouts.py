"""Pages drawn by chance around real paragraphs: an article of any length, in any markup, among teasers of others.

Collections of gold pages have few short articles with long rails, and each site builds its rails in its own way. Here
every choice (tags, names, what a teaser has, where the rail stands) is drawn, so that only what all such pages share
can be learned: one text that belongs to the title, and a repeated pattern of links that does not.
"""

import html
import re
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Story = tuple[str, list[str]]  # title, paragraphs
SENTENCE = re.compile(r"^.{20,220}?[.!?…](?=\s|$)")
_MAIN = "content post-content article-body story entry-content text main-col col-8 body single-post article__text post maincontent".split()
_RAIL = "related sidebar more-stories latest recommended widget box trending col-4 list teasers also-read news-feed promo-list".split()
_HEADS = ("Related", "Latest news", "More from us", "You may also like", "Most read", "Mehr zum Thema", "Meistgelesen", "À lire aussi",
          "Te puede interesar", "Top stories", "Recommended", "Read more", "Recent posts", "In other news", "")  # fmt: skip
_NAV = (
    "Home News World Sport Business Culture Opinion Contact About Video Kontakt Politik Leben Economía Inicio".split()
)
_FOOT = ("© 2023 The Company. All rights reserved.", "Terms and conditions", "Privacy policy", "Impressum", "Follow us on Twitter",
         "Subscribe to our newsletter for the latest stories.", "Contact us", "Advertise")  # fmt: skip


def story(title: str, text: str) -> Story | None:
    """A gold text as title and paragraphs, if it has enough of them."""
    paragraphs = [line for line in text.split("\n") if len(line) > 60 and line.rstrip()[-1] in '.!?”"…)']
    return (title, paragraphs) if title and len(paragraphs) >= 3 else None


def page(own: Story, others: Sequence[Story], draw: np.random.Generator) -> tuple[str, list[str]]:
    """(html, the paragraphs that are its text)"""
    return _Layout(draw).page(own, others)


class _Layout:
    """One site's habits, drawn once."""

    def __init__(self, draw: np.random.Generator) -> None:
        self._draw = draw
        self._named = draw.random() < 0.6
        self._article = self._one(("article", "div", "div", "section", "main", "td"))
        self._paragraph = self._one(("p", "p", "p", "div", "br"))
        self._item = self._one(("li", "div", "div", "article", "p", "section"))
        self._title = self._one(("h2", "h3", "h4", "div", "span", "b", ""))
        self._teaser = self._one(("none", "sentence", "sentence", "cut", "paragraph"))
        self._dated = draw.random() < 0.4
        self._more = draw.random() < 0.3
        self._linked = self._one(("title", "title", "all", "image"))

    def page(self, own: Story, others: Sequence[Story]) -> tuple[str, list[str]]:
        title, paragraphs = own
        count = int(self._draw.integers(1, 6)) if self._draw.random() < 0.7 else len(paragraphs)
        body = paragraphs[:count]
        rails = [
            self._rail(self._some(others, int(self._draw.integers(3, 30))))
            for _ in range(int(self._draw.integers(1, 4)))
        ]
        text = self._text(title, body)
        place = self._draw.random()
        if place < 0.5:
            inner = text + "".join(rails)
        elif place < 0.7:
            inner = rails[0] + text + "".join(rails[1:])
        elif place < 0.85:
            inner = f"<table><tr><td>{rails[0]}</td><td>{text}</td><td>{''.join(rails[1:])}</td></tr></table>"
        else:
            inner = self._wrapped("div", _MAIN, text + rails[0]) + "".join(rails[1:])
        for _ in range(int(self._draw.integers(0, 3))):
            inner = self._wrapped("div", ("wrapper", "container", "row", "page"), inner)
        head = f"<head><meta charset=utf-8><title>{html.escape(title)}{self._one(('', ' - The Site', ' | News'))}</title></head>"
        return f"<!doctype html><html>{head}<body>{self._nav()}{inner}{self._foot()}</body></html>", body

    def _text(self, title: str, body: Sequence[str]) -> str:
        heading = self._one(("h1", "h1", "h1", "h2", "div", "b"))
        parts = [f"<{heading}>{html.escape(title)}</{heading}>"]
        if self._draw.random() < 0.6:
            parts.append(self._wrapped("div", ("meta", "byline", "date"), "By A. Author, 3 May 2024"))
        if self._draw.random() < 0.3:
            parts.append(self._wrapped("div", ("share", "social"), '<a href="#">Share</a> <a href="#">Tweet</a>'))
        lines = [html.escape(paragraph) for paragraph in body]
        text = (
            "<br><br>".join(lines)
            if self._paragraph == "br"
            else "".join(f"<{self._paragraph}>{x}</{self._paragraph}>\n" for x in lines)
        )
        parts.append(self._wrapped("div", _MAIN, text) if self._draw.random() < 0.5 else text)
        tag = self._article if self._article != "td" else "div"
        return self._wrapped(tag, _MAIN, "".join(parts))

    def _rail(self, others: Sequence[Story]) -> str:
        items = "".join(self._card(number, story) for number, story in enumerate(others))
        if self._item == "li":
            items = f"<ul>{items}</ul>"
        head = html.escape(self._one(_HEADS))
        tag = self._one(("h2", "h3", "h4", "div", "b"))
        head = f"<{tag}>{head}</{tag}>" if head else ""
        return self._wrapped(self._one(("aside", "div", "div", "section", "div")), _RAIL, head + items)

    def _card(self, number: int, other: Story) -> str:
        title, first = html.escape(other[0]), other[1][0]
        sentence = SENTENCE.match(first)
        teaser = {
            "none": "",
            "sentence": sentence[0] if sentence else first[:150],
            "cut": f"{first[:130]}…",
            "paragraph": first,
        }[self._teaser]
        link = (
            f'<a href="/s/{number}">{title}</a>'
            if self._linked != "image"
            else f'<a href="/s/{number}"><img src=x></a>{title}'
        )
        head = f"<{self._title}>{link}</{self._title}>" if self._title else link
        date = "<span>2 hours ago</span>" if self._dated else ""
        more = f'<a href="/s/{number}">Read more</a>' if self._more else ""
        text = self._one(("p", "div", "span")) if self._item != "p" else "span"
        inside = f"{head}{date}{f'<{text}>{html.escape(teaser)}</{text}>' if teaser else ''}{more}"
        if self._linked == "all":
            inside = f'<a href="/s/{number}">{inside.replace("<a ", "<b ").replace("</a>", "</b>")}</a>'
        return self._wrapped(self._item, ("item", "card", "teaser", "post-item"), inside)

    def _nav(self) -> str:
        links = "".join(f'<li><a href="/{word}">{word}</a></li>' for word in self._some(_NAV, 7))
        return self._wrapped(self._one(("nav", "div", "header")), ("nav", "menu", "top"), f"<ul>{links}</ul>")

    def _foot(self) -> str:
        lines = "".join(f"<p>{line}</p>" for line in self._some(_FOOT, 3))
        return self._wrapped(self._one(("footer", "div", "center")), ("footer", "bottom"), lines)

    def _wrapped(self, tag: str, names: Sequence[str], inside: str) -> str:
        name = self._one(names) if self._named else f"{self._one('abcdefg')}{int(self._draw.integers(1, 90))}"
        attribute = "" if self._draw.random() < 0.15 else f' class="{name}"'
        return f"<{tag}{attribute}>{inside}</{tag}>"

    def _one(self, choices: Sequence[str]) -> str:
        return choices[int(self._draw.integers(len(choices)))]

    def _some(self, choices: Sequence[T], number: int) -> list[T]:
        return [choices[int(self._draw.integers(len(choices)))] for _ in range(number)]
