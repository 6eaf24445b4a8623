"""Arrows go one way: who may import whom, and what stays out of the light packages."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

OURS = {"api", "benchmarks", "contracts", "core", "migrations", "offhand", "store", "testbed", "worker"}

CORE_MAY_IMPORT = {"contracts", "core", "lpips", "numpy", "PIL", "safetensors", "scipy", "torch", "torchvision"} | {
    *("OpenEXR", "pyarrow", "pycocotools", "yaml"),  # the formats of others: core/datasets and what is below it
}

# The standard library's own ways to the network, to SQL and to the environment.
CORE_MAY_NOT_IMPORT = {"asyncio", "ftplib", "http", "smtplib", "socket", "socketserver", "sqlite3", "ssl", "xmlrpc"}

NUMERICAL = ("torch", "torchvision", "lpips", "numpy", "PIL", "safetensors", "scipy", "numba", "matplotlib")

# Words of one generator family, and the places where they may stand: its folder, what it stored, names of old requests.
FAMILY_WORDS = re.compile(r"w_plus|num_ws|w_avg|StyleGAN2")
FAMILY_PLACES = (
    *("core/generators/stylegan2", "core/generators/shipped", "store/first_release.py"),
    "contracts/generator_training/stylegan2.py",
    "store/resources/catalogue.json",  # titles of licences
)
# Imports every module of a package in a process where the named packages cannot be imported; offhand.torch is for those
# who have torch.
IMPORT_WITHOUT = """
import importlib, pkgutil, sys

package, *absent = sys.argv[1:]

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ImportError(f"{name} is not installed here")
        return None

sys.meta_path.insert(0, Absent())
root = importlib.import_module(package)
for module in pkgutil.walk_packages(root.__path__, package + "."):
    if not module.name.endswith("__main__") and module.name != "offhand.torch":
        importlib.import_module(module.name)
print(package, "imported")
"""


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def _top_level_imports(folder: Path) -> dict[str, set[str]]:
    """Imported top-level package → the files below `folder` that import it."""
    found: dict[str, set[str]] = {}
    for file in sorted(folder.rglob("*.py")):
        for name in _imports(file):
            found.setdefault(name.partition(".")[0], set()).add(str(file.relative_to(folder.parent)))
    return found


def test_layers_hold(repository: Path) -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([lint], cwd=repository, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_modules_do_not_import_each_other_in_a_cycle(repository: Path) -> None:
    settings = tomllib.loads((repository / "pyproject.toml").read_text())
    packages = set(settings["tool"]["importlinter"]["root_packages"])
    # Imports for annotations alone count too: they tie the modules together for a reader.
    graph = grimp.build_graph(*packages, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the modules of the cycle


@pytest.mark.parametrize(
    ("package", "absent"),
    [
        ("store", (*NUMERICAL, "celery", "kombu", "fastapi")),
        ("api", NUMERICAL),
        ("offhand", (*NUMERICAL, "celery", "fastapi", "pydantic", "sqlalchemy", "boto3", "structlog")),
    ],
)
def test_light_packages_import_without_heavy_ones(repository: Path, package: str, absent: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", IMPORT_WITHOUT, package, *absent]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f"{package} imported"


def test_core_knows_arrays_and_models_alone(repository: Path) -> None:
    allowed = CORE_MAY_IMPORT | (set(sys.stdlib_module_names) - CORE_MAY_NOT_IMPORT)
    strangers = {name: files for name, files in _top_level_imports(repository / "core").items() if name not in allowed}
    assert not strangers


def test_core_never_reads_the_environment(repository: Path) -> None:
    readers = {
        f"{file.relative_to(repository)}:{node.lineno}"
        for file in (repository / "core").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "getenvb"})
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and {"environ", "getenv"} & _names(node))
    }
    assert not readers


def _names(node: ast.ImportFrom) -> set[str]:
    return {alias.name for alias in node.names}


def test_migrations_know_the_store_alone(repository: Path) -> None:
    of_ours = _top_level_imports(repository / "migrations").keys() & OURS
    assert of_ours <= {"contracts", "migrations", "store"}


@pytest.mark.parametrize(
    ("package", "allowed"), [("api", set()), ("worker", {"benchmarks"}), ("benchmarks", set()), ("testbed", set())]
)
def test_programs_are_imported_by_those_on_top_alone(repository: Path, package: str, allowed: set[str]) -> None:
    importers = {
        file
        for other in sorted(OURS - allowed - {package})
        for file in _top_level_imports(repository / other).get(package, set())
    }
    assert not importers


def test_stored_objects_are_read_through_the_verifying_module_alone(repository: Path) -> None:
    # `direct_uploads` computes the digest of an object that has none yet.
    allowed = {repository / "store/uploads/direct_parts.py", *(repository / "store/objects").glob("*.py")}
    readers = {
        f"{file.relative_to(repository)}:{line}"
        for folder in ("api", "store", "worker")
        for file in (repository / folder).rglob("*.py")
        if file not in allowed
        for line in _object_reads(file.read_text())
    }
    assert not readers, "read objects through store.objects.verified"


@pytest.mark.parametrize(
    "line",
    ["objects.open(key)", "self._objects.read(key, start=1)", "f = context.objects.open", "open_objects(s).read(k)"],
)
def test_a_read_of_an_object_by_another_way_is_found(line: str) -> None:
    assert _object_reads(line) == [1]
    assert _object_reads(line.replace("objects", "files")) == []


def _object_reads(source: str) -> list[int]:
    """Lines that name `read` or `open` of an object store."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in {"read", "open"} and _is_object_store(node.value)
    ]


def _is_object_store(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        value = value.func
    name = value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""
    return name.strip("_") in {"objects", "open_objects", "opened_objects"}


def test_words_of_a_generator_family_stay_in_its_folder(repository: Path) -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, content in _product_files(repository)
        if not name.startswith(FAMILY_PLACES)
        for number, line in enumerate(content.splitlines(), 1)
        if FAMILY_WORDS.search(line)
    ]
    assert not found


def test_nothing_outside_of_the_families_compares_with_the_name_of_one(repository: Path) -> None:
    families = {path.parent.name for path in (repository / "core/generators").glob("*/family.py")}
    assert families
    found = [
        f"{name}:{line}"
        for name, content in _product_files(repository)
        if name.endswith(".py") and not name.startswith(tuple(f"core/generators/{one}/" for one in families))
        for line in _comparisons(content, families)
    ]
    assert not found


@pytest.mark.parametrize(
    "line", ['if a.family == "biggan": pass', 'b = name in ("biggan", "x")', 'match name:\n    case "biggan": pass']
)
def test_a_comparison_with_the_name_of_a_family_is_found(line: str) -> None:
    assert _comparisons(line, {"biggan"})
    assert not _comparisons(line, {"vqgan"})


def _product_files(repository: Path) -> Iterator[tuple[str, str]]:
    """Name and content of every text file of the product's packages."""
    command = ["git", "ls-files", "api", "contracts", "core", "store", "worker"]
    listing = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout
    for name in listing.splitlines():
        if (repository / name).is_file() and name.endswith((".py", ".json", ".html", ".js")):
            yield name, (repository / name).read_text()


def _comparisons(source: str, names: set[str]) -> list[int]:
    """Lines that compare something with one of `names`."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare | ast.MatchValue)
        and any(isinstance(one, ast.Constant) and one.value in names for one in ast.walk(node))
    ]
