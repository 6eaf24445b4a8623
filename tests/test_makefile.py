"""`make setup` on a machine that lacks something says what, and what to type."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

OLD_PYTHON = """#!/bin/sh
# Python 3.9 as far as the Makefile can see.
case "$*" in
  *version_info*) exit 1;;
  -V) echo "Python 3.9.2";;
esac
"""

PYTHON_WITHOUT_VENV = """#!/bin/sh
case "$*" in
  *ensurepip*) exit 1;;
esac
"""


@pytest.fixture
def clone(repository: Path, tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(repository / name, tmp_path / name)
    return tmp_path


def _setup(clone: Path, python: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "setup", f"PYTHON={python}"], cwd=clone, capture_output=True, text=True, check=False)


def _script(clone: Path, text: str) -> str:
    path = clone / "python"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_absent_python(clone: Path) -> None:
    result = _setup(clone, "python-that-is-not-there")
    assert result.returncode != 0
    assert "python-that-is-not-there is not installed" in result.stdout
    assert not (clone / ".venv").exists()


def test_old_python(clone: Path) -> None:
    result = _setup(clone, _script(clone, OLD_PYTHON))
    assert result.returncode != 0
    assert "Python 3.11 or newer is needed" in result.stdout
    assert "Python 3.9.2" in result.stdout


def test_python_without_venv(clone: Path) -> None:
    result = _setup(clone, _script(clone, PYTHON_WITHOUT_VENV))
    assert result.returncode != 0
    assert "apt install python3-venv" in result.stdout


def test_setup_is_redone_only_when_pyproject_changes(clone: Path) -> None:
    stamp = clone / ".venv" / "installed"
    stamp.parent.mkdir()
    stamp.touch()
    question = ["make", "--question", "setup"]
    assert subprocess.run(question, cwd=clone, check=False).returncode == 0
    later = stamp.stat().st_mtime + 10
    os.utime(clone / "pyproject.toml", (later, later))
    assert subprocess.run(question, cwd=clone, check=False).returncode == 1


def test_help_names_every_target(clone: Path) -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (clone / "Makefile").read_text(), re.MULTILINE)
    assert targets is not None
    printed = subprocess.run(["make", "help"], cwd=clone, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^make ([\w-]+)  ", printed, re.MULTILINE) == targets[1].split()[1:]


def test_slow_tests_have_a_target_without_the_random_schedules(clone: Path) -> None:
    asked = ["make", "--dry-run", "--assume-old=.venv/installed", "test-slow"]
    printed = subprocess.run(asked, cwd=clone, capture_output=True, text=True, check=True).stdout
    assert "-m slow --deselect tests/faults/test_schedules.py" in printed
