"""C4's line rules against a plain Python reading of the release code."""

import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filters import apply_edits
from filters.c4_lines import C4Lines

PIECES = [
    "one two three four five.",
    "Ünï cödé wörds hêre tôo!",
    "short.",
    "x" * 12,
    "[1]",
    "[edit]",
    "[citation needed]",
]
PIECES += ["[", "]", "[12", "uses", "cookies", "Java", "JavaScript", "Terms of Use", "...", ".", '"', "?", "\n", "\n\n"]
PIECES += [" ", "\u3000", "日本。", "[Edit]", "\r\n"]
TEXT = st.lists(st.sampled_from(PIECES), max_size=30).flatmap(
    lambda pieces: st.sampled_from(["", " "]).map(lambda glue: glue.join(pieces))
)


def broken_rule(line: str, step: C4Lines) -> str | None:
    line = line.strip()
    if any(len(word) > step.max_word_characters for word in line.split()):
        return "long_word"
    if step.citations:
        line = re.sub(r"\[[0-9]*\]|\[edit\]|\[citation needed\]", "", line)
    if step.terminal_punctuation and (not line.endswith(tuple(step.terminal_marks)) or line.endswith("...")):
        return "unpunctuated_line"
    if len(line.split()) < step.min_words:
        return "short_line"
    lower = re.sub("[A-Z]", lambda m: m[0].lower(), line)
    if step.javascript and "javascript" in lower:
        return "javascript"
    return "policy" if any(phrase in lower for phrase in step.policy_phrases) else None


def reference(text: str, step: C4Lines) -> str:
    kept = [line for line in re.findall(r"[^\n]*\n|[^\n]+", text) if broken_rule(line, step) is None]
    left = "".join(kept)
    return re.sub(r"\[[0-9]*\]|\[edit\]|\[citation needed\]", "", left) if step.citations else left


STEPS = st.builds(
    C4Lines,
    terminal_punctuation=st.booleans(),
    min_words=st.integers(0, 5),
    max_word_characters=st.sampled_from([11, 1000]),
    citations=st.booleans(),
    javascript=st.booleans(),
    policy_phrases=st.sampled_from([(), ("uses cookies", "terms of use"), ("?",)]),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(TEXT, st.text()), max_size=4), STEPS)
@example(["end of the line here.[1]", "a b c d uses[1] cookies.", "", "\n", "a b c d e. [1]"], C4Lines())
def test_what_is_left_is_what_the_release_code_keeps(texts: list[str], step: C4Lines) -> None:
    column = pa.array(texts, pa.large_string())
    left = apply_edits(column, step.edits(pa.table({"text": column}))).to_pylist()
    assert left == [reference(text, step) for text in texts]


@settings(deadline=None, max_examples=200)
@given(TEXT, STEPS)
@example("..", C4Lines(min_words=0))
@example("one more line that ends...\n..\n.\n", C4Lines(min_words=0))
def test_each_line_is_cut_for_the_first_rule_it_breaks(text: str, step: C4Lines) -> None:
    edits: list[dict[str, Any]] = step.edits(pa.table({"text": pa.array([text])})).to_pylist()
    cut = {text[e["start"] : e["end"]]: e["rule"] for e in edits if e["rule"] != "citation"}
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    assert cut == {line: broken_rule(line, step) for line in lines if broken_rule(line, step)}


def test_settings_that_would_cut_everything_are_refused() -> None:
    with pytest.raises(ValueError, match="needs terminal_marks"):
        C4Lines(terminal_marks="")
    with pytest.raises(ValueError, match="an empty phrase"):
        C4Lines(policy_phrases=("",))
