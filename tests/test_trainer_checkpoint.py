"""A checkpoint is whole and proved, or it is not used; the last and the best few are kept."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer import checkpoint
from trainer.checkpoint import MODEL, STATE, Damaged
from trainer.failures import Failure, UsageFailure


def save(folder: Path, step: int, bits: float | None = None) -> None:
    weights = {"a": torch.full((3, 2), float(step)), "b": torch.arange(4.0)}
    checkpoint.save(folder, step, weights, {"a/momentum": torch.ones(3, 2) * step}, {"bits_per_byte": bits})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for step, bits in ((10, 2.0), (20, 1.5), (30, 1.7)):
        save(tmp_path, step, bits)
    return tmp_path


def test_what_is_saved_is_read(folder: Path) -> None:
    found = checkpoint.read(folder, 20)
    assert torch.equal(found.model["a"], torch.full((3, 2), 20.0))
    assert torch.equal(found.optimizer["a/momentum"], torch.ones(3, 2) * 20)
    assert found.state == {"step": 20, "bits_per_byte": 1.5}
    assert checkpoint.read(folder, 20, optimizer=False).optimizer == {}
    assert not list((folder / "checkpoints").glob(".*"))


def test_tied_weights_and_views_can_be_saved(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    checkpoint.save(tmp_path, 1, {"part": whole.T}, {}, {})
    assert torch.equal(checkpoint.read(tmp_path, 1).model["part"], whole.T)


@pytest.mark.parametrize(("which", "step"), [("last", 30), ("best", 20), ("10", 10), ("step-20", 20)])
def test_the_one_asked_for_is_restored(folder: Path, which: str, step: int) -> None:
    found = checkpoint.restore(folder, which)
    assert found is not None
    assert found.step == step


@pytest.mark.parametrize(
    ("which", "said"),
    [("25", "there are 10, 20, 30"), ("first", "best, last or a step"), ("-1", "expected best, last")],
)
def test_what_is_not_there_is_a_usage_failure(folder: Path, which: str, said: str) -> None:
    with pytest.raises(UsageFailure, match=said):
        checkpoint.restore(folder, which)


def test_none_yet_is_none(tmp_path: Path) -> None:
    assert checkpoint.restore(tmp_path, "last") is None
    assert checkpoint.restore(tmp_path, "best") is None


@pytest.mark.parametrize("name", [MODEL, checkpoint.OPTIMIZER, STATE, checkpoint.MANIFEST])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_one_is_named_and_the_one_before_is_used(
    folder: Path, name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkpoint.path_of(folder, 30) / name
    content = path.read_bytes()
    if damage == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    elif damage == "cut":
        path.write_bytes(content[:-1] if name != checkpoint.MANIFEST else content[: len(content) // 2])
    else:
        path.unlink()
    found = checkpoint.restore(folder, "last")
    assert found is not None
    assert found.step == 20
    said = capsys.readouterr().err
    assert "warning" in said
    assert "step-00000030" in said


def test_all_damaged_is_a_failure(folder: Path) -> None:
    for step in (10, 20, 30):
        (checkpoint.path_of(folder, step) / MODEL).write_bytes(b"")
    with pytest.raises(Failure, match="every checkpoint is damaged"):
        checkpoint.restore(folder, "last")


def test_a_manifest_of_another_kind_is_damage(folder: Path) -> None:
    (checkpoint.path_of(folder, 30) / checkpoint.MANIFEST).write_text(json.dumps([1, 2]))
    with pytest.raises(Damaged):
        checkpoint.read(folder, 30)


def test_a_failed_write_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_json", full)
    with pytest.raises(OSError, match="No space"):
        save(folder, 40)
    assert checkpoint.listed(folder) == [10, 20, 30]
    assert not list((folder / "checkpoints").glob(".*"))


def test_what_a_kill_left_is_swept(folder: Path) -> None:
    left = folder / "checkpoints" / ".step-00000040.123.tmp"
    shutil.copytree(checkpoint.path_of(folder, 30), left)
    assert checkpoint.listed(folder) == [10, 20, 30]
    checkpoint.sweep(folder)
    assert not left.exists()


def test_the_last_and_the_best_are_kept(folder: Path) -> None:
    save(folder, 40, 1.9)
    save(folder, 45)
    checkpoint.prune(folder, keep_last=1, keep_best=2)
    assert checkpoint.listed(folder) == [20, 30, 45]
    checkpoint.prune(folder, keep_last=1, keep_best=1, always={30, 7})
    assert checkpoint.listed(folder) == [20, 30, 45]


@given(st.dictionaries(st.integers(1, 50), st.sampled_from([1.0, 1.5, 2.0, float("inf")])), st.integers(0, 5))
def test_no_kept_one_is_worse_than_one_that_is_not(scores: dict[int, float], keep: int) -> None:
    kept = checkpoint.kept_best(scores, keep)
    scored = [step for step, score in scores.items() if score < float("inf")]
    assert len(kept) == min(keep, len(scored))
    assert all(scores[k] <= scores[s] for k in kept for s in scored if s not in kept)
