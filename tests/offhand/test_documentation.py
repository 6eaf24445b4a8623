"""The pages about the command and the SDK are complete, and their examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from offhand import cli, errors
from offhand.commands.evaluations import DO_NOT_USE
from offhand.sdk.client import Client
from offhand.sdk.resources.resource import Resource
from offhand.terminal.output import INTERRUPTED
from tests.offhand.conftest import Worker
from tests.serving import ApiProcess


def test_every_command_and_exit_code_is_documented(repository: Path) -> None:
    text = (repository / "docs" / "client.md").read_text()
    commands = {
        command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback
    }
    commands |= {group.name for group in cli.app.registered_groups if group.name}
    assert set(re.findall(r"^\| `offhand ([\w-]+)", text, re.MULTILINE)) == commands
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ClientError)]
    codes = {0, 2, DO_NOT_USE, INTERRUPTED} | {kind.exit_code for kind in classes}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == codes
    assert cli.app.info.epilog is not None
    assert {int(code) for code in re.findall(r"(?:: |· )(\d+)", cli.app.info.epilog)} == codes


def test_every_method_of_the_sdk_is_documented(repository: Path) -> None:
    text = (repository / "docs" / "sdk.md").read_text()
    rows = re.findall(r"^\| `client\.(\w+)` \| (.+) \|$", text, re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", methods)) for name, methods in rows}
    with Client() as client:
        resources = {name: type(one) for name, one in vars(client).items() if isinstance(one, Resource)}
    assert documented == {
        name: {method for method in vars(kind) if not method.startswith("_") and callable(getattr(kind, method))}
        for name, kind in resources.items()
    }


def test_the_examples_of_the_sdk_page_run(
    repository: Path, server: ApiProcess, labels: Path, finishing: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (repository / "docs" / "sdk.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 4
    monkeypatch.chdir(labels.parent)
    monkeypatch.setenv("OFFHAND_URL", server.url)
    names: dict[str, object] = {}
    with finishing:
        for example in examples:
            exec(example.replace("heads64", "tiny"), names)
    assert (labels.parent / "heads" / "manifest.json").is_file()
