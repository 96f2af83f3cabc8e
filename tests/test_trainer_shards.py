"""Rows: every token a target once, every position with its document, and nothing read that is not whole."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from small_corpus import chat_run, conversation, text_run, write_run

from trainer import recipe
from trainer.failures import Failure
from trainer.packing import open_shards
from trainer.shards import IGNORED, PADDING, SPLITS, Batch, Shards
from trainer.tokenizer import Tokenizer, train

LENGTHS = [1, 7, 64, 5000]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return train([text_run(folder / "text")], recipe.Tokenizer(vocab=400))


@pytest.fixture(scope="module")
def texts(folder: Path, tokenizer: Tokenizer) -> Shards:
    return open_shards([folder / "text"], tokenizer, recipe.Data(validation=0.1))


@pytest.fixture(scope="module")
def talks(folder: Path, tokenizer: Tokenizer) -> Shards:
    return open_shards([chat_run(folder / "chat")], tokenizer, recipe.Data(kind="chat", validation=0.1))


def all_rows(shards: Shards, split: str, source: int, length: int) -> Batch:
    rows = np.arange(shards.num_rows(split, source, length))
    return shards.read(split, np.full(len(rows), source), rows, length)


def pairs(tokens: Any, targets: Any, documents: Any) -> list[tuple[int, int, int]]:
    """(input, target, document) of everything learnt, in order."""
    learnt = targets != IGNORED
    return list(zip(tokens[learnt].tolist(), targets[learnt].tolist(), documents[learnt].tolist(), strict=True))


def expected(shards: Shards, split: str, source: int) -> list[tuple[int, int, int]]:
    """The same from the files and the definition, document by document."""
    stream = np.fromfile(shards.folder / f"{split}-{source}.tokens", shards.told["dtype"]).astype(int)
    path = shards.folder / f"{split}-{source}.targets"
    learnt = np.fromfile(path, np.uint8) if path.exists() else np.ones(len(stream))
    out = []
    for row in documents_of(shards, split, source):
        for position in range(row["first"], row["first"] + row["tokens"]):
            if learnt[position + 1]:
                out.append((int(stream[position]), int(stream[position + 1]), row["document"]))
    return out


def documents_of(shards: Shards, split: str, source: int) -> list[dict[str, Any]]:
    name = shards.sources[source]
    return [row for row in shards.documents.to_pylist() if row["split"] == split and row["source"] == name]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", ["texts", "talks"])
def test_every_token_is_a_target_once_with_its_document(kind: str, length: int, request: pytest.FixtureRequest) -> None:
    shards: Shards = request.getfixturevalue(kind)
    for split in SPLITS:
        for source in range(len(shards.sources)):
            batch = all_rows(shards, split, source, length)
            assert pairs(batch.tokens_BT, batch.targets_BT, batch.documents_BT) == expected(shards, split, source)


@pytest.mark.parametrize("length", LENGTHS)
def test_rows_of_text_are_consecutive_and_only_the_last_is_padded(texts: Shards, length: int) -> None:
    for source in range(2):
        batch = all_rows(texts, "train", source, length)
        num_tokens = texts.num_tokens("train", source)
        assert len(batch.row_B) == texts.num_rows("train", source, length) == -(-num_tokens // length)
        padded = batch.documents_BT.ravel() == PADDING
        assert np.array_equal(padded, np.arange(padded.size) >= num_tokens)
        assert (batch.tokens_BT.ravel()[padded] == texts.end).all()
        assert (batch.targets_BT.ravel()[padded] == IGNORED).all()
        starts = batch.documents_BT.ravel()[~padded]
        assert np.array_equal(np.diff(starts, prepend=-1) != 0, batch.tokens_BT.ravel()[~padded] == texts.end)


def test_rows_come_in_the_order_asked_for(texts: Shards) -> None:
    source, row = np.array([1, 0, 1, 0, 0]), np.array([3, 5, 0, 5, 1])
    batch = texts.read("train", source, row, 32)
    assert batch.source_B.tolist() == source.tolist()
    assert batch.row_B.tolist() == row.tolist()
    for place in range(5):
        alone = texts.read("train", source[[place]], row[[place]], 32)
        assert np.array_equal(batch.tokens_BT[place], alone.tokens_BT[0])
        assert np.array_equal(batch.targets_BT[place], alone.targets_BT[0])
        assert np.array_equal(batch.documents_BT[place], alone.documents_BT[0])
    kinds = (batch.tokens_BT, batch.targets_BT, batch.documents_BT, batch.source_B, batch.row_B)
    assert [array.dtype for array in kinds] == [np.int64, np.int64, np.int32, np.int32, np.int64]
    with pytest.raises(IndexError):
        texts.read("train", np.array([0]), np.array([10**6]), 32)


@pytest.mark.parametrize("length", [40, 200])
def test_conversations_are_whole_where_they_fit(talks: Shards, length: int) -> None:
    batch = all_rows(talks, "train", 0, length)
    rows_of = {
        row["document"]: np.flatnonzero((batch.documents_BT == row["document"]).any(axis=1))
        for row in documents_of(talks, "train", 0)
    }
    for row in documents_of(talks, "train", 0):
        if row["tokens"] <= length:
            assert len(rows_of[row["document"]]) == 1
    assert (batch.targets_BT != IGNORED).any(axis=1).all()
    # a longer one begins its row
    for row in (row for row in documents_of(talks, "train", 0) if row["tokens"] > length):
        first = rows_of[row["document"]][0]
        assert batch.documents_BT[first, 0] == row["document"]


def test_a_row_without_anything_to_learn_is_not_numbered(tmp_path: Path, tokenizer: Tokenizer) -> None:
    rows = [conversation([("user", f"a question without an answer {n} " * 4)]) for n in range(6)]
    rows += [conversation([("user", "why"), ("assistant", f"because {n}")]) for n in range(2)]
    shards = open_shards([write_run(tmp_path / "run", rows)], tokenizer, recipe.Data(kind="chat", validation=0))
    batch = all_rows(shards, "train", 0, 64)
    assert 1 <= len(batch.row_B) <= 2
    assert shards.documents.num_rows == 8
    learnt = batch.targets_BT[batch.targets_BT != IGNORED].tolist()
    assert sorted(learnt) == sorted(
        t for n in range(2) for t in [*tokenizer.encode(f"because {n}"), tokenizer.chat.end]
    )
    assert sum(shards.documents["learnt"].to_pylist()) == len(learnt)
    assert shards.num_rows("validation", 0, 64) == 0


def test_validation_reads_the_first_rows_of_every_source(texts: Shards) -> None:
    counts = [texts.num_rows("validation", source, 16) for source in range(2)]
    assert min(counts) > 3
    source, row = texts.validation_rows(16, 10**6)
    assert list(zip(source, row, strict=True)) == [(s, r) for s in range(2) for r in range(counts[s])]
    source, row = texts.validation_rows(16, 3 * 16 + 5)
    assert list(zip(source, row, strict=True)) == [(s, r) for s in range(2) for r in range(3)]
    assert texts.validation_rows(16, 1)[1].tolist() == [0, 0]  # never none


def test_bytes_of_the_targets_are_the_bytes_of_the_texts(texts: Shards) -> None:
    source, row = texts.validation_rows(16, 10**6)
    batch = texts.read("validation", source, row, 16)
    learnt = batch.targets_BT != IGNORED
    held = [r for r in texts.documents.to_pylist() if r["split"] == "validation"]
    assert texts.token_bytes[batch.targets_BT[learnt]].sum() == sum(r["bytes"] for r in held)
    assert sum(r["learnt"] for r in held) == learnt.sum()


def copied(shards: Shards, folder: Path) -> Path:
    folder.mkdir()
    for path in shards.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_damaged_cache_is_named(texts: Shards, tmp_path: Path) -> None:
    folder = copied(texts, tmp_path / "a")
    assert Shards(folder).documents.equals(texts.documents)
    with open(folder / "train-1.tokens", "ab") as file:
        file.write(b"x")
    with pytest.raises(Failure, match=r"train-1\.tokens: \d+ bytes long instead of \d+; remove .* made again"):
        Shards(folder)
    (folder / "train-1.tokens").unlink()
    with pytest.raises(Failure, match=r"train-1\.tokens: missing"):
        Shards(folder)
    (folder / "shards.json").write_text(json.dumps({**texts.told, "format": 0}))
    with pytest.raises(Failure, match="format 0, this trainer reads 1"):
        Shards(folder)
    (folder / "shards.json").unlink()
    with pytest.raises(Failure, match=r"shards\.json: cannot be read"):
        Shards(folder)


def test_the_table_of_documents_has_the_columns_of_the_contract(texts: Shards) -> None:
    names = "document id source lang split first tokens learnt bytes characters".split()
    assert texts.documents.column_names == names
    assert texts.documents.schema.field("document").type == pa.int32()
    assert texts.documents["document"].to_pylist() == list(range(60))
