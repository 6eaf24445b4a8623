"""`.ci/run` runs the targets in order, ends as they end, and prints pytest's closing line last."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKED, SLOW = "3 passed, 2 deselected in 1.00s", "2 passed, 3 deselected in 2.00s"
#: Stands for make: prints the text and ends with the status of its target.
MAKE = """#!/bin/sh
echo "target $1"
case "$1" in
  check) echo "{checked}"; exit {check};;
  test-slow) echo "{slow}"; exit {test_slow};;
esac
"""


def _ended(
    repository: Path, folder: Path, check: int = 0, test_slow: int = 0, checked: str = CHECKED
) -> subprocess.CompletedProcess[str]:
    (folder / ".ci").mkdir()
    shutil.copy(repository / ".ci/run", folder / ".ci/run")
    make = folder / "bin" / "make"
    make.parent.mkdir()
    make.write_text(MAKE.format(checked=checked, check=check, slow=SLOW, test_slow=test_slow))
    make.chmod(0o755)
    environment = {**os.environ, "PATH": f"{make.parent}:{os.environ['PATH']}", "CI": ""}
    return subprocess.run([folder / ".ci/run"], env=environment, capture_output=True, text=True, check=False)


def test_both_targets_run_and_the_closing_line_is_that_of_check(repository: Path, tmp_path: Path) -> None:
    ended = _ended(repository, tmp_path)
    assert ended.returncode == 0
    assert ended.stdout.index("target check") < ended.stdout.index("target test-slow")
    assert ended.stdout.splitlines()[-2:] == [f".ci/run: make test-slow: {SLOW}", CHECKED]


def test_a_failed_check_ends_the_run(repository: Path, tmp_path: Path) -> None:
    ended = _ended(repository, tmp_path, check=2)
    assert ended.returncode == 2
    assert "test-slow" not in ended.stdout
    assert ended.stdout.splitlines()[-2:] == [".ci/run: make check failed with status 2", CHECKED]


def test_failed_slow_tests_fail_the_run(repository: Path, tmp_path: Path) -> None:
    ended = _ended(repository, tmp_path, test_slow=2)
    assert ended.returncode == 2
    assert ".ci/run: make test-slow failed with status 2" in ended.stdout
    assert ended.stdout.splitlines()[-1] == SLOW


@pytest.mark.parametrize("status", [0, 5])
def test_a_run_without_tests_fails(repository: Path, tmp_path: Path, status: int) -> None:
    ended = _ended(repository, tmp_path, check=status, checked="no tests ran in 0.10s")
    assert ended.returncode == 1
    assert "pytest collected no tests in make check" in ended.stdout
