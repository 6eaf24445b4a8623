"""A copy of the product's packages with the awkward family added: its folder, and one line in the registry."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

FAMILY = Path(__file__).parent / "awkward"
IMPORT = "from core.generators.awkward.family import AWKWARD\n"
LINE = "    AWKWARD.name: AWKWARD,\n"


def write_overlay(repository: Path, target: Path) -> Path:
    """Fill `target` with the packages of `repository` and return it. Programs started there have the family."""
    for package in sorted(path.parent for path in repository.glob("*/__init__.py")):
        if package.name != "tests":
            shutil.copytree(package, target / package.name, copy_function=_copy)
    shutil.copy2(repository / "pyproject.toml", target)  # `offhand up` looks for it to find a checkout
    shutil.copytree(FAMILY, target / "core" / "generators" / FAMILY.name)
    registry = target / "core" / "generators" / "families.py"
    source = registry.read_text("utf-8")
    registry.unlink()
    first, line = "from core.generators.interface import", "    STYLEGAN2.name: STYLEGAN2,\n"
    assert source.count(first) == source.count(line) == 1
    registry.write_text(source.replace(first, IMPORT + first).replace(line, line + LINE), "utf-8")
    return target


def _copy(source: str, target: str) -> None:
    """Copy code, since modules look for others beside their own file; link everything else."""
    if Path(source).suffix in (".py", ".pyc"):
        shutil.copy2(source, target)
    else:
        os.symlink(source, target)
