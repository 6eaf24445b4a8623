"""The main job through the real service: what comes out, and what a wrong input is told."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from offhand.sdk.client import Client
from tests.e2e import tiny
from tests.e2e.conftest import COUNT, SETTINGS, Material, Undisturbed, digests
from tests.e2e.processes import offhand


def _members(undisturbed: Undisturbed) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for shard in undisturbed.manifest["shards"]:
        with tarfile.open(undisturbed.folder / shard["path"]) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
    return found


def test_dataset_holds_what_was_asked_for(undisturbed: Undisturbed) -> None:
    manifest = undisturbed.manifest
    assert manifest["count"] == COUNT
    assert manifest["complete"] is True
    assert sum(shard["items"] for shard in manifest["shards"]) == COUNT
    members = _members(undisturbed)
    kinds = Counter(name.partition(".")[2] for name in members)
    assert kinds == {"image.png": COUNT, "mask.png": COUNT, "json": COUNT, "code.w_plus.npy": COUNT}
    for name, content in members.items():
        if name.endswith(".image.png"):
            image = Image.open(io.BytesIO(content))
            assert (image.mode, image.size) == ("RGB", tiny.SIZE)
        elif name.endswith(".mask.png"):
            mask = Image.open(io.BytesIO(content))
            assert mask.mode == "P"
            assert set(np.unique(np.asarray(mask))) <= {0, 1}
        elif name.endswith(".code.w_plus.npy"):
            code = np.load(io.BytesIO(content))
            assert (code.dtype, code.shape) == (np.float32, (1, 16)), "equal rows are stored once"
        else:
            assert json.loads(content)


def test_counts_add_up(undisturbed: Undisturbed) -> None:
    counts = undisturbed.job["counts"]
    assert counts["done"] == COUNT
    assert counts["failed"] == 0
    assert counts["rejected"] > 0
    assert counts["done"] + counts["rejected"] + counts["failed"] == counts["total"]
    assert {step["state"] for step in undisturbed.job["steps"]} == {"succeeded"}


def test_contact_sheet_and_card_come_along(undisturbed: Undisturbed) -> None:
    with Image.open(undisturbed.folder / "contact_sheet.png") as sheet:
        assert sheet.format == "PNG"
    assert str(COUNT) in (undisturbed.folder / "README.md").read_text()
    offhand("verify", str(undisturbed.folder))


def test_archive_is_the_same_dataset(undisturbed: Undisturbed, tmp_path: Path) -> None:
    dataset = undisturbed.job["result"]["dataset"]
    answer = httpx.get(f"{undisturbed.up.url}/v1/datasets/{dataset}/archive", timeout=30).raise_for_status()
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path, filter="data")
    manifest = next(tmp_path.rglob("manifest.json"))
    assert digests(json.loads(manifest.read_text())) == digests(undisturbed.manifest)
    offhand("verify", str(manifest.parent))


def test_same_seed_gives_the_same_bytes(undisturbed: Undisturbed, material: Material, tmp_path: Path) -> None:
    settings = [f"--set={name}={json.dumps(value)}" for name, value in SETTINGS.items()]
    offhand(
        *("generate", str(material.labels), "--generator", tiny.NAME, "--count", str(COUNT)),
        *(*settings, "--out", str(tmp_path / "again"), "--url", undisturbed.up.url),
    )
    again = json.loads((tmp_path / "again" / "manifest.json").read_text())
    assert again["dataset"] != undisturbed.manifest["dataset"]
    assert digests(again) == digests(undisturbed.manifest)


def test_the_way_with_curl_that_the_readme_tells(
    undisturbed: Undisturbed, material: Material, repository: Path, tmp_path: Path
) -> None:
    readme = (repository / "README.md").read_text()
    (script,) = re.findall(r"```sh\n(api=.*?)```", readme, re.DOTALL)
    for theirs, ours in {
        "http://127.0.0.1:8321": undisturbed.up.url,
        "examples/heads50.zip": str(material.labels),
        '"heads64", "count": 200': f'"{tiny.NAME}", "count": {COUNT}',
        "sleep 2": "sleep 0.2",
    }.items():
        assert theirs in script
        script = script.replace(theirs, ours)
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, check=True, timeout=180)
    manifest = next(tmp_path.rglob("manifest.json"))
    assert json.loads(manifest.read_text())["count"] == COUNT
    offhand("verify", str(manifest.parent))


# -- wrong input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--generator", "heads65", "--count", "4"], "heads65"),
        (["--generator", tiny.NAME, "--count", "0"], "count"),
        (["--generator", tiny.NAME, "--count", "1000000000"], "count"),
        (["--generator", tiny.NAME, "--count", "4", "--set", "truncation=0.5"], "truncation"),
    ],
)
def test_wrong_request_is_refused(
    undisturbed: Undisturbed, material: Material, arguments: list[str], words: str
) -> None:
    refused = offhand("generate", str(material.labels), *arguments, "--url", undisturbed.up.url, expect=4)
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


def _archive(path: Path, *, without: str = "", masks: dict[str, Image.Image] | None = None, source: Path) -> Path:
    """A copy of the labelled archive without some entries and with other masks."""
    with zipfile.ZipFile(source) as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            if without and without in name:
                continue
            content = good.read(name)
            if masks and name in masks:
                buffer = io.BytesIO()
                masks[name].save(buffer, "PNG")
                content = buffer.getvalue()
            bad.writestr(name, content)
    return path


def _told(undisturbed: Undisturbed, archive: Path, tmp_path: Path) -> str:
    """What a person is told who generates from this archive; the command must fail without a traceback."""
    with Client(undisturbed.up.url) as service:
        jobs_before = {job["id"] for job in service.jobs.list(state="succeeded")}
        arguments = ("generate", str(archive), "--generator", tiny.NAME, "--count", "4")
        try:
            told = offhand(*arguments, "--out", str(tmp_path / "out"), "--url", undisturbed.up.url, expect=1).stderr
        except AssertionError:
            told = offhand(*arguments, "--out", str(tmp_path / "out"), "--url", undisturbed.up.url, expect=4).stderr
        assert {job["id"] for job in service.jobs.list(state="succeeded")} == jobs_before
    assert "Traceback" not in told
    return told


def test_every_problem_of_an_archive_is_named(undisturbed: Undisturbed, material: Material, tmp_path: Path) -> None:
    masks = {
        "masks/01.png": Image.new("L", (8, 8)),
        "masks/02.png": Image.new("L", tiny.SIZE, 7),
    }
    archive = _archive(tmp_path / "bad.zip", without="masks/00", masks=masks, source=material.labels)
    told = _told(undisturbed, archive, tmp_path)
    assert "00.png" in told  # no mask
    assert "01.png" in told  # another size
    assert "02.png" in told  # class 7


def test_broken_archive_is_refused(undisturbed: Undisturbed, material: Material, tmp_path: Path) -> None:
    archive = tmp_path / "broken.zip"
    archive.write_bytes(material.labels.read_bytes()[:-200])
    assert "archive" in _told(undisturbed, archive, tmp_path)


def test_one_labelled_image_is_too_few(undisturbed: Undisturbed, material: Material, tmp_path: Path) -> None:
    archive = tmp_path / "one.zip"
    with zipfile.ZipFile(material.labels) as good, zipfile.ZipFile(archive, "w") as one:
        for name in ("classes.json", "images/00.png", "masks/00.png"):
            one.writestr(name, good.read(name))
    assert "2" in _told(undisturbed, archive, tmp_path)


# -- a second service --------------------------------------------------------------------------------------------------


def test_second_service_on_the_same_port(undisturbed: Undisturbed, tmp_path: Path) -> None:
    port = undisturbed.up.url.rpartition(":")[2]
    refused = offhand("up", "--port", port, "--data", str(tmp_path / "other"), expect=6)
    assert f"port {port} is in use by another Offhand" in refused.stderr


def test_second_service_on_the_same_data(undisturbed: Undisturbed) -> None:
    refused = offhand("up", "--port", "0", "--data", str(undisturbed.up.data), expect=6)
    assert undisturbed.up.url in refused.stderr
