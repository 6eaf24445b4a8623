"""Photographs that show their subject elsewhere: aligned by boxes over HTTP, or refused by name."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from offhand.errors import JobFailed
from offhand.sdk.client import Client
from tests.e2e import tiny
from tests.e2e.conftest import SETTINGS, Material, Undisturbed


def test_photographs_are_aligned_by_their_boxes(undisturbed: Undisturbed, material: Material, tmp_path: Path) -> None:
    tiny.write_photographs(tmp_path / "photographs.zip", material.labels)
    with Client(undisturbed.up.url) as client:
        labels = client.uploads.create(tmp_path / "photographs.zip")["id"]
        job = client.datasets.generate(labels, tiny.NAME, 2, align={"by": "boxes"}, **SETTINGS)
        job = client.jobs.wait(job["id"], timeout=180)
        labeler = httpx.get(f"{undisturbed.up.url}/v1/labelers/{job['result']['labeler']}").json()
        rows = labeler["inversion_report"]["per_image"]
        assert [row["alignment"]["scale"] for row in rows] == pytest.approx([1] * 6)
        assert all(row["reused_from"] for row in rows), "cut out, they are images that were inverted before"
        with pytest.raises(JobFailed, match="cannot be aligned") as failed:
            client.jobs.wait(
                client.datasets.generate(job["result"]["label_set"], tiny.NAME, 2, align={
                    "by": "keypoints", "keypoints": {"nose": [0.5, 0.5], "chin": [0.5, 0.9]}
                })["id"]
            )  # fmt: skip
        assert "align.keypoints.nose" in str(failed.value.lines)
    refused = httpx.post(
        f"{undisturbed.up.url}/v1/jobs",
        json={"labels": labels, "generator": tiny.NAME, "count": 2, "align": {"margin": 0.1}},
    )
    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"detail": "a margin needs boxes", "pointer": "#/align/margin"}]
