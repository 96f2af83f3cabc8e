"""What a run writes down as it goes: `journal.jsonl` without a clock, `timing.jsonl` with one, and TensorBoard.

The journal of a run that was killed and resumed is, line for line, that of one that never was.
"""

import importlib.util
import json
import os
import time
from pathlib import Path
from typing import Any

JOURNAL, TIMING = "journal.jsonl", "timing.jsonl"

# bf16 matrix units without sparsity, TFLOP/s, from the makers' data sheets; the first name found counts.
_PEAKS = (
    ("B200", 2250.0), ("H200", 989.0), ("H100 PCIe", 756.0), ("H100 NVL", 835.0), ("H100", 989.0), ("GH200", 989.0),
    ("A100", 312.0), ("A800", 312.0), ("L40S", 362.0), ("L40", 181.0), ("L4", 121.0), ("A40", 149.7), ("A10G", 70.0),
    ("A10", 125.0), ("RTX 4090", 165.2), ("RTX 3090", 71.0), ("MI300X", 1307.0), ("MI250X", 383.0),
)  # fmt: skip


class Journal:
    """Appends lines; only the first rank has one that writes."""

    def __init__(self, folder: Path, size: int, step: int) -> None:
        """`size`: bytes of the journal that belong to the checkpoint of `step`, gone on from; what follows is cut."""
        path = folder / JOURNAL
        path.touch()
        os.truncate(path, min(size, path.stat().st_size))
        self._file = path.open("ab")
        self._timing = (folder / TIMING).open("a", encoding="utf-8")
        self._board = _board(folder / "tensorboard", step)

    def write(self, event: str, step: int, **values: Any) -> None:
        """One line, at once in the hands of the system, so that a killed process loses none."""
        line = json.dumps({"event": event, "step": step, **values}, ensure_ascii=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        if self._board is not None:
            for name, number in scalars(event, values):
                self._board.add_scalar(name, number, step)

    def time(self, step: int, **values: Any) -> None:
        self._timing.write(json.dumps({"step": step, "time": round(time.time(), 1), **values}) + "\n")
        self._timing.flush()

    def size(self) -> int:
        """Bytes so far, on the disk."""
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        self._timing.close()
        if self._board is not None:
            self._board.close()


class NoJournal(Journal):
    """That of the other ranks: everything is the same to them, and nothing is written."""

    def __init__(self) -> None:
        pass

    def write(self, event: str, step: int, **values: Any) -> None:
        pass

    def time(self, step: int, **values: Any) -> None:
        pass

    def size(self) -> int:
        return 0

    def close(self) -> None:
        pass


def read(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal; the last one of a running process may be half."""
    try:
        lines = (folder / JOURNAL).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def scalars(event: str, values: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """The numbers of a line under the names that TensorBoard groups them by."""
    if event not in ("step", "evaluation"):
        return []
    found: list[tuple[str, float]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            found += scalars(event, value, f"{prefix}{key}/")
        elif isinstance(value, int | float):
            found.append((f"{event}/{prefix}{key}", float(value)))
    return found


def peak_tflops(device_name: str, stated: float) -> float:
    """bf16 TFLOP/s that a device could do: what the recipe states, else by its name; 0 where unknown."""
    if stated:
        return stated
    return next((peak for name, peak in _PEAKS if name.lower() in device_name.lower()), 0.0)


def mfu(tokens_per_second: float, flops_per_token: float, peak: float, devices: int) -> float | None:
    """Model FLOPs utilisation (PaLM, appendix B): the share of the peak that the model's own arithmetic uses."""
    return tokens_per_second * flops_per_token / (peak * 1e12 * devices) if peak else None


def _board(folder: Path, step: int) -> Any:
    """A TensorBoard writer, where that is installed; it forgets what it was told of later steps."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)
