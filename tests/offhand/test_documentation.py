"""What the papers say of the command is true."""

from __future__ import annotations

import re
from pathlib import Path

from offhand import cli, errors
from offhand.terminal.output import INTERRUPTED


def test_every_command_and_exit_code_is_documented(repository: Path) -> None:
    text = (repository / "docs" / "client.md").read_text()
    commands = {
        command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback
    }
    commands |= {group.name for group in cli.app.registered_groups if group.name}
    assert set(re.findall(r"^\| `offhand (\w+)", text, re.MULTILINE)) == commands
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ClientError)]
    codes = {0, 2, INTERRUPTED} | {kind.exit_code for kind in classes}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == codes
    assert cli.app.info.epilog is not None
    assert {int(code) for code in re.findall(r"(?:: |· )(\d+)", cli.app.info.epilog)} == codes
