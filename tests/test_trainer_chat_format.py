"""Conversations by ids: masks, prefixes, and the same in Jinja."""

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_corpus import text_run

from trainer import recipe
from trainer.chat_format import ROLES, conversation_ids, conversations_ids, prompt_ids
from trainer.failures import UsageFailure
from trainer.tokenizer import ASSISTANT, CHAT, Tokenizer, train

CONTENT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["<|end|>", "<|assistant|> ", "\n", ""])
TURNS = st.lists(st.builds(lambda r, c: {"role": r, "content": c}, st.sampled_from(sorted(ROLES)), CONTENT), max_size=5)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train([text_run(tmp_path_factory.mktemp("corpus") / "run")], recipe.Tokenizer(vocab=400))


@given(turns=TURNS)
def test_learnt_is_what_the_assistant_says_and_its_end(tokenizer: Tokenizer, turns: list[dict[str, str]]) -> None:
    ids, learnt = conversation_ids(tokenizer, turns)
    chat = tokenizer.chat
    said = [ROLES[turn["role"]] == ASSISTANT for turn in turns]
    assert len(ids) == len(learnt)
    assert ids.count(chat.end) == len(turns)
    assert sum(token in (chat.system, chat.user, chat.assistant) for token in ids) == len(turns)
    expected = [[*tokenizer.encode(turn["content"]), chat.end] for turn, ours in zip(turns, said, strict=True) if ours]
    assert [token for token, bit in zip(ids, learnt, strict=True) if bit] == [t for turn in expected for t in turn]
    assert all(not bit for token, bit in zip(ids, learnt, strict=True) if token in (chat.assistant, chat.user))


@given(turns=TURNS, cut=st.integers(0, 5))
def test_a_prompt_begins_the_conversation_that_goes_on(
    tokenizer: Tokenizer, turns: list[dict[str, str]], cut: int
) -> None:
    whole = [tokenizer.end, *conversation_ids(tokenizer, turns)[0]]
    prompt = prompt_ids(tokenizer, turns[:cut])
    assert whole[: len(prompt) - 1] == prompt[:-1]
    assert prompt[-1] == tokenizer.chat.assistant


@given(several=st.lists(TURNS, max_size=4))
def test_many_are_as_each(tokenizer: Tokenizer, several: list[list[dict[str, str]]]) -> None:
    assert conversations_ids(tokenizer, several) == [conversation_ids(tokenizer, turns) for turns in several]


def test_an_unknown_role_is_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageFailure, match="role 'narrator' is unknown; conversations have system, developer, user"):
        conversation_ids(tokenizer, [{"role": "narrator", "content": "x"}])


def test_the_template_says_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra that reads exported folders")
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)

    @settings(max_examples=30)
    @given(turns=TURNS)
    def check(turns: list[dict[str, str]]) -> None:
        # transformers reads tokens out of text; ours does not, on purpose
        turns = [turn for turn in turns if not any(token in turn["content"] for token in CHAT)]
        assume(turns)  # it refuses an empty conversation
        ids = theirs.apply_chat_template(turns, tokenize=True, add_generation_prompt=True, return_dict=False)
        assert ids == prompt_ids(tokenizer, turns)
        ids = theirs.apply_chat_template(turns, tokenize=True, return_dict=False)
        assert ids == [tokenizer.end, *conversation_ids(tokenizer, turns)[0]]

    check()
    with pytest.raises(Exception, match="unknown role: narrator"):
        theirs.apply_chat_template([{"role": "narrator", "content": "x"}], tokenize=False)
