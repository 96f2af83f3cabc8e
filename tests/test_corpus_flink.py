"""A build on a local Flink or Spark gives the same corpus, where a job server can be had."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_run import small_run

ROOT = Path(__file__).parent.parent
MISSING = 3


def test_a_local_cluster_makes_the_same_corpus(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "local_cluster.py"), str(tmp_path / "recipe.toml")]
    probe = run(script, "--out", str(tmp_path / "there"), "--check")
    if probe.returncode == MISSING:
        pytest.skip(probe.stderr.strip())
    here = json.loads((small_run(tmp_path) / "manifest.json").read_text())
    ran = run(script, "--out", str(tmp_path / "there"))
    assert ran.returncode == 0, ran.stderr
    assert json.loads((tmp_path / "there" / "manifest.json").read_text()) == here


def run(script: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*script, *options], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
