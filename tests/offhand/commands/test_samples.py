"""`offhand samples fetch`: images laid out for labelling, beside what is there already."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import httpx
import pytest

from offhand.commands.samples import fetch_samples
from offhand.errors import ClientError
from offhand.sdk.client import Client
from offhand.terminal.output import Output
from tests.offhand.conftest import Run


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


def test_draw_passes_any_sampling_setting_of_the_generator(run: Run, client: Client, tmp_path: Path) -> None:
    words = ("samples", "draw", "tiny", "--count", "2", "--out", str(tmp_path / "new"))
    refused = run(*words, "--setting", "truncation_cutoff=many", "--setting", "colour=red")
    assert refused.exit_code == 4
    assert "/sampling/truncation_cutoff" in refused.output
    assert "unknown setting; this generator has: truncation_cutoff, truncation_psi" in refused.output
    shown = json.loads(run("generators", "show", "tiny", "--json").stdout)["settings_schema"]["properties"]
    assert set(shown) == {"truncation_cutoff", "truncation_psi"}
    assert "truncation_psi" in run("generators", "show", "tiny").stdout


def test_drawn_samples_are_listed_with_their_settings_and_name(
    run: Run, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("offhand.commands.samples.follow", lambda *_: None)
    monkeypatch.setattr("offhand.commands.samples.fetch_samples", lambda *_: None)
    drawn = run(
        *("samples", "draw", "tiny", "--count", "2", "--out", str(tmp_path / "new"), "--name", "calm heads"),
        *("--setting", "truncation_psi=0.25", "--setting", "truncation_cutoff=1"),
    )
    assert drawn.exit_code == 0, drawn.output
    (found,) = (one for one in client.sample_sets.list() if one["name"] == "calm heads")
    assert found["request"]["sampling"] == {"truncation_psi": 0.25, "truncation_cutoff": 1}
    assert "calm heads" in run("samples").stdout
    client.jobs.cancel(found["job"])
