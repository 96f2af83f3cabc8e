"""Instructions that a program can check, after IFEval (Zhou et al. 2023, arXiv 2311.07911): own wording and code."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eval.chance import Chance, digest
from eval.mentions import sentences


@dataclass(frozen=True)
class Instruction:
    """What is asked: a kind of KINDS and its numbers or words."""

    kind: str
    args: Mapping[str, Any]

    def said(self) -> str:
        """The sentence that asks for it."""
        given = {k: ", ".join(map(str, v)) if isinstance(v, list | tuple) else v for k, v in self.args.items()}
        return KINDS[self.kind][0].format(**given)

    def followed(self, text: str) -> bool:
        """Whether a text does it. An empty text follows nothing."""
        return bool(text.strip()) and KINDS[self.kind][1](text, self.args)


def followed(text: str, instructions: list[Instruction]) -> float:
    """Share of the instructions that a text follows. [0, 1]; higher is better."""
    return sum(one.followed(text) for one in instructions) / len(instructions) if instructions else 1.0


def _has_word(text: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def _json(text: str) -> bool:
    inner = re.sub(r"^```(?:json)?\s*|\s*```$", "", text.strip())
    try:
        return isinstance(json.loads(inner), dict | list)
    except (ValueError, RecursionError):
        return False


def _bullets(text: str) -> int:
    return len(re.findall(r"^\s*[-*•]\s+\S", text, re.MULTILINE))


Test = Callable[[str, Mapping[str, Any]], bool]
KINDS: dict[str, tuple[str, Test]] = {
    "min_words": ("Use at least {number} words.", lambda t, a: len(t.split()) >= a["number"]),
    "max_words": ("Use at most {number} words.", lambda t, a: len(t.split()) <= a["number"]),
    "sentences": ("Answer in exactly {number} sentences.", lambda t, a: len(list(sentences(t))) == a["number"]),
    "paragraphs": (
        "Write {number} paragraphs, with an empty line between them.",
        lambda t, a: len([p for p in re.split(r"\n\s*\n", t) if p.strip()]) == a["number"],
    ),
    "bullets": ("Give exactly {number} bullet points that begin with a dash.", lambda t, a: _bullets(t) == a["number"]),
    "keywords": ("Use each of these words: {words}.", lambda t, a: all(_has_word(t, w) for w in a["words"])),
    "forbidden": ("Do not use these words: {words}.", lambda t, a: not any(_has_word(t, w) for w in a["words"])),
    "times": (
        "Use the word {word} exactly {number} times.",
        lambda t, a: len(re.findall(rf"(?<!\w){re.escape(a['word'])}(?!\w)", t, re.IGNORECASE)) == a["number"],
    ),
    "json": ("Answer with JSON and nothing else.", lambda t, a: _json(t)),
    "lower": ("Use no capital letters.", lambda t, a: t == t.lower()),
    "upper": ("Use capital letters only.", lambda t, a: t == t.upper() and t != t.lower()),
    "no_commas": ("Use no commas.", lambda t, a: "," not in t),
    "begins": ("Begin with the words: {text}", lambda t, a: t.lstrip().startswith(a["text"])),
    "ends": ("End with the words: {text}", lambda t, a: t.rstrip().endswith(a["text"])),
    "quoted": (
        "Put the whole answer in double quotes.",
        lambda t, a: len(t.strip()) > 1 and t.strip()[0] == t.strip()[-1] == '"',
    ),
}  # fmt: skip
_TOPICS = "a river,a bridge,the moon,an old house,bread,a train journey,the winter,a library,bees,a market".split(",")
_WORDS = "water stone light garden winter letter morning music road window".split()


def prompts(number: int, seed: int = 0) -> list[tuple[str, str, list[Instruction]]]:
    """(id, prompt, its instructions), all kinds in turn, with one instruction each or two."""
    out = []
    for at in range(number):
        chance = Chance("instructions", seed, at)
        asked = [_drawn(list(KINDS)[at % len(KINDS)], chance)]
        if at % 3 == 2 and asked[0].kind not in ("json", "upper"):
            asked.append(_drawn("no_commas" if asked[0].kind != "no_commas" else "max_words", chance))
        text = f"Write about {chance.pick(_TOPICS)}. {' '.join(one.said() for one in asked)}"
        out.append((digest("instructions", seed, at)[:16], text, asked))
    return out


def _drawn(kind: str, chance: Chance) -> Instruction:
    number = {"min_words": 20 + chance.below(60), "max_words": 20 + chance.below(60)}.get(kind, 2 + chance.below(3))
    args: dict[str, dict[str, Any]] = {
        "keywords": {"words": chance.sample(_WORDS, 2)},
        "forbidden": {"words": chance.sample(_WORDS, 3)},
        "times": {"word": chance.pick(_WORDS), "number": number},
        "begins": {"text": "First of all"},
        "ends": {"text": "That is all."},
    }
    numbered = "{number}" in KINDS[kind][0]
    return Instruction(kind, args.get(kind, {"number": number} if numbered else {}))
