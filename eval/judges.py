"""Who prefers which of two texts: a model's likelihoods, an OpenAI-compatible address, a local folder; or nobody.

A judge is always asked in both orders: one that says "the first" twice has judged the place, not the text. Such
verdicts are counted apart and decide nothing. Before a judge is believed, compare it with people: `rate`, `ratings`.
"""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from corpus.failures import Failure
from eval.document_losses import Scorer
from eval.intervals import Interval, wilson
from eval.model_checks import responsiveness

_ASKED = """Two texts continue the same beginning. Which is the better continuation: coherent, consistent, to the point?

Beginning:
{prompt}

Text A:
{a}

Text B:
{b}

Answer with one letter, A or B, or T where neither is better."""
_TIMEOUT_S = 120


class JudgeFailed(Failure):
    """A judge that cannot be asked, or does not answer as asked."""


class Judge(Protocol):
    """Answers "A", "B" or "T" (neither) for a prompt and two texts, in this order."""

    def ask(self, prompt: str, a: str, b: str) -> str: ...


@dataclass(frozen=True)
class Likelihood:
    """Prefers the text that the prompt explains more (pointwise mutual information per byte, by a reference model)."""

    scorer: Scorer

    def ask(self, prompt: str, a: str, b: str) -> str:
        one, other = responsiveness(self.scorer, [prompt] * 2, [a, b])
        if not (one > other or other > one):  # equal, or an empty text
            return "T" if bool(a.strip()) == bool(b.strip()) else "A" if a.strip() else "B"
        return "A" if one > other else "B"


@dataclass(frozen=True)
class Address:
    """A server that speaks the chat completions protocol, such as http://127.0.0.1:8000/v1. `key` may be empty."""

    url: str
    model: str = "judge"
    key: str = ""

    def ask(self, prompt: str, a: str, b: str) -> str:
        asked = [{"role": "user", "content": _ASKED.format(prompt=prompt, a=a, b=b)}]
        body = {"model": self.model, "messages": asked, "temperature": 0, "max_tokens": 8}
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        url = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                return letter(str(json.load(answer)["choices"][0]["message"]["content"]))
        except (urllib.error.URLError, OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise JudgeFailed(f"{url}: {error}; expected an address that answers chat completions") from None


class LocalFolder:
    """A model of transformers in a local folder (the extra `export`), greedy."""

    def __init__(self, folder: Path) -> None:
        """Raises JudgeFailed where transformers is missing or the folder is no model."""
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ModuleNotFoundError:
            raise JudgeFailed("a local judge needs transformers: pip install 'winnow-corpus[export]'") from None
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise JudgeFailed(f"{folder}: no model that transformers loads: {error}") from None

    def ask(self, prompt: str, a: str, b: str) -> str:
        text = _ASKED.format(prompt=prompt, a=a, b=b)
        if self._tokenizer.chat_template:
            turn = [{"role": "user", "content": text}]
            text = self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        else:
            text += "\nAnswer:"
        ids = self._tokenizer(text, return_tensors="pt")
        made = self._model.generate(ids["input_ids"], max_new_tokens=4, do_sample=False)
        return letter(self._tokenizer.decode(made[0, ids["input_ids"].shape[1] :]))


def letter(said: str) -> str:
    """The first letter A, B or T that stands alone; "T" where there is none: what says nothing prefers nothing."""
    found = re.search(r"\b([ABT])\b", said.strip())
    return found[1] if found else "T"


@dataclass(frozen=True)
class Verdict:
    """`choice`: 0 or 1 for the first or second text, None for neither. Inconsistent: it changed with the order."""

    choice: int | None
    consistent: bool


def judge(by: Judge, prompt: str, a: str, b: str) -> Verdict:
    """Ask in both orders."""
    there, back = by.ask(prompt, a, b), by.ask(prompt, b, a)
    turned = {"A": "B", "B": "A", "T": "T"}[back]
    if there != turned:
        return Verdict(None, False)
    return Verdict({"A": 0, "B": 1, "T": None}[there], True)


@dataclass(frozen=True)
class Verdicts:
    """How often the first text won among those decided, and how many were neither or inconsistent."""

    wins: Interval
    ties: int
    inconsistent: int
    asked: int


def judged(found: Sequence[Verdict]) -> Verdicts:
    """Counts of verdicts; only consistent ones with a preference decide."""
    decided = [one for one in found if one.choice is not None]
    ties = sum(one.consistent and one.choice is None for one in found)
    wins = wilson(sum(one.choice == 0 for one in decided), len(decided))
    return Verdicts(wins, ties, sum(not one.consistent for one in found), len(found))
