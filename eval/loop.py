"""The whole turn on one corpus: plant defects, train, find what is wrong, correct, build again, train again, compare.

A stage leaves a mark when it is done; the same command goes on where the last one ended. What is compared is text that
was set aside before anything was planted, and that no model of the loop has seen.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus.failures import Failure
from corpus.parts import done, mark_done, marked
from corpus.terminal import say
from eval.chance import digest
from eval.documents import Document, load
from eval.mentions import sentences
from filters.kernels.signature import shingle_sets

_RUN = 5  # words


class CannotLoop(Failure):
    """A loop that cannot be begun or gone on with."""

    status = 2


@dataclasses.dataclass(frozen=True)
class Settings:
    """One loop. Every stage's result depends on these alone, and on the documents."""

    corpus: str = ""  # a run or a JSONL file; empty: the sample that comes along
    seeds: int = 3  # trainings of each corpus
    share: float = 0.2  # of the documents that are spoilt
    tokens: int = 300_000  # of each training: somewhat over one reading, or chance decides which defects are met
    depth: int = 2
    vocab: int = 1024
    row: int = 256  # tokens
    batch: int = 2048  # tokens; many small steps: a small model learns from each
    passage: int = 1_500  # characters: long pages are cut, so that there are enough documents
    most: int = 600  # passages to learn from, drawn by their ids; 0: all
    held_out: float = 0.15  # of the documents, set aside clean
    threshold: float = 0.5  # probability from which a document is blocked
    items: int = 40  # of each suite
    traced: int = 6  # errors whose documents are looked for
    control: bool = True  # also: as many documents blocked at random, which should gain nothing
    seed: int = 0
    threads: int = 0  # of a training; 0: all cores. Changes rounding alone, so no stage asks for it


@dataclasses.dataclass(frozen=True)
class Paths:
    """Where things lie in the folder of a loop."""

    out: Path

    def __getattr__(self, name: str) -> Path:
        known = {
            "sample": "input",
            "clean": "clean",
            "held": "held-out.jsonl",
            "suites": "suites",
            "planted": "planted",
            "sealed": "planted/sealed.parquet",
            "run_1": "run-1",
            "run_2": "run-2",
            "run_random": "run-random",
            "errors": "errors",
            "flagged": "flagged.parquet",
            "attributed": "attributed.parquet",
            "corrections": "corrections.parquet",
            "random": "random.parquet",
            "report": "report.html",
        }
        if name not in known:
            raise AttributeError(name)
        return self.out / known[name]

    def model(self, turn: int, seed: int) -> Path:
        return self.out / f"model-{turn}-seed-{seed}"

    def result(self, turn: int, seed: int) -> Path:
        return self.out / "results" / f"turn-{turn}-seed-{seed}"


def run(out: Path, settings: Settings, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Every stage that is not done yet; returns what the last one found. Raises CannotLoop, Failure."""
    from eval import loop_stages as stages

    if settings.seeds < 1:
        raise CannotLoop(f"--seeds {settings.seeds}: at least one")
    paths = Paths(out)
    out.mkdir(parents=True, exist_ok=True)
    names = (
        ("corpus", stages.make_corpus, "documents, cut into passages, a part of them set aside"),
        ("plant", stages.plant, "bad documents in the place of good ones, and a build of them"),
        ("train", stages.train_first, "a model on that, once for each seed"),
        ("errors", stages.find_errors, "what it gets wrong"),
        ("flag", stages.flag_documents, "documents that are probably bad"),
        ("attribute", stages.attribute_errors, "documents behind the worst errors"),
        ("correct", stages.correct, "corrections, signed automatically for this demonstration"),
        ("rebuild", stages.rebuild, "the corpus as corrected, and one that lost as many documents at random"),
        ("retrain", stages.train_second, "the same training on both"),
        ("compare", stages.compare_models, "both on the text that was set aside"),
    )
    fingerprint, found = "", {}
    for number, (name, stage, what) in enumerate(names, 1):
        mark = out / "stages" / f"{number:02}-{name}.json"
        # a stage rests on what the ones before it were asked, so its mark holds for all of these
        fingerprint = digest(fingerprint, name, *_asked(settings, name))
        said = f"[{number}/{len(names)}] {name}: {what}"
        if (known := done(mark, fingerprint)) is not None:
            tell(f"{said}: done before")
            found = known
            continue
        if mark.exists():
            raise CannotLoop(f"{out}: was begun with other settings (stage {name}); choose another --out")
        tell(f"{said} ...")
        started = time.perf_counter()
        found = stage(paths, settings)
        mark_done(mark, fingerprint, found)
        told = ", ".join(f"{key} {say(value)}" for key, value in found.items() if not isinstance(value, dict | list))
        tell(f"      {told}  ({time.perf_counter() - started:.0f} s)")
    return found


_FIRST = {"control": "rebuild", "seeds": "train", "threshold": "correct", "items": "errors", "traced": "attribute"}
_LEARNT = ("corpus", "passage", "most", "held_out", "seed")
_TRAINED = {"tokens": "train", "depth": "train", "vocab": "train", "row": "train", "batch": "train"}


def _asked(settings: Settings, stage: str) -> list[str]:
    """The settings that a stage is the first to obey."""
    first = {**{f.name: "plant" for f in dataclasses.fields(Settings)}, **_FIRST, **_TRAINED}
    first |= dict.fromkeys(_LEARNT, "corpus")
    first.pop("threads")
    return [f"{name}={getattr(settings, name)}" for name, where in sorted(first.items()) if where == stage]


def stage_of(out: Path, name: str) -> dict[str, Any]:
    """What a stage that is done told."""
    path = next(iter(sorted((out / "stages").glob(f"*-{name}.json"))), None)
    return marked(path) if path else {}


def passages(document: Document, characters: int) -> list[Document]:
    """A document cut at sentences into pieces of about so many characters; a short one as it is."""
    document = dataclasses.replace(document, key="")  # pieces are documents of their own
    if document.turns or len(document.text) < characters * 1.5:
        return [document]
    edges = [0]
    for _, end in sentences(document.text):
        if end - edges[-1] >= characters:
            edges.append(end)
    if len(document.text) - edges[-1] < characters / 2 and len(edges) > 1:
        edges.pop()  # what is left over belongs to the last piece
    edges.append(len(document.text))
    pieces = [document.text[a:b].strip() for a, b in itertools.pairwise(edges)]
    return [
        dataclasses.replace(document, id=digest("passage", document.id, at)[:32], text=text)
        for at, text in enumerate(pieces)
        if text
    ]


def set_aside(documents: list[Document], settings: Settings) -> tuple[list[Document], list[Document]]:
    """(to be trained on, to be set aside) as passages, none a near copy of another; at most `most` of the first.

    Whole documents are set aside: a page's other half would be half known.
    """
    learnt: list[Document] = []
    held: list[Document] = []
    for document in documents:
        draw = int(digest("aside", settings.seed, document.id)[:12], 16) / 16**12
        (held if draw < settings.held_out else learnt).append(document)
    if not held and len(learnt) > 1:
        held.append(learnt.pop())
    cut = [[piece for one in part for piece in passages(one, settings.passage)] for part in (held, learnt)]
    seen: set[int] = set()
    kept = [[one for one in part if _is_new(one, seen)] for part in cut]  # first what is set aside
    drawn = sorted(kept[1], key=lambda one: digest("drawn", settings.seed, one.id))[: settings.most or None]
    return sorted(drawn, key=lambda one: one.id), kept[0]


def _is_new(one: Document, seen: set[int]) -> bool:
    """Whether at most half of its runs of five words stood in passages before it; then its own count as seen.

    What is set aside and stands in the other part too (a licence, a formula of a manual) would measure memory; and real
    near copies among what is learnt, which a build removes before all else, look like planted ones.
    """
    runs, _ = shingle_sets(pa.array([one.text], pa.large_string()), _RUN)
    found = set(runs.tolist())
    if len(found & seen) > len(found) / 2:
        return False
    seen |= found
    return True


def documents_of(settings: Settings, sample: Path, clean: Path) -> list[Document]:
    """Those of --corpus-input, or of the sample, built by its own recipe."""
    if settings.corpus:
        return load(Path(settings.corpus))
    from corpus import sample as samples
    from corpus.build import build

    if not (clean / "manifest.json").exists():
        samples.make(sample)
        recipe = Path(samples.__file__).parent / "recipes" / "sample.toml"
        mine = sample / "recipe.toml"
        mine.write_text(recipe.read_text("utf-8").replace("demo/input", str(sample)), "utf-8")
        build(mine, clean)
    # the sample's own planted source is there to show filters at work: it is no clean text
    return [document for document in load(clean) if document.source != "planted"]
