"""The submission to Dataflow, translated without a network: job graph, staged wheel, machines, container."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import prose, write_jsonl

ROOT = Path(__file__).parent.parent
RECIPE = """
steps = ["language", "quality"]
[[sources]]
name = "texts"
kind = "jsonl"
files = ["{folder}/*.jsonl"]
[write]
split_mb = 0.001
"""
PAGE = (ROOT / "docs" / "dataflow.md").read_text("utf-8")


def _installed() -> bool:
    try:
        return importlib.util.find_spec("google.cloud.dataflow_v1beta3") is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Per stage the folder with the translated job and what is staged, from the options that docs/dataflow.md gives."""
    if not _installed():
        pytest.skip("Beam's Google Cloud parts are not installed (pip install -e '.[dataflow]')")
    folder = tmp_path_factory.mktemp("dataflow")
    write_jsonl(folder / "a.jsonl", [{"text": prose(n), "id": str(n)} for n in range(8)])
    (folder / "recipe.toml").write_text(RECIPE.format(folder=folder))
    (folder / "winnow_corpus-0.1.0-py3-none-any.whl").write_bytes(b"wheel")
    options = [word for word in PAGE.partition("-- \\\n")[2].partition("```")[0].split() if word != "\\"]
    options = [word.replace("dist/", f"{folder}/") for word in options]
    assert any("--extra_package=" in option for option in options)
    command = [sys.executable, ROOT / "tests" / "dataflow_job.py", folder / "recipe.toml", folder / "run"]
    ran = subprocess.run(
        [*command, folder / "staged", "--", *options], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    return {path.name: path for path in (folder / "staged").iterdir()}


def read(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def test_every_stage_is_a_job(jobs: dict[str, Path]) -> None:
    assert sorted(jobs) == ["dedup", "documents", "write"]
    for folder in jobs.values():
        assert read(folder / "job.json")["type"] == "JOB_TYPE_BATCH"


def test_work_is_spread_over_the_workers_and_only_paths_are_grouped(jobs: dict[str, Path]) -> None:
    names = {stage: read(folder / "graph.json")["names"] for stage, folder in jobs.items()}
    grouped = {
        stage: [name for name in mine if name.endswith("GroupByKey") and "Reshuffle" not in name]
        for stage, mine in names.items()
    }
    assert grouped == {"documents": [], "dedup": ["meet/GroupByKey"], "write": []}
    assert all(any("Reshuffle" in name for name in mine) for mine in names.values())
    for step in ("groups", "connect", "describe", "settle", "deliver"):
        assert any(name.startswith(f"{step}/") and "Reshuffle" in name for name in names["dedup"])


def test_wheel_machines_and_container(jobs: dict[str, Path]) -> None:
    for folder in jobs.values():
        assert (folder / "winnow_corpus-0.1.0-py3-none-any.whl").read_bytes() == b"wheel"
        assert "winnow_corpus-0.1.0-py3-none-any.whl" in (folder / "extra_packages.txt").read_text()
        [pool] = [p for p in read(folder / "job.json")["environment"]["workerPools"] if p["kind"] == "harness"]
        assert pool["machineType"] == "n2-standard-8"
        assert pool["diskSizeGb"] == 100
        assert pool["autoscalingSettings"]["maxNumWorkers"] == 50
        assert any("winnow_corpus" in package["name"] for package in pool["packages"])
        [image] = pool["sdkHarnessContainerImages"]
        # a container for each core, each with its own pool of one
        assert image["containerImage"] == "us-docker.pkg.dev/my-project/winnow/worker:1"
        assert image["useSingleCorePerContainer"]
        assert read(folder / "graph.json")["images"] == [image["containerImage"]]
