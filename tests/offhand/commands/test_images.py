"""`offhand images`: sizes, names, and what is refused before anything is sent."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import typer

from offhand.commands.images import first_line, name_of, size_of
from offhand.errors import ClientError
from offhand.sdk.uploads import file_or_archive
from tests.offhand.conftest import Run


def test_a_resolution_is_one_side_or_height_and_width() -> None:
    assert [size_of("64"), size_of("96x64"), size_of("96×64")] == [(64, 64), (96, 64), (96, 64)]
    for wrong in ("", "64x", "x", "64x64x3", "-1", "large"):
        with pytest.raises(typer.BadParameter):
            size_of(wrong)


def test_a_name_comes_from_the_source() -> None:
    assert [name_of(one) for one in ("a/Chest X-rays/", "b/set.tar.gz", "c/train.parquet")] == [
        "chest-x-rays",
        "set",
        "train",
    ]
    with pytest.raises(ClientError, match="--name"):
        name_of("upl_1")


def test_long_licences_are_shortened_in_tables() -> None:
    assert first_line("  Apache License\n Version 2.0") == "Apache License"
    assert first_line("x" * 100) == "x" * 59 + "…"


def test_examples_of_a_folder_are_spread_over_its_files(tmp_path: Path) -> None:
    for index in range(50):
        (tmp_path / f"{index:02d}.png").write_bytes(b"x")
    with file_or_archive(tmp_path, 5) as archive, zipfile.ZipFile(archive) as packed:
        assert packed.namelist() == ["00.png", "10.png", "20.png", "30.png", "40.png"]


def test_a_source_that_is_not_there_is_refused(run: Run) -> None:
    for words in (("--preview", "a.png"), ()):
        result = run("images", "add", "nowhere/", "--resolution", "16", *words)
        assert (result.exit_code, "nowhere/: no such file or folder" in result.output) == (1, True)
