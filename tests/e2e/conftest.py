"""One undisturbed run of the real service, which faults are compared with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from offhand.sdk.client import Client
from tests.e2e import tiny
from tests.e2e.processes import Up, service

COUNT = 24
SETTINGS: dict[str, Any] = {"seed": 7, "inversion": {"steps": 20}, "labeler": {"members": 2}}


@dataclass(frozen=True)
class Material:
    """What a job needs: the folder of built-in generators (one, tiny) and a labelled archive."""

    shipped: Path
    labels: Path


@dataclass(frozen=True)
class Undisturbed:
    """A service that is up, and the job and dataset it made without any fault."""

    up: Up
    job: dict[str, Any]
    folder: Path

    @property
    def manifest(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return loaded


def digests(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """Path and SHA-256 of every shard of a dataset."""
    return [(shard["path"], shard["sha256"]) for shard in manifest["shards"]]


@pytest.fixture(scope="package")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    generator = tiny.write_generator(folder / "shipped")
    tiny.write_labels(folder / "labels.zip", generator)
    return Material(folder / "shipped", folder / "labels.zip")


@pytest.fixture(scope="package")
def undisturbed(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    folder = tmp_path_factory.mktemp("undisturbed")
    with service(folder / "data", material.shipped) as up, Client(up.url) as client:
        job = client.datasets.generate(material.labels, tiny.NAME, COUNT, **SETTINGS)
        job = client.jobs.wait(job["id"], timeout=180)
        client.datasets.download(job["result"]["dataset"], folder / "dataset")
        yield Undisturbed(up, job, folder / "dataset")
