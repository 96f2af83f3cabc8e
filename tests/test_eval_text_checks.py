"""Checks keep to their ranges, agree with published values, and see what they are there to see."""

import json
import math

import pytest
from conftest import prose
from hypothesis import given, settings
from hypothesis import strategies as st

from eval import instructions
from eval.instructions import Instruction, followed
from eval.text_checks import (
    CHECKS,
    bleu,
    check,
    claims,
    compression,
    continuity,
    contradictions,
    distinct,
    echo,
    longest_repeat,
    refusal,
    repeated_grams,
    self_bleu,
    words,
)


@given(st.text(max_size=120), st.text(max_size=60))
@settings(deadline=None)
def test_every_check_keeps_to_its_range(text: str, prompt: str) -> None:
    found = check(text, prompt)
    for one in CHECKS:
        assert math.isnan(found[one.name]) or one.low <= found[one.name] <= one.high, one.name


def test_bleu_against_published_values() -> None:
    # The example of Papineni et al. 2002 as NLTK's documentation prints its values.
    first = "It is a guide to action which ensures that the military always obeys the commands of the party".split()
    second = "It is to insure the troops forever hearing the activity guidebook that party direct".split()
    references = [
        "It is a guide to action that ensures that the military will forever heed Party commands".split(),
        (
            "It is the guiding principle which guarantees the military forces always being under the command of the "
            "Party"
        ).split(),
        "It is the practical guide for the army always to heed the directions of the party".split(),
    ]
    assert bleu(references, first) == pytest.approx(0.5045666840058485)
    assert bleu(references, second) == 0  # no 4-gram in common
    assert bleu(["the cat is on the mat".split()], ["the"] * 7, order=1) == pytest.approx(1 / 7 * 2)
    assert bleu([list("abcd")], list("abcd")) == 1
    assert bleu([list("abcdefgh")], list("abcd")) == pytest.approx(math.exp(-1))


def test_diversity() -> None:
    same = ["the cat sat on the mat"] * 3
    assert self_bleu(same) == pytest.approx(1)
    assert self_bleu([prose(1, 2), prose(2, 2), prose(3, 2)]) < 0.7
    assert distinct(same, 1) == pytest.approx(5 / 18)
    assert math.isnan(self_bleu(["one"]))


def test_repetition() -> None:
    assert repeated_grams("a b c d", 1) == 0
    assert repeated_grams("a a a a", 1) == 0.75
    loop = "again and again " * 30
    assert longest_repeat(loop) == pytest.approx(87 / 90)
    assert compression(loop) < 0.1 < 0.3 < compression(prose(1))
    assert longest_repeat("one two three") == 0
    assert words("图书馆") == ["图", "书", "馆"]


def test_continuity_falls_when_a_text_jumps() -> None:
    story = "Anna had a boat. The boat was old. She painted the boat red. Then Anna sold it."
    jumping = "Anna had a boat. Prices rose sharply. Bees sleep at night. The moon is cold."
    assert continuity(story) > 0.6 > 0.1 > continuity(jumping)


def test_contradictions_within_a_text_and_with_its_prompt() -> None:
    assert claims("Ada Byron was born in 1815.")[("ada byron", "was born in")] == {"1815"}
    assert contradictions("Ada was born in 1815. People loved her. Ada was born in 1816.") == 1
    assert contradictions("Ada was born in 1815. Ada died in 1852.") == 0
    assert contradictions("The tower is 90 metres high.", "The tower is 70 metres high.") == 1
    assert contradictions("The tower is 70 metres high.", "The tower is 70 metres high.") == 0


def test_echo_and_refusal() -> None:
    prompt = "Tell me how the old bridge was built in winter."
    assert echo(prompt, prompt) == 1
    assert echo("Masons came from the north with heavy stone.", prompt) == 0
    assert refusal("I'm sorry, but I cannot help.") == 1
    assert refusal("Es tut mir leid, das geht nicht.") == 1
    assert refusal("He said: I'm sorry.") == 0


GOOD = {
    "min_words": ({"number": 3}, "a b c", "a b"),
    "max_words": ({"number": 2}, "a b", "a b c"),
    "sentences": ({"number": 2}, "One here. Two there.", "One here."),
    "paragraphs": ({"number": 2}, "a\n\nb", "a\nb"),
    "bullets": ({"number": 2}, "- a\n- b", "- a\nb"),
    "keywords": ({"words": ["sea", "sky"]}, "Sky and sea.", "Seas and sky."),
    "forbidden": ({"words": ["sea"]}, "Seas.", "The sea."),
    "times": ({"word": "sea", "number": 2}, "sea, Sea", "sea"),
    "json": ({}, '```json\n{"a": 1}\n```', "{a: 1}"),
    "lower": ({}, "all low", "Not so"),
    "upper": ({}, "ALL 1", "123"),
    "no_commas": ({}, "a b", "a, b"),
    "begins": ({"text": "First"}, " First it", "At first"),
    "ends": ({"text": "end."}, "the end.\n", "end"),
    "quoted": ({}, '"so"', '"'),
}


@pytest.mark.parametrize("kind", instructions.KINDS)
def test_every_instruction_tells_a_good_answer_from_a_bad_one(kind: str) -> None:
    args, good, bad = GOOD[kind]
    one = Instruction(kind, args)
    assert one.followed(good)
    assert not one.followed(bad)
    assert not one.followed("  ")
    assert "{" not in one.said()
    assert followed(good, [one, Instruction("min_words", {"number": 99})]) == 0.5


def test_prompts_ask_for_every_kind_and_repeat() -> None:
    made = instructions.prompts(60)
    assert made == instructions.prompts(60)
    assert {asked[0].kind for _, _, asked in made} == set(instructions.KINDS)
    assert len({key for key, _, _ in made}) == 60
    json.dumps([[dict(one.args) for one in asked] for _, _, asked in made])
