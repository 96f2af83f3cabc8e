"""Packing loses nothing, is the same for any order of files, and is there whole or not at all."""

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_corpus import chat_run, conversation, conversations, document, text_run, texts, write_run

from trainer import packing, recipe
from trainer.chat_format import conversation_ids
from trainer.failures import Failure, UsageFailure
from trainer.packing import open_shards
from trainer.shards import SPLITS, Shards
from trainer.tokenizer import END, Tokenizer, train

TEXT = recipe.Data(validation=0.1)
CHAT = recipe.Data(kind="chat", validation=0.1)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train([text_run(tmp_path_factory.mktemp("corpus") / "run")], recipe.Tokenizer(vocab=400))


def stream(shards: Shards, split: str, source: int, suffix: str = "tokens") -> list[int]:
    dtype = shards.told["dtype"] if suffix == "tokens" else np.uint8
    return [int(x) for x in np.fromfile(shards.folder / f"{split}-{source}.{suffix}", dtype)]


def of(rows: list[dict[str, Any]], shards: Shards, split: str, source: int) -> list[dict[str, Any]]:
    """The documents that the table puts there, from what was written, in order of id."""
    table = shards.documents.to_pylist()
    names = [r["id"] for r in table if (r["split"], r["source"]) == (split, shards.sources[source])]
    assert names == sorted(names)
    return [next(row for row in rows if row["id"] == name) for name in names]


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_a_stream_is_its_documents_each_after_an_end_token(tmp_path: Path, tokenizer: Tokenizer) -> None:
    rows = [*texts(), document(""), document("", "books"), document(f"a {END} b <|end|>"), document("x", "rare")]
    shards = open_shards([write_run(tmp_path / "run", rows)], tokenizer, TEXT)
    assert shards.sources == ("books", "rare", "web")
    seen = 0
    for split in SPLITS:
        for source in range(3):
            expected = []
            for row in of(rows, shards, split, source):
                expected += [shards.end, *tokenizer.encode(row["text"])]
                seen += 1
            assert stream(shards, split, source) == [*expected, shards.end]
            assert shards.num_tokens(split, source) == len(expected)
    assert seen == len(rows)


def test_the_table_says_where_each_document_is(tmp_path: Path, tokenizer: Tokenizer) -> None:
    rows = [*texts(20), document("Müller 漢"), document("", lang=None)]
    shards = open_shards([write_run(tmp_path / "run", rows)], tokenizer, TEXT)
    by_id = {row["id"]: row for row in rows}
    for number, row in enumerate(shards.documents.to_pylist()):
        text = by_id[row["id"]]["text"]
        ids = tokenizer.encode(text)
        held = stream(shards, row["split"], shards.sources.index(row["source"]))
        assert held[row["first"] : row["first"] + row["tokens"] + 1] == [shards.end, *ids, shards.end]
        assert row == {
            "document": number,
            "id": row["id"],
            "source": by_id[row["id"]]["source"],
            "lang": by_id[row["id"]]["lang"],
            "split": row["split"],
            "first": row["first"],
            "tokens": len(ids) + 1,
            "learnt": len(ids) + 1,
            "bytes": len(text.encode()),
            "characters": len(text),
        }


def test_validation_is_by_the_lower_half_of_the_id(tmp_path: Path, tokenizer: Tokenizer) -> None:
    rows = texts(200)
    run = write_run(tmp_path / "run", rows)
    for share in (0.0, 0.25, 1.0):
        table = open_shards([run], tokenizer, recipe.Data(validation=share)).documents.to_pylist()
        held = {row["id"] for row in table if row["split"] == "validation"}
        assert held == {row["id"] for row in rows if int(row["id"][16:], 16) < share * 2**64}


def test_each_source_has_something_on_both_sides(tmp_path: Path, tokenizer: Tokenizer) -> None:
    rows = [*texts(10), document("alone", "single")]
    run = write_run(tmp_path / "run", rows)

    def held(share: float) -> set[str]:
        table = open_shards([run], tokenizer, recipe.Data(validation=share)).documents.to_pylist()
        return {row["id"] for row in table if row["split"] == "validation"}

    def ends(source: str) -> tuple[str, str]:
        names = sorted((row["id"] for row in rows if row["source"] == source), key=lambda name: name[16:])
        return names[0], names[-1]

    assert held(1e-12) == {ends("books")[0], ends("web")[0]}
    every = {row["id"] for row in rows}
    assert every - held(1 - 1e-12) == {ends("books")[1], ends("web")[1], ends("single")[1]}


def test_a_document_keeps_its_side_when_others_come(tmp_path: Path, tokenizer: Tokenizer) -> None:
    few = open_shards([write_run(tmp_path / "few", texts(100))], tokenizer, TEXT).documents.to_pylist()
    many = open_shards([write_run(tmp_path / "many", texts(150))], tokenizer, TEXT).documents.to_pylist()
    sides = {row["id"]: row["split"] for row in many}
    assert all(sides[row["id"]] == row["split"] for row in few)


@pytest.mark.parametrize("make", [texts, conversations])
def test_neither_parts_nor_pieces_change_a_byte(
    tmp_path: Path, tokenizer: Tokenizer, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = TEXT if make is texts else CHAT
    one = open_shards([write_run(tmp_path / "a" / "run", make())], tokenizer, data)
    monkeypatch.setattr("trainer.encoding._BATCH_BYTES", 700)
    other = open_shards([write_run(tmp_path / "b" / "run", make()[::-1], parts=5, row_group=3)], tokenizer, data)
    assert one.key == other.key
    assert contents(one.folder) == contents(other.folder)


def test_a_conversation_learns_what_the_assistant_says(tmp_path: Path, tokenizer: Tokenizer) -> None:
    rows = [*conversations(12), conversation([("user", "no answer")]), conversation([("assistant", "")])]
    shards = open_shards([write_run(tmp_path / "run", rows)], tokenizer, CHAT)
    for split in SPLITS:
        tokens, learnt = [], []
        for row in of(rows, shards, split, 0):
            ids, bits = conversation_ids(tokenizer, row["turns"])
            tokens += [shards.end, *ids]
            learnt += [0, *bits]
        assert stream(shards, split, 0) == [*tokens, shards.end]
        assert stream(shards, split, 0, "targets") == [*learnt, 0]
    by_id = {row["id"]: row for row in shards.documents.to_pylist()}
    for row in rows:
        assert by_id[row["id"]]["learnt"] == sum(conversation_ids(tokenizer, row["turns"])[1])


def test_a_text_among_conversations_is_named(tmp_path: Path, tokenizer: Tokenizer) -> None:
    odd = document("just text", "web")
    run = write_run(tmp_path / "run", [*conversations(5), odd])
    with pytest.raises(UsageFailure, match=f"source 'web': document {odd['id']} is no conversation"):
        open_shards([run], tokenizer, CHAT)
    assert open_shards([run], tokenizer, TEXT).documents.num_rows == 6  # as text, a conversation is its rendering
    wrong = write_run(tmp_path / "wrong", [conversation([("narrator", "once")])])
    with pytest.raises(UsageFailure, match=r"a conversation among documents .* role 'narrator' is unknown"):
        open_shards([wrong], tokenizer, CHAT)


def test_it_is_packed_once(tmp_path: Path, tokenizer: Tokenizer) -> None:
    run = text_run(tmp_path / "run")
    told: list[tuple[int, int]] = []
    shards = open_shards([run], tokenizer, TEXT, lambda done, total: told.append((done, total)))
    assert told[-1] == (60, 60)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert shards.folder == run / "tokens" / shards.key
    assert [path.name for path in (run / "tokens").iterdir()] == [shards.key]
    before = {path: path.stat().st_mtime_ns for path in shards.folder.iterdir()}
    told.clear()
    open_shards([run], tokenizer, TEXT, lambda done, total: told.append((done, total)))
    assert not told
    assert before == {path: path.stat().st_mtime_ns for path in shards.folder.iterdir()}


def test_the_key_is_of_all_that_decides_a_byte(tmp_path: Path, tokenizer: Tokenizer) -> None:
    run, other = text_run(tmp_path / "run"), text_run(tmp_path / "other", 61)
    cache = str(tmp_path / "cache")
    keys = [
        open_shards(folders, t, data).key
        for folders, t, data in [
            ([run], tokenizer, recipe.Data(cache=cache)),
            ([run], tokenizer, recipe.Data(cache=cache, validation=0.5)),
            ([run], train([run], recipe.Tokenizer(vocab=300)), recipe.Data(cache=cache)),
            ([other], tokenizer, recipe.Data(cache=cache)),
            ([run, other], tokenizer, recipe.Data(cache=cache)),
        ]
    ]
    assert len(set(keys)) == 5
    assert sorted(os.listdir(cache)) == sorted(keys)
    assert open_shards([run], tokenizer, recipe.Data(cache=cache, sequence_length=8)).key == keys[0]


def test_sources_of_several_corpora_bear_their_names(tmp_path: Path, tokenizer: Tokenizer) -> None:
    runs = [text_run(tmp_path / "old"), text_run(tmp_path / "new", 8, ("web",))]
    shards = open_shards(runs, tokenizer, TEXT)
    assert shards.sources == ("new/web", "old/books", "old/web")
    assert shards.documents.num_rows == 68
    assert shards.told["corpora"] == {
        run.name: json.loads((run / "manifest.json").read_text())["docs_hash"] for run in runs
    }


def test_a_corpus_that_changed_is_not_packed(tmp_path: Path, tokenizer: Tokenizer) -> None:
    run = text_run(tmp_path / "run")
    path = sorted((run / "docs").iterdir())[0]
    table = pq.read_table(path)
    changed = [text.replace("the", "teh", 1) for text in table["text"].to_pylist()]
    pq.write_table(table.set_column(3, table.schema.field("text"), pa.array(changed, pa.large_string())), path)
    with pytest.raises(Failure, match=r"not those that manifest\.json tells of"):
        open_shards([run], tokenizer, TEXT)
    assert list((run / "tokens").iterdir()) == []


def test_a_failure_leaves_nothing_and_a_faster_process_wins(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = text_run(tmp_path / "run")
    pack = packing._pack

    def full(*_: Any) -> dict[str, Any]:
        raise OSError("no space left")

    def slow(*arguments: Any) -> dict[str, Any]:
        told = pack(*arguments)
        monkeypatch.setattr(packing, "_pack", pack)
        open_shards([run], tokenizer, TEXT)
        return told

    monkeypatch.setattr(packing, "_pack", full)
    with pytest.raises(Failure, match=r"tokens: packing failed \(no space left\)"):
        open_shards([run], tokenizer, TEXT)
    assert list((run / "tokens").iterdir()) == []
    monkeypatch.setattr(packing, "_pack", slow)
    shards = open_shards([run], tokenizer, TEXT)
    assert [path.name for path in (run / "tokens").iterdir()] == [shards.key]


def test_several_at_once_agree(tmp_path: Path, tokenizer: Tokenizer) -> None:
    run = chat_run(tmp_path / "run")
    found: list[Shards] = []
    threads = [threading.Thread(target=lambda: found.append(open_shards([run], tokenizer, CHAT))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert [path.name for path in (run / "tokens").iterdir()] == [found[0].key]


def test_a_cache_that_cannot_be_written(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageFailure, match=r"cannot be written .* set data\.cache"):
        open_shards([text_run(tmp_path / "run")], tokenizer, recipe.Data(cache=str(tmp_path / "file")))


def test_a_large_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    vocab = {END: 0, **{f"{n:x}": n + 1 for n in range(16)}, **{f"<filler {n}>": n for n in range(17, 70_000)}}
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
    inner.add_special_tokens([END])
    wide = Tokenizer(inner.to_str(), END)
    shards = open_shards([write_run(tmp_path / "run", [document("0f", "a")])], wide, recipe.Data(validation=0))
    assert shards.told["dtype"] == "<u4"
    assert stream(shards, "train", 0) == [0, 1, 16, 0]


def test_what_killed_packings_left_is_removed_and_what_living_ones_write_is_not(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    run = text_run(tmp_path / "run", 20)
    cache = run / "tokens"
    dead, living = cache / ".0123456789abcdef.dead", cache / ".0123456789abcdef.living"
    for folder in (dead, living):
        folder.mkdir(parents=True)
        (folder / "unsorted").write_bytes(b"half")
    with packing._lock(living):
        open_shards([run], tokenizer, TEXT)
    assert not dead.exists()
    assert (living / "unsorted").read_bytes() == b"half"
