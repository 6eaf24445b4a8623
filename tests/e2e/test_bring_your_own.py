"""A checkpoint made elsewhere, through the command and the real service: added, listed, looked at, removed."""

from __future__ import annotations

import json
from pathlib import Path

from offhand.sdk.client import Client
from tests.core.checkpoints import writers
from tests.e2e import tiny
from tests.e2e.conftest import Undisturbed
from tests.e2e.processes import offhand


def test_a_checkpoint_becomes_a_generator(undisturbed: Undisturbed, tmp_path: Path) -> None:
    url = undisturbed.up.url
    network = tiny.write_generator(tmp_path / "shipped")
    content = writers.nvidia_pickle(writers.nvidia_state(network), clamp=None, lr_multiplier=0.1)
    (tmp_path / "my_network-000400.pkl").write_bytes(content)
    added = offhand(
        "generators", "add", str(tmp_path / "my_network-000400.pkl"), "--licence", "CC0-1.0", "--url", url,
        "--preview", str(tmp_path / "preview.png"),
    )  # fmt: skip
    assert "read as     nvidia-pytorch G_ema, skip" in added.stdout
    assert (tmp_path / "preview.png").read_bytes().startswith(b"\x89PNG")
    listed = offhand("generators", "--url", url).stdout
    assert "my-network-000400" in listed
    assert listed == offhand("generators", "ls", "--url", url).stdout
    offhand("generators", "preview", "my-network-000400", "--out", str(tmp_path / "again.png"), "--url", url)
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "preview.png").read_bytes()
    again = offhand("generators", "add", str(tmp_path / "my_network-000400.pkl"), "--url", url, expect=1)
    assert "choose another name" in again.stderr
    offhand("generators", "rm", "my-network-000400", "--url", url)
    assert "my-network" not in offhand("generators", "--url", url).stdout


def test_a_hostile_checkpoint_runs_nowhere(undisturbed: Undisturbed, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hostile = tmp_path / "hostile.pkl"
    command = f"touch {canary}".encode()
    hostile.write_bytes(b"\x80\x04cos\nsystem\n\x8c" + bytes([len(command)]) + command + b"\x85R.")
    failed = offhand("generators", "add", str(hostile), "--url", undisturbed.up.url, expect=1)
    assert "this file is not read: it names os.system" in failed.stderr
    assert not canary.exists()
    with Client(undisturbed.up.url) as service:
        assert "hostile" not in [generator["name"] for generator in service.generators.list()]


def test_the_catalogue_is_listed(undisturbed: Undisturbed, repository: Path) -> None:
    listed = json.loads(offhand("generators", "catalogue", "--json", "--url", undisturbed.up.url).stdout)
    shipped = json.loads((repository / "store" / "resources" / "catalogue.json").read_text())
    expected = {entry["name"]: (entry["url"], entry["licence"]) for entry in shipped["checkpoints"]}
    assert len(expected) > 5
    assert {entry["name"]: (entry["url"], entry["licence"]) for entry in listed} == expected
