"""The rooms of the house: which may import which, and that importing one loads no other."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"filters": set(), "corpus": {"filters"}, "trainer": set(), "eval": {"filters", "corpus", "trainer"}}
FORBIDDEN = {"filters": {"apache_beam", "torch"}, "corpus": {"torch"}, "trainer": {"apache_beam"}, "eval": set()}
BEAM = {"corpus/transforms.py", "corpus/pipeline.py", "corpus/files.py"}  # files.py: only Beam's filesystems
VAGUE = {"utils", "common", "helpers", "base", "misc", "core", "manager"}


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    for path in sources(room):
        found = imported(path)
        assert not found & (set(ROOMS) - ROOMS[room] - {room}), path
        assert not found & FORBIDDEN[room], path


def test_two_files_know_beam() -> None:
    knowing = {str(path.relative_to(ROOT)) for path in sources("corpus") if "apache_beam" in imported(path)}
    assert knowing <= BEAM


def test_eval_is_never_imported_as_a_name() -> None:
    for path in [*ROOT.rglob("tests/*.py"), *(p for room in ROOMS for p in sources(room))]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(alias.name.split(".")[0] == "eval" for alias in node.names), path


@pytest.mark.parametrize("room", ROOMS)
def test_every_file_says_why_it_exists_and_is_in_its_rooms_map(room: str) -> None:
    for path in sources(room):
        text = path.read_text("utf-8")
        assert ast.get_docstring(ast.parse(text)) or not text.strip(), f"{path} has no docstring"
        assert path.stem not in VAGUE, path
    captions = (ROOT / room / "__init__.py").read_text("utf-8")
    for path in (ROOT / room).iterdir():
        if path.name not in ("__init__.py", "__main__.py", "__pycache__"):
            name = path.stem if path.is_file() else path.name + "/"
            assert re.search(rf"^(\w+, )*{name}[ ,\n]", captions, re.MULTILINE), f"{path} is not in the map"


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_room_loads_no_other_and_says_nothing(room: str) -> None:
    code = f"import sys, {room}; print(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert set(run.stdout.split()) & {*ROOMS, "torch", "apache_beam", "numba"} == {room}
    assert not run.stderr
