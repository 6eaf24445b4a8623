"""`offhand samples fetch`: images laid out for labelling, beside what is there already."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from offhand.commands.samples import fetch_samples
from offhand.errors import ClientError
from offhand.sdk.client import Client
from offhand.terminal.output import Output


class Samples(Client):
    """A service with one set of samples."""

    def sample_archive(self, sample_set_id: str) -> bytes:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("images/000000003.png", b"image")
            archive.writestr("classes.json", "[]")
        assert sample_set_id == "smp_1"
        return content.getvalue()


def test_fetching_samples_again_does_not_replace_what_was_edited(tmp_path: Path) -> None:
    client, output = Samples(), Output(as_json=True)
    fetch_samples(client, "smp_1", tmp_path, output)
    fetch_samples(client, "smp_1", tmp_path, output)
    (tmp_path / "classes.json").write_text('["hat"]')
    with pytest.raises(ClientError) as refused:
        fetch_samples(client, "smp_1", tmp_path, output)
    assert refused.value.lines == ["classes.json"]
    assert (tmp_path / "classes.json").read_text() == '["hat"]'
