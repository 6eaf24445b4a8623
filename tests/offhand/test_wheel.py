"""The wheel: the package `offhand` alone, which works without the service's packages."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="no hatchling here (pip install hatchling)")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    (built,) = folder.glob("offhand-*.whl")
    return built


def run_from(wheel: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the wheel before everything else that is installed."""
    environment = os.environ | {"PYTHONPATH": str(wheel), "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_wheel_contains_offhand_alone(repository: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        assert "offhand = offhand.cli:main" in archive.read(entry_points).decode()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"offhand"}
    assert "offhand/py.typed" in names
    sources = {path.relative_to(repository).as_posix() for path in (repository / "offhand").rglob("*.py")}
    assert sources <= names


def test_the_sdk_of_the_wheel_is_imported(wheel: Path, tmp_path: Path) -> None:
    code = "import offhand; print(offhand.__file__); offhand.Client().close()"
    result = run_from(wheel, tmp_path, "-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(wheel))


@pytest.mark.parametrize("command", ["up", "worker"])
def test_a_command_that_needs_the_service_names_what_to_install(wheel: Path, tmp_path: Path, command: str) -> None:
    result = run_from(wheel, tmp_path, "-m", "offhand", command)
    assert result.returncode == 7
    assert "the service is not installed here" in result.stderr
    assert "make setup" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_doctor_of_the_wheel_accepts_the_sdk_alone(wheel: Path, tmp_path: Path) -> None:
    result = run_from(wheel, tmp_path, "-m", "offhand", "doctor", "--url", "http://127.0.0.1:1")
    assert result.returncode == 0, result.stdout
    assert "this is the SDK alone" in result.stdout
