"""Documents with one known defect each: what a build must do with them is known before it runs.

Each row names its defect (`planted`) and its fate under corpus/recipes/sample.toml (`expect`: the first reason in the
ledger, or `kept`). English text is put together from the language reference; the foreign sentences are our own.
"""

from collections.abc import Iterator

from corpus.sample_topics import paragraphs

FRENCH = (
    "Le marché du village ouvre tous les samedis matin, et les habitants viennent y acheter des légumes frais.",
    "La boulangère connaît chaque client par son nom, et elle garde toujours une baguette pour les retardataires.",
    "Quand il pleut, les marchands tendent de grandes bâches bleues au-dessus de leurs étals.",
    "Les enfants courent entre les tables pendant que leurs parents discutent du prix des tomates.",
    "À midi, tout le monde rentre chez soi, et la place redevient silencieuse jusqu'à la semaine suivante.",
)
GERMAN = (
    "Am Morgen fährt der erste Zug schon um fünf Uhr, und die Pendler steigen noch halb verschlafen ein.",
    "Der Schaffner grüßt freundlich, denn er kennt die meisten Fahrgäste seit vielen Jahren.",
    "Vor den Fenstern ziehen Felder und kleine Dörfer vorbei, über denen noch der Nebel liegt.",
    "Eine ältere Frau strickt jeden Tag an demselben Schal, der niemals fertig zu werden scheint.",
    "In der großen Stadt steigen alle aus, und der Zug fährt leer wieder zurück in die Berge.",
)
LOREM = "Lorem ipsum is the text that printers use to fill a page before the real text has been written."
NUM_PARAGRAPHS = 6
SHORT = "This short note says that the meeting was moved to the next morning, and that is all there is."


def planted(texts: dict[str, str]) -> Iterator[dict[str, str]]:
    """The rows, in a fixed order. `texts` are the books of corpus/sample_topics.py."""
    prose = _Prose(paragraphs(texts))
    yield _row("clean", "kept", prose.document())
    yield _row("mojibake", "kept", _garbled(prose.document()))
    yield _row("control_characters", "kept", prose.document().replace(", ", ",\x00\x1b ", 5).replace("\n", "\r\n"))
    yield _row("wrong_language_french", "other_language", "\n\n".join(FRENCH))
    yield _row("wrong_language_german", "other_language", "\n\n".join(GERMAN))
    yield _row("too_short", "too_short", SHORT)
    yield _row("repeated_lines", "repeated_lines", _stutter(prose.document()))
    yield _row("lorem_ipsum", "lorem_ipsum", f"{prose.document()}\n\n{LOREM}")
    yield _row("source_code", "curly_bracket", f"{prose.document()}\n\nThe block begins with {{ and ends with }} here.")
    yield _row("bullet_list", "bullet_list", "\n".join(f"- {line}" for line in prose.document().split("\n\n")))
    yield _row("unfinished_lines", "unfinished_lines", prose.document().replace(".\n\n", " ...\n\n"))
    yield from _duplicates(prose)
    yield _row("no_text", "no_text", "")


def _duplicates(prose: "_Prose") -> Iterator[dict[str, str]]:
    text = prose.document()
    yield _row("exact_original", "kept", text)
    yield _row("exact_copy", "exact_duplicate", text)
    text = prose.document()
    yield _row("near_original", "kept", text)
    yield _row("near_copy", "near_duplicate", _edited(text))


def _row(defect: str, expect: str, text: str) -> dict[str, str]:
    return {"id": f"planted/{defect}", "text": text, "planted": defect, "expect": expect}


class _Prose:
    """Deals paragraphs like cards, so that no two documents share one."""

    def __init__(self, found: list[str]) -> None:
        self._found = found
        self._next = 0

    def document(self) -> str:
        dealt = self._found[self._next : self._next + NUM_PARAGRAPHS]
        if len(dealt) < NUM_PARAGRAPHS:
            raise ValueError(f"this Python's topics have only {len(self._found)} paragraphs of prose")
        self._next += NUM_PARAGRAPHS
        return "\n\n".join(dealt)


def _garbled(text: str) -> str:
    """Typographic apostrophes, and then UTF-8 read as windows-1252: `it’s` becomes `itâ€™s`."""
    pretty = text.replace("'", "\u2019").replace(" - ", " \u2014 ").replace(". ", ".\u2026 ", 3)
    return pretty.encode("utf-8").decode("cp1252")


def _stutter(text: str) -> str:
    lines = text.split("\n\n")
    return "\n".join(lines[:2] + [lines[2]] * 12)


def _edited(text: str) -> str:
    """A few words changed and two gone, as in an earlier edition: nine in ten shingles stay, and the longer is kept."""
    lines = text.split("\n\n")
    lines[0] = lines[0].replace(" the ", " a ", 1)
    lines[-1] = " ".join(lines[-1].split()[2:]).capitalize()
    return "\n\n".join(lines)
