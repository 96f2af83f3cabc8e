"""Every command on an empty, a one-document and a non-English corpus: Parquet that DuckDB reads, or one line of advice.

One model of a second, trained once; a command that is new here and not in `CASES` fails the first test.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import typer
from conftest import prose
from small_corpus import document, write_run
from small_model import trained

from eval import cli
from eval.suites import Suite
from eval.suites import write as write_suite

torch.set_num_threads(1)
GREEK = "Η βιβλιοθήκη άνοιξε το {y}. Έχει {n} χάρτες. Η αίθουσα είναι ήσυχη. Οι αναγνώστες έρχονται από την Αθήνα."
CHINESE = "图书馆建于{y}年。馆内有{n}张地图。阅览室很安静。读者来自北京。"
ARABIC = "افتتحت المكتبة عام {y}. فيها {n} خريطة. قاعة القراءة هادئة. يأتي القراء من القاهرة."
TEXTS = {
    "empty": [],
    "one": [prose(1)],
    "foreign": [text.format(y=1900 + n, n=n) * 4 for n in range(8) for text in (GREEK, CHINESE, ARABIC)],
}


@dataclass(frozen=True)
class Place:
    """A corpus as a run and as a file, a model, and where to write."""

    kind: str
    folder: Path

    @property
    def model(self) -> Path:
        return trained()[0]

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def file(self) -> Path:
        return self.folder / "corpus.jsonl"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def suite(self) -> Path:
        """What `suite make` writes of this corpus."""
        if not (self.folder / "suites").exists():
            call("suite", "make", self.file, "--out", self.folder / "suites", "--items", 2, "--validation", 0.3)
        return self.folder / "suites"

    def samples(self) -> Path:
        """A JSONL file of samples, two for each document; none of no document."""
        path = self.folder / "samples.jsonl"
        rows = [{"prompt": text[:20], "text": text[20:60]} for text in TEXTS[self.kind]]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return path

    def findings(self) -> Path:
        """What a flag of this corpus would have found."""
        path = self.folder / "findings.parquet"
        ids = pq.read_table(self.run / "docs")["id"].to_pylist() if TEXTS[self.kind] else []
        table = pa.table({"id": pa.array(ids, pa.string()), "score": pa.array([0.9] * len(ids), pa.float64())})
        pq.write_table(table, path)
        return path

    def proposals(self) -> Path:
        call("correct", "propose", self.findings(), "--out", self.out / "corrections.parquet")
        return self.out / "corrections.parquet"

    def rated(self) -> Path:
        """A folder of ratings, with one vote where there is anything to vote on."""
        from eval.ratings import Pair, Store

        store = Store(self.out)
        store.begin([Pair(str(n), text[:20], ("x", "y")) for n, text in enumerate(TEXTS[self.kind])], ("old", "new"))
        if item := store.next("ann"):
            store.vote("ann", item["place"], "left", {}, [], 1)
        return self.out


@dataclass(frozen=True)
class Case:
    """A command's arguments, the Parquet that it leaves, and what it says where it can do nothing: kind -> words."""

    arguments: Callable[[Place], tuple[object, ...]]
    parquet: tuple[str, ...] = ()
    refuses: tuple[tuple[str, str], ...] = ()
    rows: str = ""  # kinds of corpus of which the first Parquet must have rows


NO_SAMPLES = (("empty", "no prompt in common"),)
LOOP = (("empty", "too few for a loop"), ("one", "too few for a loop"))
TINY_LOOP = ("--seeds", 1, "--share", 0.3, "--tokens", 512, "--depth", 1, "--vocab", 400, "--row", 32, "--batch", 256)
CASES = {
    "suite make": Case(
        lambda p: (p.file, "--out", p.out, "--items", 2, "--validation", 0.3),
        ("cloze.parquet", "order.parquet", "relevance.parquet"), rows="foreign",
    ),
    "suite public": Case(lambda p: (public(p), "--out", p.out), ("piqa.parquet",), rows="one foreign"),
    "suite show": Case(lambda p: (p.suite(),)),  # only shows what `suite make` wrote
    "suite score": Case(lambda p: (p.model, p.suite(), "--out", p.out), ("slices.parquet", "suite-cloze.parquet")),
    "facts": Case(lambda p: ("--out", p.out, "--people", 1), ("gold.parquet", "probes/facts.parquet"), rows="empty"),
    "plant": Case(
        lambda p: (p.file, "--out", p.out, "--share", 0.9), ("sealed.parquet", "hard_negatives.parquet"),
        rows="one foreign",
    ),
    "rate": Case(lambda p: ("--a", p.samples(), "--b", p.samples(), "--out", p.out), ("votes.parquet",), NO_SAMPLES),
    "ratings": Case(lambda p: (p.rated(),), ("votes.parquet", "report.parquet"), rows="one foreign"),
    "perplexity": Case(
        lambda p: (p.model, "--corpus", p.run, "--all", "--by", "title", "--out", p.out),
        ("documents.parquet", "groups.parquet"), rows="one foreign",
    ),
    "generate": Case(
        lambda p: (p.model, "--prompts", p.samples(), "--corpus", p.run, "--tokens", 4, "--number", 3, "--out", p.out),
        ("samples.parquet", "checks.parquet"), rows="one foreign",
    ),
    "judge": Case(
        lambda p: ("--a", p.samples(), "--b", p.samples(), "--judge", p.model, "--out", p.out / "v.parquet"),
        ("v.parquet",), NO_SAMPLES, rows="one foreign",
    ),
    "errors": Case(
        lambda p: (p.model, "--corpus", p.run, "--suite", p.suite(), "--all", "--out", p.out), ("errors.parquet",),
        rows="one foreign",
    ),
    "flag": Case(
        lambda p: (p.model, "--corpus", p.run, "--out", p.out / "f.parquet"), ("f.parquet",), rows="one foreign"
    ),
    "harness": Case(
        lambda p: (p.model, "--suite", p.suite(), "--out", p.out), ("harness.parquet",), rows="foreign",
    ),
    "attribute": Case(
        lambda p: (
            p.model, "--corpus", p.run, "--prompt", "图书馆", "--wrong", "北京", "--right", "Αθήνα", "--checkpoints", 1,
            "--stages", "recall,hidden,drop,gradients", "--proof", "tail-patch", "--out", p.out / "a.parquet",
        ),
        ("a.parquet",), rows="one foreign",
    ),
    "correct propose": Case(lambda p: (p.findings(), "--out", p.out / "c.parquet"), ("c.parquet",), rows="one foreign"),
    "correct sign": Case(lambda p: (p.proposals(), "--by", "Ann"), ("corrections.parquet",), rows="one foreign"),
    "compare": Case(
        lambda p: (p.model, p.model, "--corpus", p.run, "--suite", p.suite(), "--all", "--out", p.out),
        ("comparison.parquet",), rows="one foreign",
    ),
    "loop": Case(
        lambda p: ("--out", p.out, "--corpus-input", p.file, "--no-control", "--items", 2, "--traced", 1, *TINY_LOOP),
        ("improvement.parquet",), LOOP,
    ),
}  # fmt: skip


def public(place: Place) -> Path:
    """A public test's form, of the corpus's words."""
    path = place.folder / "piqa.jsonl"
    rows = [{"query": text[:20], "choices": [text[20:30], text[30:40]], "gold": 0} for text in TEXTS[place.kind]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def call(*arguments: object) -> int:
    """The exit status of the command line, in this process; what is no foreseen failure is raised."""
    given, sys.argv = sys.argv, ["eval", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as left:
        return int(left.code or 0)
    finally:
        sys.argv = given
    return 0


def names(group: click.Command, name: str = "") -> list[str]:
    found = getattr(group, "commands", None)
    return [x for n, c in found.items() for x in names(c, f"{name} {n}")] if found else [name.strip()]


@pytest.fixture(scope="module", params=TEXTS)
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    texts = TEXTS[request.param]
    write_run(folder / "run", [document(text) for text in texts])
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), "utf-8")
    return request.param, folder


def test_no_command_is_left_out() -> None:
    assert sorted(CASES) == sorted(names(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("name", CASES)
def test_a_command_ends_with_parquet_or_with_advice(
    name: str, corpus: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("eval.serve.serve", lambda store, port: None)  # it would wait for a person
    kind, made = corpus
    for part in ("run", "corpus.jsonl"):
        (tmp_path / part).symlink_to(made / part)
    if (name, kind) == ("loop", "foreign"):
        pytest.skip("a turn of 20 s: test_eval_loop makes one of a Chinese corpus")
    if name == "harness":
        pytest.importorskip("lm_eval", reason="the extra `harness` is not installed")
    case, place = CASES[name], Place(kind, tmp_path)
    arguments = case.arguments(place)
    capsys.readouterr()
    status, said = call(*name.split(), *arguments), capsys.readouterr()
    wanted = dict(case.refuses).get(kind)
    if wanted:
        errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
        assert status in (1, 2), said
        assert len(errors) == 1, said.err
        assert wanted in errors[0]
        return
    assert status == 0, said.err
    assert said.out.strip()
    counts = [rows(place.out / file) for file in case.parquet]
    assert not counts or counts[0] or kind not in case.rows.split(), said.out


def rows(path: Path) -> int:
    """How many DuckDB reads."""
    with duckdb.connect() as db:
        found = db.execute("select * from read_parquet(?)", [str(path)]).fetchall()
    return len(found)


def test_an_empty_suite_is_scored_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_suite(Suite("none", ()), tmp_path / "none.jsonl")
    model = trained()[0]
    assert call("suite", "score", model, tmp_path / "none.jsonl", "--out", tmp_path / "s") == 0
    assert call("compare", tmp_path / "s", tmp_path / "s", "--out", tmp_path / "c") == 0
    assert "nothing that both were asked" in capsys.readouterr().out
