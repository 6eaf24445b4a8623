"""Registration of uploads through whole jobs: what is cut out is what was asked for, and the reports say so."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from store.job_kinds.train_encoder import TrainEncoderSpec
from store.jobs.submit import submit_request
from store.resources.artifacts import get_inversion
from tests.e2e import tiny
from tests.worker.inline import TENANT, Service, content, generate, upload, view

BY_POINTS: dict[str, Any] = {"by": "keypoints", "keypoints": {"top_left": [0, 0], "bottom_right": [1, 1]}}


@pytest.mark.parametrize(
    ("given", "align"), [("boxes", {"by": "boxes"}), ("keypoints", BY_POINTS)], ids=["boxes", "keypoints"]
)
def test_what_is_cut_out_of_photographs_is_found_again(
    service: Service, material: Path, tmp_path: Path, given: str, align: dict[str, Any]
) -> None:
    """Cut out exactly, an image is the very image that was inverted before."""
    generate(service.db, service.labels, count=2)
    service.work()
    tiny.write_photographs(tmp_path / "photographs.zip", material / "labels.zip", **{"boxes": False, given: True})
    photographs = upload(service.db, service.objects, tmp_path / "photographs.zip")
    job = generate(service.db, photographs, count=2, align=align)
    service.work()
    ended = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    inversion = get_inversion(service.db, ended.result.inversion, tenant=TENANT)
    assert inversion.info["reused_images"] == 6
    assert inversion.info["align"]["by"] == given
    assert all(row["alignment"]["scale"] == pytest.approx(1) for row in inversion.info["per_image"])
    assert all(row["alignment"]["outside"] == 0 for row in inversion.info["per_image"])
    manifest = json.loads(content(service.db, service.objects, ended.result.dataset, "manifest.json"))
    assert manifest["settings"]["align"]["by"] == given


def test_images_without_what_is_needed_fail_the_job_before_anything_is_inverted(
    service: Service, material: Path, tmp_path: Path
) -> None:
    bare, boxed = tmp_path / "bare.zip", tmp_path / "boxed.zip"
    tiny.write_photographs(boxed, material / "labels.zip")
    with zipfile.ZipFile(boxed) as whole, zipfile.ZipFile(bare, "w") as part:
        for name in whole.namelist():
            rows = whole.read(name)
            if name == "boxes.json":
                document = json.loads(rows)["boxes"]
                rows = json.dumps(
                    {"boxes": {key: document[key] for key in document if key not in ("01", "04")}}
                ).encode()
            part.writestr(name, rows)
    job = generate(service.db, upload(service.db, service.objects, bare), align={"by": "boxes"})
    service.work()
    ended = view(service.db, job)
    assert (ended.state, ended.result.inversion) == ("failed", None)
    assert ended.error is not None
    assert ended.error.code == "bad_label_set"
    assert [problem.pointer for problem in ended.error.problems] == ["01", "04"]
    # A label set that is there already is looked at as well.
    plain = generate(service.db, service.labels, count=2)
    service.work()
    again = generate(service.db, view(service.db, plain).result.label_set, count=2, align=BY_POINTS)
    service.work()
    failed = view(service.db, again).error
    assert failed is not None
    assert {problem.pointer for problem in failed.problems} == {
        "align.keypoints.top_left",
        "align.keypoints.bottom_right",
    }


def test_encoders_learn_from_aligned_images(service: Service, material: Path, tmp_path: Path) -> None:
    tiny.write_photographs(tmp_path / "photographs.zip", material / "labels.zip")
    photographs = upload(service.db, service.objects, tmp_path / "photographs.zip")
    trained = []
    for labels, align in ((service.labels, {}), (photographs, {"by": "boxes"})):
        spec = {"generator": "tiny", "train_on": "labels", "labels": labels, "steps": 2, "align": align}
        job = submit_request(service.db, TrainEncoderSpec.model_validate(spec), tenant=TENANT).job
        service.work()
        trained.append(view(service.db, job).result.encoder)
    assert trained[0] == trained[1], "cut out, they are the images that it was trained on before"
