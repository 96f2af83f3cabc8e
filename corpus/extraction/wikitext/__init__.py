"""Wikitext to the text that a reader sees.

page    a page's nodes, as mwparserfromhell finds them: what is text, what shows nothing, what has lines of its own
lines   lines of text, freed of what the parser could not close; headings with nothing below them go
"""

import functools
import importlib.metadata

NUMBER = 1  # raised with any change of the text


@functools.cache
def version() -> str:
    """Known without loading the parser."""
    return f"wikitext {NUMBER}, mwparserfromhell {importlib.metadata.version('mwparserfromhell')}"
