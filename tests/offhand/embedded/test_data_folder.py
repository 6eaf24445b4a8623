"""The data folder of `offhand up` does not depend on the folder that it is started in."""

from pathlib import Path

import pytest

from offhand.embedded.data_folder import data_folder, default_data_folder
from offhand.terminal.output import Output


def test_the_folder_follows_the_xdg_specification(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_data_folder() == tmp_path / "offhand"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_data_folder() == tmp_path / "home" / ".local" / "share" / "offhand"


def test_data_of_an_earlier_start_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data_folder(Output(as_json=False))
    assert capsys.readouterr().err == ""
    (tmp_path / "offhand-data").mkdir()
    data_folder(Output(as_json=False))
    assert "offhand up --data offhand-data" in capsys.readouterr().err
