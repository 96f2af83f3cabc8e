"""Byte-level BPE: trained on the corpus or given, kept in the layout that transformers reads.

Text is only ever text here: a document that spells a special token out gets ordinary tokens for it.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers
from numpy.typing import NDArray

from trainer import recipe
from trainer.failures import Failure, UsageFailure
from trainer.run_folder import Run, open_runs

END = "<|endoftext|>"
SYSTEM, USER, ASSISTANT, END_OF_TURN = CHAT = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
# GPT-4's pattern (cl100k). Few digits per token in a small vocabulary, where triples would fill it: {1,2} as nanochat.
_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,%d}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LARGE_VOCAB = 65_536
_PIECE = 1 << 18  # characters of a text that are encoded at once
_LINE_START = re.compile(r"\n(?=\S)")


@dataclasses.dataclass(frozen=True)
class ChatTokens:
    """Ids of the tokens that conversations are written with."""

    system: int
    user: int
    assistant: int
    end: int


class Tokenizer:
    """`tokenizers.Tokenizer` with its end token, and without a way for text to become a special token.

    vocab: one more than the largest id. end: the id of the token before each document and after the last. sha256: of
    what decides the ids.
    """

    def __init__(self, definition: str, end: str, config: dict[str, Any] | None = None) -> None:
        """`definition` is a tokenizer.json, `end` the text of its end token."""
        self._definition, self._end_text, self._config = definition, end, config
        self._inner = tokenizers.Tokenizer.from_str(_all_special(definition, {end, *CHAT}))
        self._inner.encode_special_tokens = True  # "as ordinary text", in spite of its name
        # a given tokenizer may join what stands before and after a line's end
        self._may_cut = any(json.dumps(_PATTERN % digits) in definition for digits in (2, 3))
        self._inner.no_truncation()
        self._inner.no_padding()
        ids = self._inner.get_vocab(with_added_tokens=True)
        if end not in ids:
            raise UsageFailure(f"tokenizer: its end token {end!r} is not in its vocabulary")
        self.vocab = max(ids.values()) + 1
        self.end: int = ids[end]
        self.sha256 = hashlib.sha256(f"{definition}\0{end}".encode()).hexdigest()
        found = [ids.get(token) for token in CHAT]
        self._chat = None if None in found else ChatTokens(*(number for number in found if number is not None))

    @property
    def chat(self) -> ChatTokens:
        """UsageFailure where it has no tokens for conversations."""
        if self._chat is None:
            raise UsageFailure(
                f"tokenizer: no tokens for conversations ({' '.join(CHAT)}); train one, or extend this one"
            )
        return self._chat

    @property
    def has_chat(self) -> bool:
        return self._chat is not None

    @cached_property
    def token_bytes(self) -> NDArray[np.int32]:
        """[vocab] bytes of text that each token stands for; 0 for special tokens and ids that are not used."""
        sizes = np.zeros(self.vocab, np.int32)
        special = self._inner.get_added_tokens_decoder()
        byte_level = '"ByteLevel"' in self._definition
        for text, number in self._inner.get_vocab(with_added_tokens=True).items():
            if number in special:
                sizes[number] = 0 if special[number].special else len(text.encode())
            else:
                sizes[number] = len(text) if byte_level else _piece_bytes(text)
        return sizes

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without the end token."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The same for several texts, on all cores (TOKENIZERS_PARALLELISM=false: on one)."""
        if self._may_cut and any(len(text) > _PIECE for text in texts):
            return [self._encode_in_pieces(text) for text in texts]
        return [item.ids for item in self._inner.encode_batch_fast(list(texts), add_special_tokens=False)]

    def _encode_in_pieces(self, text: str) -> list[int]:
        """The same ids in bounded memory: an Encoding takes 300 bytes a token, 1 GB for a text of 8 MB."""
        ids: list[int] = []
        pieces = list(cut(text, _PIECE))
        for start in range(0, len(pieces), 8):
            for item in self._inner.encode_batch_fast(pieces[start : start + 8], add_special_tokens=False):
                ids += item.ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens left out; U+FFFD where bytes are no UTF-8."""
        return str(self._inner.decode(list(ids), skip_special_tokens=True))

    def with_chat(self) -> "Tokenizer":
        """The same with the tokens for conversations, as new ids after the others; the model has to grow with it."""
        if self.has_chat:
            return self
        told = json.loads(self._definition)
        if isinstance(told["model"]["vocab"], dict):
            # the library counts on from the vocabulary's size: where ids have holes, those are taken already
            missing = [token for token in CHAT if self._inner.token_to_id(token) is None]
            told["model"]["vocab"] |= {token: self.vocab + number for number, token in enumerate(missing)}
        inner = tokenizers.Tokenizer.from_str(json.dumps(told, ensure_ascii=False))
        inner.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in CHAT])
        return Tokenizer(inner.to_str(), self._end_text, None)

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and what `transformers.AutoTokenizer` wants beside it; a given one keeps its own."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_text(self._definition, "utf-8")
        config = self._config or {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_bos_token": False,
            "clean_up_tokenization_spaces": False,
        }
        names = {name: config.get(name) or self._end_text for name in ("bos_token", "eos_token", "pad_token")}
        config = {**config, **names}
        if self.has_chat:
            from trainer.chat_format import template  # it reads this file's tokens

            config = {**config, "chat_template": template(self._end_text)}
            (folder / "chat_template.jinja").write_text(config["chat_template"], "utf-8")
        _write_json(folder / "tokenizer_config.json", config)
        _write_json(folder / "special_tokens_map.json", names)


def load(folder: Path) -> Tokenizer:
    """A tokenizer in the Hugging Face layout. UsageFailure names what is missing.

    Its end token is eos_token of tokenizer_config.json or special_tokens_map.json.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UsageFailure(f"{path}: no such file; a tokenizer's folder has it and tokenizer_config.json")
    config, names = (_read_json(folder / name) for name in ("tokenizer_config.json", "special_tokens_map.json"))
    end = config.get("eos_token") or names.get("eos_token")
    end = end.get("content") if isinstance(end, dict) else end
    if not isinstance(end, str):
        raise UsageFailure(f"{folder}: no eos_token in tokenizer_config.json; set it to the token that ends a document")
    try:
        return Tokenizer(path.read_text("utf-8"), end, config)
    except UsageFailure as error:
        raise UsageFailure(f"{folder}: {error}") from None
    except Exception as error:  # tokenizers raises plain Exception for a bad file
        raise Failure(f"{path}: cannot be read ({error})") from None


def train(run_folders: Sequence[Path], settings: recipe.Tokenizer) -> Tokenizer:
    """Byte-level BPE with `settings.vocab` tokens (fewer if the text has no more) from at most `max_mb` of text.

    The documents are drawn by their ids, so neither their order nor the number of parts changes a byte of the result.
    """
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=False))
    pattern = tokenizers.Regex(_PATTERN % (2 if settings.vocab <= _LARGE_VOCAB else 3))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(pattern, "isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=settings.vocab,
        special_tokens=[END, *CHAT],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    inner.train_from_iterator(_drawn_texts(open_runs(run_folders), settings.max_mb), trainer)
    return Tokenizer(inner.to_str(), END)


def report(tokenizer: Tokenizer, run_folders: Sequence[Path], max_mb: float) -> pa.Table:
    """Columns source, lang, documents, bytes, tokens, bytes_per_token over at most `max_mb` of text, drawn by id."""
    runs = open_runs(run_folders)
    sums: dict[tuple[str, str], NDArray[np.int64]] = {}
    for run, table in drawn(runs, max_mb):
        prefix = f"{run.name}/" if len(runs) > 1 else ""
        columns = (table[name].to_pylist() for name in ("source", "lang", "text"))
        encoded = tokenizer.encode_batch(table["text"].to_pylist())
        for source, lang, text, ids in zip(*columns, encoded, strict=True):
            row = sums.setdefault((prefix + source, lang or ""), np.zeros(3, np.int64))
            row += (1, len(text.encode()), len(ids))
    rows = [
        {"source": source, "lang": lang, "documents": documents, "bytes": size, "tokens": tokens}
        for (source, lang), (documents, size, tokens) in sorted((key, row.tolist()) for key, row in sums.items())
    ]
    return pa.Table.from_pylist([{**row, "bytes_per_token": row["bytes"] / max(row["tokens"], 1)} for row in rows])


def drawn(runs: Sequence[Run], max_mb: float) -> Iterator[tuple[Run, pa.Table]]:
    """Small tables of documents whose ids fall below the share of the text that is wanted: about `max_mb` in all."""
    share = Fraction(max_mb) * 1_000_000 / max(sum(run.text_bytes for run in runs), 1)
    limit = "f" * 33 if share >= 1 else f"{int(share * (1 << 128)):032x}"  # ids are hex digits of 128 random bits
    for run in runs:
        for table in run.tables(["id", "source", "lang", "text"]):
            chosen = table.filter(pc.less(table["id"], limit))
            chosen = chosen.set_column(3, "text", chosen["text"].fill_null(""))
            for start in range(0, chosen.num_rows, 256):
                yield run, chosen.slice(start, 256)


def cut(text: str, size: int) -> Iterator[str]:
    """A text in pieces of `size` characters and up to the next line that starts without white space.

    No alternative of our pattern matches across such a line's start, so the pieces' tokens are the text's.
    """
    start = 0
    while found := _LINE_START.search(text, start + size):
        yield text[start : found.end()]
        start = found.end()
    yield text[start:]


def _drawn_texts(runs: Sequence[Run], max_mb: float) -> Iterator[list[str]]:
    for _, table in drawn(runs, max_mb):
        yield table["text"].to_pylist()


def _all_special(definition: str, names: set[str]) -> str:
    """The definition with these added tokens marked special, as public tokenizers sometimes forget to."""
    told = json.loads(definition)
    for token in told.get("added_tokens", []):
        token["special"] = token["special"] or token["content"] in names
    return json.dumps(told, ensure_ascii=False)


def _piece_bytes(text: str) -> int:
    """Bytes of a SentencePiece token: `<0xNN>` is one byte, U+2581 a space."""
    if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
        return 1
    return len(text.replace("\u2581", " ").encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Failure(f"{path}: cannot be read ({error})") from None


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
