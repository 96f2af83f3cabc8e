"""What a person is shown of a document: the longest run of words that it shares with an error, and where it lies."""

import re
from dataclasses import dataclass

_WORD = re.compile(r"[\u3040-\u9fff]|[^\W\u3040-\u9fff]+")  # an ideograph is a word: such scripts have no spaces


@dataclass(frozen=True)
class Evidence:
    """Characters [start, end) of a document's text; empty where it shares no word."""

    start: int
    end: int
    words: int


def shared_run(query: str, text: str) -> Evidence:
    """The longest run of words of `text` that also stand in `query`, case and marks between them aside.

    Of equal ones the last in the query: the answer stands at its end.
    """
    asked = [word.lower() for word in _WORD.findall(query)]
    said = list(_WORD.finditer(text))
    places: dict[str, list[int]] = {}
    for at, word in enumerate(said):
        places.setdefault(word[0].lower(), []).append(at)
    best = (0, 0)  # words, the last one's place in the text
    before: dict[int, int] = {}
    for word in asked:
        here = {at: before.get(at - 1, 0) + 1 for at in places.get(word, ())}
        longest = max(here.values(), default=0)
        if longest and longest >= best[0]:
            best = (longest, min(at for at, size in here.items() if size == longest))
        before = here
    size, last = best
    if not size:
        return Evidence(0, 0, 0)
    return Evidence(said[last - size + 1].start(), said[last].end(), size)
