"""The pages about the command and the SDK are complete, and their examples run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

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


def documented_commands(repository: Path) -> Iterator[tuple[str, bool]]:
    """Each `offhand …` of the user pages, and whether it is a whole line of a code block."""
    for page in (repository / "README.md", *sorted((repository / "docs").glob("*.md"))):
        text = page.read_text()
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if re.match(r"(\.venv/bin/)?offhand ", line):
                    yield line.partition("  #")[0], True
        for span in re.findall(r"`(offhand [^`]+)`", text):
            yield span, False


def test_every_documented_command_line_is_one_that_the_command_takes(repository: Path) -> None:
    whole_command: Any = typer.main.get_command(cli.app)
    wrong, seen = [], 0
    for line, whole in documented_commands(repository):
        words = [word.strip("[]") for word in shlex.split(line)[1:] if word != "…"]
        words = [re.sub(r"^[A-Z]$", "3", word) for word in words]  # `N` stands for a number
        command = whole_command
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        if {"--version", "--install-completion"} & set(words):
            continue  # these do their work while the line is read
        seen += 1
        try:
            command.make_context("offhand", words)
        except cli.UsageError as error:
            if whole or not type(error).__name__.startswith("Missing"):
                wrong.append(f"{line}: {error}")
        except typer.Exit:
            pass
    assert wrong == []
    assert seen > 50
