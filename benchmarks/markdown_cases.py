"""Structure that Markdown must keep, written by hand: a page, and strings that must stand in its text."""

from typing import NamedTuple

PROSE = (
    "<p>The harbour was quiet when the first boats came in, and nobody spoke for a while. Later in the morning the "
    "market opened, and the noise of the town came back at once.</p>"
)
MORE = (
    "<p>By noon the fish were sold, the nets were hung up to dry, and the men went home to sleep. Nobody could "
    "remember a summer as dry as this one, not even the old keeper of the lighthouse.</p>"
)


class Case(NamedTuple):
    name: str
    html: str
    expected: tuple[str, ...]


def _case(name: str, middle: str, *expected: str) -> Case:
    page = f"<!doctype html><title>Harbour</title><nav><a href=/>Home</a> <a href=/b>Boats</a></nav><article><h1>Life at the harbour</h1>{PROSE}{middle}{MORE}{PROSE}</article><footer>Copyright 2020</footer>"
    return Case(name, page, expected)


CODE = "def area(width, height):\n    if width < 0:\n        raise ValueError\n\n    return width * height"
CASES = (
    _case("headings", f"<h2>Boats and their owners</h2>{MORE}<h3>Nets for every weather</h3>{PROSE}", "\n## Boats and their owners\n", "\n### Nets for every weather\n"),
    _case("list", "<p>Three things are needed for a day at sea:</p><ul><li>a boat that does not leak</li><li>a net without holes</li><li>a calm morning in June</li></ul>",
          "\n- a boat that does not leak\n- a net without holes\n- a calm morning in June\n"),
    _case("ordered list", "<p>The work of a morning is done in this order:</p><ol><li>sail out before the sun rises</li><li>cast the nets and wait</li><li>come home with the tide</li></ol>",
          "\n1. sail out before the sun rises\n2. cast the nets and wait\n3. come home with the tide\n"),
    _case("nested list", "<p>What the boats bring home, by season and kind:</p><ul><li>in spring, mostly flat fish<ul><li>plaice from the sand banks</li></ul></li><li>in autumn, mostly herring</li></ul>",
          "- in spring, mostly flat fish\n", "\n  - plaice from the sand banks\n", "\n- in autumn, mostly herring"),
    _case("code", f"<p>The area of a sail is computed by this function:</p><pre><code>{CODE.replace('<', '&lt;')}</code></pre>", f"```\n{CODE}\n```"),
    _case("inline code", "<p>To list the boats, call <code>boats --all</code> in the harbour master's terminal, and wait for the answer.</p>", "`boats --all`"),
    _case("table", "<p>The catch of the week, in boxes, by boat and day:</p><table><tr><th>Boat</th><th>Monday</th><th>Tuesday</th></tr><tr><td>Anna Maria</td><td>12 boxes</td><td>15 boxes</td></tr><tr><td>Seagull</td><td>9 boxes</td><td>11 boxes</td></tr></table>",
          "| Boat | Monday | Tuesday |", "| Anna Maria | 12 boxes | 15 boxes |", "| Seagull | 9 boxes | 11 boxes |", "---"),
    _case("quotation", "<blockquote><p>The sea gives and the sea takes, and it asks nobody before it does either.</p></blockquote>", "> The sea gives and the sea takes"),
)  # fmt: skip
