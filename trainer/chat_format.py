"""A conversation as token ids, message by message, and which of them the model learns.

A message is `<|role|>`, its text, `<|end|>`. Ids are joined, never the text: no token can span two messages, and a
prompt is always a prefix of the conversation that it begins.
"""

from collections.abc import Mapping, Sequence

from trainer.failures import UsageFailure
from trainer.tokenizer import ASSISTANT, END_OF_TURN, SYSTEM, USER, Tokenizer

# What other formats call the three. A tool speaks to the assistant as a user does, and is as little to be imitated.
ROLES = {
    "system": SYSTEM,
    "developer": SYSTEM,
    "user": USER,
    "human": USER,
    "tool": USER,
    "function": USER,
    "assistant": ASSISTANT,
    "gpt": ASSISTANT,
    "model": ASSISTANT,
}
Turn = Mapping[str, str]  # role, content


def conversation_ids(tokenizer: Tokenizer, turns: Sequence[Turn]) -> tuple[list[int], list[int]]:
    """Ids of a conversation without the end token before it, and for each 1 where it is learnt.

    Learnt: what the assistant says and the `<|end|>` after it, for that is how the model learns to stop. UsageFailure
    names an unknown role.
    """
    return conversations_ids(tokenizer, [turns])[0]


def conversations_ids(
    tokenizer: Tokenizer, conversations: Sequence[Sequence[Turn]]
) -> list[tuple[list[int], list[int]]]:
    """The same for many conversations, encoded together."""
    tokens = tokenizer.chat
    by_role = {SYSTEM: tokens.system, USER: tokens.user, ASSISTANT: tokens.assistant}
    encoded = iter(tokenizer.encode_batch([turn["content"] or "" for turns in conversations for turn in turns]))
    out = []
    for turns in conversations:
        ids: list[int] = []
        learnt: list[int] = []
        for turn in turns:
            role, said = _token(turn), next(encoded)
            ids += [by_role[role], *said, tokens.end]
            learnt += [0] + [int(role == ASSISTANT)] * (len(said) + 1)
        out.append((ids, learnt))
    return out


def prompt_ids(tokenizer: Tokenizer, turns: Sequence[Turn]) -> list[int]:
    """What to go on from for the assistant's next message: the end token, the conversation so far, `<|assistant|>`."""
    ids, _ = conversation_ids(tokenizer, turns)
    return [tokenizer.end, *ids, tokenizer.chat.assistant]


def template(end: str) -> str:
    """The same as a Jinja template for `transformers`; `end` is the text of the tokenizer's end token."""
    names: dict[str, list[str]] = {}
    for role, token in ROLES.items():
        names.setdefault(token, []).append(role)
    branches = "".join(
        f"{{%- {'elif' if place else 'if'} message['role'] in {roles} %}}{{{{- '{token}' }}}}"
        for place, (token, roles) in enumerate(names.items())
    )
    return (
        f"{{{{- '{end}' }}}}{{%- for message in messages %}}{branches}"
        "{%- else %}{{- raise_exception('unknown role: ' ~ message['role']) }}{%- endif %}"
        f"{{{{- message['content'] }}}}{{{{- '{END_OF_TURN}' }}}}{{%- endfor %}}"
        f"{{%- if add_generation_prompt %}}{{{{- '{ASSISTANT}' }}}}{{%- endif %}}"
    )


def _token(turn: Turn) -> str:
    token = ROLES.get(turn["role"])
    if token is None:
        raise UsageFailure(f"role {turn['role']!r} is unknown; conversations have {', '.join(ROLES)}")
    return token
