"""Long chapters of Python's language reference, as books."""

import re
from pydoc_data.topics import topics

MIN_CHARS = 5_000
RULE = re.compile(r"^([*=~^-])\1{3,}$", re.MULTILINE)


def books() -> dict[str, str]:
    """Name to text, in alphabetical order."""
    return {name: text.strip() + "\n" for name, text in sorted(topics.items()) if len(text) >= MIN_CHARS}


def paragraphs(texts: dict[str, str]) -> list[str]:
    """Plain prose out of the books: whole sentences of five words and more, each paragraph in one line."""
    found = [" ".join(block.split()) for text in texts.values() for block in text.split("\n\n")]
    return [p for p in dict.fromkeys(found) if _is_prose(p)]


def _is_prose(paragraph: str) -> bool:
    words = paragraph.split()
    return (
        25 <= len(words) <= 120
        and paragraph[0].isupper()
        and paragraph.endswith(".")
        and paragraph.isascii()
        and not re.search(r"[{}<>=|`\\_#*@]|\.\.|javascript|lorem|policy|cookie", paragraph, re.IGNORECASE)
        and sum(word.strip(".,;:()\"'").isalpha() for word in words) > 0.9 * len(words)
    )
