"""Text goes in and comes out unchanged, special tokens never come out of text, and transformers agrees."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from small_corpus import document, text_run, texts, write_run

from trainer import recipe
from trainer.failures import Failure, UsageFailure
from trainer.run_folder import open_runs
from trainer.tokenizer import CHAT, END, Tokenizer, cut, drawn, load, report, train

SETTINGS = recipe.Tokenizer(vocab=400)
SPELLED = "".join((END, *CHAT, "<|endoftext|", "<|", "|>"))
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.lists(st.sampled_from([END, *CHAT, " ", "a", "1"])).map(
    "".join
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_run(tmp_path_factory.mktemp("corpus") / "run")


@pytest.fixture(scope="module")
def tokenizer(run: Path) -> Tokenizer:
    return train([run], SETTINGS)


@given(text=TEXTS)
@example(SPELLED)
@example("".join(map(chr, range(256))) + "\U0010ffff e\u0301 \u00e9")
def test_text_survives_and_never_becomes_special(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert min(ids, default=9) > 4  # the five special tokens come first
    assert tokenizer.token_bytes[ids].sum() == len(text.encode())


@given(items=st.lists(TEXTS, max_size=5))
def test_a_batch_is_its_texts(tokenizer: Tokenizer, items: list[str]) -> None:
    assert tokenizer.encode_batch(items) == [tokenizer.encode(text) for text in items]


@given(before=TEXTS, after=TEXTS, spaces=st.sampled_from(["", " ", "\r", " \n\t", "\n\n"]))
def test_a_text_may_be_cut_where_a_line_starts(tokenizer: Tokenizer, before: str, after: str, spaces: str) -> None:
    text = f"{before}{spaces}\n{after}"
    for size in (0, 3):
        pieces = list(cut(text, size))
        assert "".join(pieces) == text
        assert [token for piece in pieces for token in tokenizer.encode(piece)] == tokenizer.encode(text)


def test_long_texts_are_encoded_in_pieces(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    items = ["\n".join(row["text"] for row in texts(30)), "short", "no line's start " * 20, ""]
    whole = tokenizer.encode_batch(items)
    monkeypatch.setattr("trainer.tokenizer._PIECE", 90)
    assert len(list(cut(items[0], 90))) > 16
    assert tokenizer.encode_batch(items) == whole


def test_special_tokens_have_no_bytes(tokenizer: Tokenizer) -> None:
    chat = tokenizer.chat
    assert [tokenizer.end, chat.system, chat.user, chat.assistant, chat.end] == [0, 1, 2, 3, 4]
    assert tokenizer.token_bytes[:5].tolist() == [0] * 5
    assert (tokenizer.token_bytes[5:] > 0).all()
    assert tokenizer.vocab == len(tokenizer.token_bytes) == 400


@pytest.mark.parametrize(("vocab", "longest"), [(400, 2), (70_000, 3)])
def test_digits_are_grouped_by_the_size_of_the_vocabulary(tmp_path: Path, vocab: int, longest: int) -> None:
    run = write_run(tmp_path / "run", [document("1234567 " * 50 + str(n)) for n in range(4)])
    found = train([run], recipe.Tokenizer(vocab=vocab))
    assert max(len(found.decode([token])) for token in found.encode("12345671234567")) == longest


def test_the_same_corpus_in_another_order_gives_the_same_bytes(tmp_path: Path, tokenizer: Tokenizer) -> None:
    turned = write_run(tmp_path / "run", texts()[::-1], parts=5, row_group=3)
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        assert train([turned], SETTINGS).sha256 == tokenizer.sha256
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before


def test_training_reads_a_share_drawn_by_id(tmp_path: Path, run: Path) -> None:
    def ids(folder: Path, max_mb: float) -> list[str]:
        return sorted(name for _, table in drawn(open_runs([folder]), max_mb) for name in table["id"].to_pylist())

    everything = sorted(row["id"] for row in texts())
    size = sum(len(row["text"].encode()) for row in texts()) / 1e6
    assert ids(run, 100) == everything
    some = ids(run, size / 3)
    assert some == everything[: len(some)]
    assert 10 <= len(some) <= 30  # a third of 60
    assert ids(write_run(tmp_path / "turned", texts()[::-1], parts=3), size / 3) == some


def test_saved_and_loaded_is_the_same(tmp_path: Path, tokenizer: Tokenizer) -> None:
    tokenizer.save(tmp_path / "t")
    again = load(tmp_path / "t")
    assert (again.sha256, again.vocab, again.end, again.chat) == (
        tokenizer.sha256,
        tokenizer.vocab,
        tokenizer.end,
        tokenizer.chat,
    )
    again.save(tmp_path / "u")
    for path in (tmp_path / "t").iterdir():
        assert path.read_bytes() == (tmp_path / "u" / path.name).read_bytes()


def test_transformers_gives_the_same_ids(tmp_path: Path, tokenizer: Tokenizer) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra that reads exported folders")
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in (
        "",
        "The old mill, 12345 times.\n\n  Naïve 漢字 'tis we'll",
        "a  b\t\nc \r\n",
        *(r["text"] for r in texts(6)),
    ):
        assert theirs(text)["input_ids"] == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text)) == text
    assert theirs(SPELLED, split_special_tokens=True)["input_ids"] == tokenizer.encode(SPELLED)
    assert theirs.bos_token_id == theirs.eos_token_id == theirs.pad_token_id == tokenizer.end
    assert len(theirs) == tokenizer.vocab


def given_folder(folder: Path, tokenizer: Tokenizer, **config: object) -> Path:
    """A public tokenizer's folder: our pieces without our special tokens."""
    tokenizer.save(folder)
    told = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    told["added_tokens"] = [{**told["added_tokens"][0], "content": "</s>", "special": False}]
    pieces = {text: number for text, number in told["model"]["vocab"].items() if number > 4}
    told["model"]["vocab"] = {"</s>": 0, "<unused>": 1} | pieces
    (folder / "tokenizer.json").write_text(json.dumps(told), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    (folder / "special_tokens_map.json").unlink()
    return folder


@pytest.mark.parametrize("eos", ["</s>", {"content": "</s>", "lstrip": False}])
def test_a_given_tokenizer_has_an_end_and_no_chat(tmp_path: Path, tokenizer: Tokenizer, eos: object) -> None:
    found = load(given_folder(tmp_path, tokenizer, eos_token=eos, model_max_length=99))
    assert found.end == 0
    assert found.vocab == 400
    assert 0 not in found.encode("a </s> b")  # though its own file calls it not special
    assert found.decode(found.encode("a </s> b")) == "a </s> b"
    with pytest.raises(UsageFailure, match="no tokens for conversations"):
        _ = found.chat
    grown = found.with_chat()
    assert (grown.chat.system, grown.chat.end, grown.vocab, grown.end) == (400, 403, 404, 0)
    assert grown.encode("the old mill <|user|>") == found.encode("the old mill <|user|>")
    found.save(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "tokenizer_config.json").read_text())["model_max_length"] == 99
    assert load(tmp_path / "again").sha256 == found.sha256


def test_folders_that_are_no_tokenizer(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageFailure, match=r"tokenizer\.json: no such file"):
        load(tmp_path)
    with pytest.raises(UsageFailure, match="no eos_token"):
        load(given_folder(tmp_path / "a", tokenizer))
    with pytest.raises(UsageFailure, match=r"end token '<s>' is not in its vocabulary"):
        load(given_folder(tmp_path / "b", tokenizer, eos_token="<s>"))
    folder = given_folder(tmp_path / "c", tokenizer, eos_token="</s>")
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(Failure, match=r"tokenizer\.json: cannot be read"):
        load(folder)
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(Failure, match=r"tokenizer_config\.json: cannot be read"):
        load(folder)


def test_bytes_of_pieces_of_the_other_kind(tmp_path: Path) -> None:
    """SentencePiece's: U+2581 is a space, <0xNN> a byte."""
    model = {"type": "BPE", "vocab": {"</s>": 0, "\u2581a": 1, "<0xC3>": 2, "é": 3, "<0xZZZ>": 4}, "merges": []}
    added = [
        {
            "id": 0,
            "content": "</s>",
            "special": True,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
    ]
    definition = json.dumps(
        {"version": "1.0", "added_tokens": added, "model": model, "pre_tokenizer": None, "decoder": None}
    )
    assert Tokenizer(definition, "</s>").token_bytes.tolist() == [0, 2, 1, 2, 7]


def test_the_report_adds_up(tmp_path: Path, run: Path, tokenizer: Tokenizer) -> None:
    other = write_run(
        tmp_path / "other", [document("Der alte Müller.", "web", lang="de"), document("x", "web", lang=None)]
    )
    rows = report(tokenizer, [run], 100).to_pylist()
    assert [(row["source"], row["lang"], row["documents"]) for row in rows] == [("books", "en", 30), ("web", "en", 30)]
    assert sum(row["bytes"] for row in rows) == sum(len(row["text"].encode()) for row in texts())
    for row in rows:
        assert row["tokens"] == sum(len(tokenizer.encode(t["text"])) for t in texts() if t["source"] == row["source"])
        assert row["bytes_per_token"] == row["bytes"] / row["tokens"]
    names = [(row["source"], row["lang"]) for row in report(tokenizer, [run, other], 100).to_pylist()]
    assert names == [("other/web", ""), ("other/web", "de"), ("run/books", "en"), ("run/web", "en")]
