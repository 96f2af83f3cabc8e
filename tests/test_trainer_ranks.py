"""The processes of a run: what torchrun sets is understood, half of it is a clear error, and sums agree."""

import os
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import processes

from trainer.failures import UsageFailure
from trainer.ranks import Ranks, joined, place_of

WHOLE = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "host", "MASTER_PORT": "29500"}


def test_without_torchrun_there_is_one_rank() -> None:
    assert place_of({}) is None
    assert place_of({"MASTER_PORT": "29500", "RANK": ""}) is None
    assert place_of({**WHOLE, "WORLD_SIZE": "1", "RANK": "0"}) is None
    with joined("cpu") as ranks:
        assert (ranks.rank, ranks.size, ranks.first) == (0, 1, True)
        value = torch.tensor([1.0, 2.0])
        assert ranks.sum(value).tolist() == [1.0, 2.0]
        assert ranks.gather("a") == ["a"]
        assert ranks.share(3) == 3
        ranks.wait()


def test_what_torchrun_sets_is_understood() -> None:
    assert place_of(WHOLE) == (1, 4, 1)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_half_an_environment_names_what_is_missing(name: str) -> None:
    with pytest.raises(UsageFailure, match=name) as error:
        place_of({key: value for key, value in WHOLE.items() if key != name})
    assert "torchrun" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"RANK": "4"}, "count from 0"), ({"RANK": "-1"}, "a number"), ({"WORLD_SIZE": "x"}, "WORLD_SIZE=x")],
)
def test_odd_numbers_are_named(changes: dict[str, str], said: str) -> None:
    with pytest.raises(UsageFailure, match=said):
        place_of({**WHOLE, **changes})


@given(st.dictionaries(st.sampled_from(sorted(WHOLE)), st.sampled_from(["", "0", "1", "2", "x", "-1"])))
def test_any_environment_is_a_place_or_one_line(environment: dict[str, str]) -> None:
    try:
        place = place_of(environment)
    except UsageFailure as failure:
        assert "\n" not in str(failure)  # noqa: PT017
    else:
        assert place is None or place[0] < place[1]


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageFailure, match=r"train\.device"), joined("cuda"):
        pass
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in {**WHOLE, "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageFailure, match="rank 1 of this machine has no GPU"), joined("auto"):
        pass


def talk(folder: Path) -> None:
    """On each rank: everything that ranks say to each other, into a file."""
    with joined("cpu") as ranks:
        total = ranks.sum(torch.tensor([1.0 + ranks.rank, 10.0]))
        said = (total.tolist(), ranks.gather(f"r{ranks.rank}"), ranks.share(f"from {ranks.rank}"), _device(ranks))
        ranks.wait()
        (folder / str(ranks.rank)).write_text(repr(said))


def _device(ranks: Ranks) -> str:
    return ranks.device.type


def test_three_ranks_agree(tmp_path: Path) -> None:
    with processes(talk, (tmp_path,), ranks=3) as started:
        pass
    assert [process.exitcode for process in started] == [0, 0, 0]
    said = {(tmp_path / str(rank)).read_text() for rank in range(3)}
    assert said == {repr(([6.0, 30.0], ["r0", "r1", "r2"], "from 0", "cpu"))}


def lonely(folder: Path) -> None:
    """A rank whose port belongs to somebody else."""
    os.environ["MASTER_PORT"] = "not a port"
    from trainer.failures import Failure

    try:
        with joined("cpu"):
            pass
    except Failure as failure:
        (folder / "said").write_text(str(failure))
        sys.exit(failure.status)


def test_ranks_that_do_not_meet_say_so(tmp_path: Path) -> None:
    with processes(lonely, (tmp_path,), ranks=2) as started:
        pass
    assert [process.exitcode for process in started] == [1, 1]
    assert "met no others" in (tmp_path / "said").read_text()
