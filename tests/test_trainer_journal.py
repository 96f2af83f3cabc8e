"""The journal is cut where a run goes on, has no clock in it, and its numbers reach TensorBoard."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import journal
from trainer.journal import Journal, NoJournal, mfu, peak_tflops, scalars


def test_what_follows_the_checkpoint_is_cut(tmp_path: Path) -> None:
    one = Journal(tmp_path, 0, 0)
    one.write("step", 1, loss=2.5)
    size = one.size()
    one.write("step", 2, loss=2.25)
    one.close()
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"event": "st')  # a kill in the middle of a line
    assert [line["step"] for line in journal.read(tmp_path)] == [1, 2]
    again = Journal(tmp_path, size, 1)
    again.write("step", 2, loss=2.125)
    again.close()
    assert journal.read(tmp_path) == [
        {"event": "step", "step": 1, "loss": 2.5}, {"event": "step", "step": 2, "loss": 2.125}]  # fmt: skip


@given(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_numbers_are_read_as_they_were(value: float) -> None:
    assert json.loads(json.dumps({"loss": value}))["loss"] == value


def test_times_are_kept_apart(tmp_path: Path) -> None:
    one = Journal(tmp_path, 0, 0)
    one.time(3, tokens_per_second=10.0)
    one.close()
    (line,) = [json.loads(line) for line in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert line["tokens_per_second"] == 10.0
    assert line["time"] > 1e9
    assert (tmp_path / "journal.jsonl").read_bytes() == b""


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    quiet = NoJournal()
    quiet.write("step", 1, loss=1.0)
    quiet.time(1, mfu=0.5)
    assert quiet.size() == 0
    quiet.close()


def test_no_journal_yet_is_empty(tmp_path: Path) -> None:
    assert journal.read(tmp_path) == []


def test_numbers_have_the_names_that_tensorboard_groups_by() -> None:
    told = {"loss": 2.0, "sources": {"web": {"loss": 1.5, "tokens": 7}}, "reason": "x"}
    assert scalars("step", told) == [
        ("step/loss", 2.0), ("step/sources/web/loss", 1.5), ("step/sources/web/tokens", 7.0)]  # fmt: skip
    assert scalars("refused", told) == []


def test_tensorboard_is_told_when_it_is_there(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is an extra")
    one = Journal(tmp_path, 0, 0)
    one.write("step", 1, loss=2.5)
    one.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("step/loss")] == [(1, 2.5)]


def test_without_tensorboard_nothing_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    one = Journal(tmp_path, 0, 0)
    one.write("step", 1, loss=2.5)
    one.close()
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H200", 989.0), ("NVIDIA H100 80GB HBM3", 989.0), ("NVIDIA H100 PCIe", 756.0),
     ("NVIDIA A100-SXM4-80GB", 312.0), ("NVIDIA A10G", 70.0), ("NVIDIA L40S", 362.0), ("NVIDIA L4", 121.0), ("", 0.0)],
)  # fmt: skip
def test_peaks_are_known_by_name(name: str, peak: float) -> None:
    assert peak_tflops(name, 0.0) == peak
    assert peak_tflops(name, 5.0) == 5.0


def test_mfu_is_the_share_of_the_peak_and_unknown_without_one() -> None:
    assert mfu(1000.0, 1e9, 2.0, 2) == pytest.approx(0.25)
    assert mfu(1000.0, 1e9, 0.0, 1) is None
