"""The API starts quickly: it imports little."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_importing_costs_little_beside_the_libraries_that_it_stands_on(repository: Path) -> None:
    libraries = _processor_seconds("import fastapi, sqlalchemy.orm, structlog", repository)
    # Twice as much, and 0.8 s of a free core, when this was written; seconds alone would test the machine.
    assert _processor_seconds("import api.app", repository) < 3 * libraries


def _processor_seconds(code: str, folder: Path) -> float:
    """The least of three runs: another program on the core slows some of them."""
    found = []
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        assert status == 0
        found.append(usage.ru_utime + usage.ru_stime)
    return min(found)


def test_what_is_seldom_needed_is_not_imported(repository: Path) -> None:
    code = "import sys, api.app; print(sorted({'alembic', 'boto3', 'jinja2', 'numpy', 'torch'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
