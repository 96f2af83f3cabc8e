"""Text is read in bounded pieces, and no tokenizer may blur where documents begin."""

import json
from pathlib import Path

import pytest
from small_corpus import document, text_run, texts, write_run

from trainer import encoding, recipe
from trainer.failures import UsageFailure
from trainer.packing import open_shards
from trainer.run_folder import open_run
from trainer.tokenizer import Tokenizer


@pytest.mark.parametrize("limit", [1, 900, 10**9])
def test_pieces_are_bounded_and_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(encoding, "_BATCH_BYTES", limit)
    run = open_run(text_run(tmp_path / "run"))
    pieces = [piece["text"].to_pylist() for piece in encoding._pieces(run, "text")]
    assert sorted(text for piece in pieces for text in piece) == sorted(row["text"] for row in texts())
    longest = max(len(row["text"].encode()) for row in texts())
    assert all(len(piece) == 1 or sum(len(text.encode()) for text in piece) <= limit + longest for piece in pieces)
    if limit == 1:
        assert all(len(piece) == 1 for piece in pieces)


def test_a_tokenizer_that_makes_its_end_out_of_text(tmp_path: Path) -> None:
    """Its end token is an ordinary piece: the text would seem to be several documents."""
    model = {"type": "BPE", "vocab": {"e": 0, "x": 1}, "merges": []}
    tokenizer = Tokenizer(json.dumps({"version": "1.0", "added_tokens": [], "model": model}), "e")
    good = write_run(tmp_path / "good", [document("xx"), document("xxx")])
    assert open_shards([good], tokenizer, recipe.Data(validation=0)).num_tokens("train", 0) == 7
    with pytest.raises(UsageFailure, match="makes its end token out of text"):
        open_shards([write_run(tmp_path / "bad", [document("xex")])], tokenizer, recipe.Data(validation=0))
