"""Long work tells how far it is, in plain lines that come no faster than a person reads."""

import pytest

from trainer import progress


def test_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("trainer.progress.time.monotonic", lambda: now)
    told = progress.lines_of("packing document")
    for done in range(0, 40_000, 1_000):
        told(done, 40_000)
        now += 0.5
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["packing document 20,000 of 40,000"]


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0:00"), (59.6, "1:00"), (3599.0, "59:59"), (3723.0, "1:02:03")])
def test_a_clock(seconds: float, said: str) -> None:
    assert progress.clock(seconds) == said
