"""setup.py compiles where it can, says which it did, and never fails for want of a compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What setup.py needs, without anything that was built."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for package in ("cdc", "connectors", "sinks"):
        ignored = shutil.ignore_patterns("*.so", "*.c", "__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    return tmp_path


def build(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CDC_")}
    return subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_compiler_plain_python_runs_and_it_says_so(copy: Path) -> None:
    done = build(copy, CC="false")

    assert done.returncode == 0, done.stderr
    assert "no compiled modules, plain Python will run" in done.stderr
    assert not list(copy.rglob("*.so"))


def test_a_compiler_that_is_asked_for_and_missing_is_an_error(copy: Path) -> None:
    assert build(copy, CC="false", CDC_BUILD="compiled").returncode != 0


def test_plain_python_can_be_asked_for(copy: Path) -> None:
    done = build(copy, CDC_BUILD="pure")

    assert done.returncode == 0
    assert "CDC_BUILD=pure, plain Python will run" in done.stderr
    assert not list(copy.rglob("*.so"))
