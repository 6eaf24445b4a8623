"""`offhand samples fetch`: images laid out for labelling, beside what is there already."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import httpx
import pytest

from offhand.commands.samples import fetch_samples
from offhand.errors import ClientError
from offhand.sdk.client import Client
from offhand.terminal.output import Output


def samples(request: httpx.Request) -> httpx.Response:
    """Answer like a service with one set of samples."""
    assert request.url.path == "/v1/sample-sets/smp_1/archive"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("images/000000003.png", b"image")
        archive.writestr("classes.json", "[]")
    return httpx.Response(200, content=content.getvalue())


def test_fetching_samples_again_does_not_replace_what_was_edited(tmp_path: Path) -> None:
    client, output = Client(transport=httpx.MockTransport(samples)), Output(as_json=True)
    fetch_samples(client, "smp_1", tmp_path, output)
    fetch_samples(client, "smp_1", tmp_path, output)
    (tmp_path / "classes.json").write_text('["hat"]')
    with pytest.raises(ClientError) as refused:
        fetch_samples(client, "smp_1", tmp_path, output)
    assert refused.value.lines == ["classes.json"]
    assert (tmp_path / "classes.json").read_text() == '["hat"]'
