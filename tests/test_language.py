"""Plain technical English: some words stay out of what users read, and become fewer everywhere else."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

#: Words for which a standard term exists.
BANNED = (
    r"somebody|nobody|anybody|whence|anew|thereof|lessons?|wish(?:es)?|held against|(?:is|are) worth|at hand"
    r"|what there is|it is not as it was"
)
#: Verbs that programs are not the subject of: they return, write, print, raise, refuse.
SPEAKING = r"says?|said|tells?|told|knows?|speaks?"

#: Banned words in comments, docstrings, names and decision records. Lower it with each one that goes.
MOST_BANNED = 20
#: Names that hold a banned word: the parameter of `io.IOBase.seek`. None is added.
BANNED_NAMES = frozenset({"whence"})
#: Docstrings that begin with What, Which, Who or How, by package. A verb or the noun comes first; none is added.
MOST_QUESTIONS = {"benchmarks": 10, "core": 116, "testbed": 27}

PACKAGES = ("api", "benchmarks", "contracts", "core", "migrations", "offhand", "store", "testbed", "worker")
#: Decision records are history: they count with the code.
RECORDS = "docs/adr/"


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z])(?:{pattern})(?![a-z])", re.IGNORECASE)


def _found(pattern: str, text: str) -> list[str]:
    """Return the words of ``pattern`` in ``text``; parts of names in CamelCase and snake_case are words."""
    return _words(pattern).findall(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text))


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if (repository / line).is_file()]


@pytest.fixture(scope="module")
def modules(repository: Path, tracked: list[str]) -> dict[str, ast.Module]:
    found = [path for path in tracked if path.endswith(".py") and path.partition("/")[0] in PACKAGES]
    assert len(found) > 400
    return {path: ast.parse((repository / path).read_text()) for path in found}


def _docstrings(module: ast.Module) -> Iterator[ast.Constant]:
    """Docstrings of modules, classes and functions, and those that stand behind an attribute."""
    for node in ast.walk(module):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value


def _texts(module: ast.Module) -> Iterator[tuple[int, str]]:
    """String literals other than docstrings, and docstrings of commands, which are their help."""
    docstrings = set(_docstrings(module))
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            yield node.lineno, node.value
        if isinstance(node, ast.FunctionDef) and any(".command" in ast.unparse(one) for one in node.decorator_list):
            yield node.lineno, ast.get_docstring(node) or ""


def test_user_pages_use_plain_words(repository: Path, tracked: list[str]) -> None:
    pages = [path for path in tracked if path.endswith((".md", ".html")) and not path.startswith(RECORDS)]
    assert {"README.md", "docs/http.md", "api/pages/templates/job.html"} <= set(pages)
    wrong = [
        f"{path}:{number}: {', '.join(found)}"
        for path in pages
        for number, line in enumerate((repository / path).read_text().splitlines(), 1)
        if (found := _found(f"{BANNED}|{SPEAKING}", line))
    ]
    assert not wrong


def test_errors_and_help_use_plain_words(modules: dict[str, ast.Module]) -> None:
    wrong = [
        f"{path}:{number}: {', '.join(found)}: {text.strip()[:80]}"
        for path, module in modules.items()
        for number, text in _texts(module)
        if (found := _found(f"{BANNED}|{SPEAKING}", text))
    ]
    assert not wrong


def test_banned_words_become_fewer(repository: Path, tracked: list[str]) -> None:
    texts = [path for path in tracked if path.endswith((".py", ".md", ".mako")) and not path.startswith("tests/")]
    count = sum(len(_found(BANNED, (repository / path).read_text())) for path in texts)
    assert count <= MOST_BANNED, "a banned word was added (house style: a standard term exists for it)"
    assert count > MOST_BANNED - 10, f"lower MOST_BANNED to {count}"


@cache
def _named(node: type) -> str | None:
    return {ast.Name: "id", ast.arg: "arg", ast.Attribute: "attr", ast.keyword: "arg"}.get(node) or (
        "name" if node in (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.alias) else None
    )


def test_names_use_plain_words(modules: dict[str, ast.Module]) -> None:
    names = {
        name
        for module in modules.values()
        for node in ast.walk(module)
        if (field := _named(type(node))) and isinstance(name := getattr(node, field), str) and _found(BANNED, name)
    }
    assert names <= BANNED_NAMES
    assert not BANNED_NAMES - names, "remove these from BANNED_NAMES"


def test_docstrings_begin_with_a_verb_or_a_noun(modules: dict[str, ast.Module]) -> None:
    questions = dict.fromkeys(PACKAGES, 0)
    for path, module in modules.items():
        for docstring in _docstrings(module):
            questions[path.partition("/")[0]] += bool(re.match(r"(?:What|Which|Who|How)\b", str(docstring.value)))
    more = {package: count for package, count in questions.items() if count > MOST_QUESTIONS.get(package, 0)}
    assert not more
    assert all(
        MOST_QUESTIONS[package] < count + 10 for package, count in questions.items() if package in MOST_QUESTIONS
    )
