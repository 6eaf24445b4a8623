"""`offhand --help` and `import offhand` are quick."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_help_imports_nothing_heavy(repository: Path) -> None:
    code = "import sys, offhand.cli; print(sorted({'httpx', 'rich', 'pydantic', 'torch', 'ctypes'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_importing_the_package_imports_nothing_heavy(repository: Path) -> None:
    code = "import sys, offhand; print(sorted({'httpx', 'rich', 'typer'} & set(sys.modules)), offhand.Client.__name__)"
    result = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[] Client"


def test_help_takes_less_than_three_tenths_of_a_second(repository: Path) -> None:
    best = 10.0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "offhand", "--help"], cwd=repository, stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        assert status == 0
        best = min(best, usage.ru_utime + usage.ru_stime)
        if best < 0.3:
            return
    assert best < 0.3


@pytest.mark.parametrize(
    "command", ["up", "worker", "generate", "jobs", "cancel", "resume", "download", "verify", "generators", "doctor"]
)
def test_every_command_explains_itself_and_speaks_json(repository: Path, command: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "offhand", command, "--help"], cwd=repository, capture_output=True, text=True, check=True
    )
    assert "--json" in result.stdout
