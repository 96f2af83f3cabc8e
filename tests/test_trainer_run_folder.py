"""A run is read only when it is whole; whatever else it is, one line says so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_corpus import text_run, texts, write_run

from corpus import schema
from trainer.failures import Failure, UsageFailure
from trainer.run_folder import SCHEMA, open_run, open_runs


def test_the_trainer_knows_the_schema_that_the_corpus_writes() -> None:
    assert SCHEMA == schema.VERSION


def test_a_run_is_read_in_pieces(tmp_path: Path) -> None:
    run = open_run(text_run(tmp_path / "a"))
    tables = list(run.tables(["id", "text"]))
    assert run.name == "a"
    assert run.num_documents == sum(table.num_rows for table in tables) == 60
    assert max(table.num_rows for table in tables) == 8
    assert sorted(pa.concat_tables(tables)["id"].to_pylist()) == sorted(row["id"] for row in texts())
    assert run.text_bytes == sum(len(row["text"].encode()) for row in texts())


def change(**values: Any) -> Callable[[Path], None]:
    def carry_out(run: Path) -> None:
        path = run / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return carry_out


def drop_key(run: Path) -> None:
    told = json.loads((run / "manifest.json").read_text())
    del told["docs_hash"]
    (run / "manifest.json").write_text(json.dumps(told))


def rewrite(run: Path, edit: Callable[[pa.Table], pa.Table]) -> None:
    path = sorted((run / "docs").glob("part-*"))[0]
    pq.write_table(edit(pq.read_table(path)), path)


@pytest.mark.parametrize(
    ("spoil", "kind", "match"),
    [
        (lambda run: (run / "manifest.json").unlink(), UsageFailure, "no manifest.json"),
        (lambda run: (run / "manifest.json").write_text("{"), Failure, r"manifest\.json: cannot be read"),
        (drop_key, UsageFailure, "no docs_hash"),
        (change(schema=SCHEMA + 1), UsageFailure, f"schema {SCHEMA + 1}, this trainer reads {SCHEMA}"),
        (change(docs=61), Failure, "has 60 documents and manifest.json tells of 61"),
        (change(parts=["000000000000"]), Failure, r"part-000000000001\.parquet is not told of"),
        (lambda run: next((run / "docs").iterdir()).unlink(), Failure, r"part-\d+\.parquet is missing"),
        (lambda run: next((run / "docs").iterdir()).write_bytes(b"no"), Failure, r"parquet: cannot be read"),
        (lambda run: rewrite(run, lambda t: t.slice(1)), Failure, "has 59 documents and manifest.json tells of 60"),
        (
            lambda run: rewrite(run, lambda t: t.replace_schema_metadata({"winnow.schema": "1"})),
            UsageFailure,
            rf"part-.*schema 1, this trainer reads {SCHEMA}",
        ),
        (lambda run: rewrite(run, lambda t: t.replace_schema_metadata()), UsageFailure, "schema unknown"),
    ],
)
def test_what_is_no_whole_run(tmp_path: Path, spoil: Callable[[Path], None], kind: type[Failure], match: str) -> None:
    run = text_run(tmp_path / "run")
    spoil(run)
    with pytest.raises(kind, match=match) as caught:
        open_run(run)
    assert "\n" not in str(caught.value)


def test_no_run_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(UsageFailure, match="no such folder"):
        open_run(tmp_path / "absent")
    with pytest.raises(Failure, match="the corpus is empty"):
        open_run(write_run(tmp_path / "empty", []))


def test_corpora_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    runs = [text_run(tmp_path / "a" / "run", 4), text_run(tmp_path / "b" / "run", 4)]
    with pytest.raises(UsageFailure, match="two corpora have a folder called 'run'"):
        open_runs(runs)
    with pytest.raises(UsageFailure, match="no corpus"):
        open_runs([])
