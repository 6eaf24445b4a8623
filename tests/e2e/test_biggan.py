"""A BigGAN checkpoint through HTTP: import, samples of each class, labels, a dataset and its export."""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from core.datasets.shards import read_shard
from core.torchvision_import import import_torchvision
from tests.core.generators.biggan import small
from tests.core.generators.biggan.test_checkpoints import state_of
from tests.e2e.processes import TERMINAL, service
from tests.e2e.test_second_family import Http

pytestmark = pytest.mark.slow

NAME = "creatures"
SAMPLING = {"truncation": 0.8}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    folder = tmp_path_factory.mktemp("biggan")
    torch.save(state_of(small.generator()), folder / "G_ema.pth")
    (folder / "shipped").mkdir()
    (folder / "weights").mkdir()
    classifier = import_torchvision().models.squeezenet1_1(weights=None, num_classes=len(small.CLASSES))
    torch.save(classifier.state_dict(), folder / "weights" / "squeezenet1_1.pth")
    started = service(folder / "data", folder / "shipped", OFFHAND_WORKER__WEIGHTS=str(folder / "weights"))
    with started as up, httpx.Client(base_url=up.url, timeout=30) as client:
        http = Http(client, folder / "data")
        source = http.upload((folder / "G_ema.pth").read_bytes(), "G_ema.pth")
        body = {"source": source, "name": NAME, "classes": list(small.CLASSES), "answers": {"norm_eps": 1e-4}}
        http.done(http.post("/v1/generators", body))
        yield http


def labelled(http: Http, samples: str) -> bytes:
    """The samples with masks of what is brighter than the mean."""
    target = io.BytesIO()
    archive = zipfile.ZipFile(io.BytesIO(http.get(f"/v1/sample-sets/{samples}/archive").content))
    with archive, zipfile.ZipFile(target, "w") as labels:
        for path in (name for name in archive.namelist() if name.startswith("images/")):
            content = archive.read(path)
            grey = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
            mask = io.BytesIO()
            Image.fromarray((grey > grey.mean()).astype(np.uint8)).save(mask, "PNG")
            labels.writestr(path, content)
            labels.writestr(path.replace("images/", "masks/"), mask.getvalue())
        labels.writestr("classes.json", json.dumps(["dark", "bright"]))
    return target.getvalue()


def samples_of(http: Http, **more: object) -> str:
    body = {"generator": NAME, "count": 9, "seed": 4, "sampling": SAMPLING, **more}
    return str(http.done(http.post("/v1/sample-sets", body))["result"]["samples"])


def test_the_import_report_names_family_architecture_and_what_was_assumed(http: Http) -> None:
    found = http.get(f"/v1/generators/{NAME}").json()
    assert (found["family"], found["report"]["architecture"]) == ("biggan", "biggan")
    assert (found["height"], found["classes"], found["labelled_by"]) == (16, list(small.CLASSES), ["samples"])
    assert found["report"]["config"]["norm_eps"] == 1e-4
    assert any("spectral_eps" in note for note in found["report"]["notes"])
    assert sorted(found["settings_schema"]["properties"]) == ["distribution", "statistics", "truncation"]


def test_an_interpreter_is_trained_and_labels_a_dataset_of_several_classes(http: Http) -> None:
    samples = samples_of(http)
    labels = http.upload(labelled(http, samples), "labelled.zip")
    body = {
        "kind": "generate", "labels": labels, "generator": NAME, "count": 6, "seed": 7, "samples": samples,
        "sampling": SAMPLING, "labeler": {"method": "interpreter", "members": 3, "max_steps": 4},
    }  # fmt: skip
    result = http.done(http.post("/v1/jobs", body))["result"]
    assert http.get(f"/v1/datasets/{result['dataset']}/manifest").json()["count"] == 6
    report = http.get(f"/v1/labelers/{result['labeler']}").json()["report"]
    assert (report["settings"]["method"], report["settings"]["heads"], report["steps"]) == ("interpreter", 3, 4)
    refused = http.post("/v1/jobs", body | {"labeler": {"method": "interpreter", "hidden": [8]}}, 422)
    assert "hidden: not for the method interpreter" in json.dumps(refused)


def test_a_classifier_chooses_the_samples(http: Http) -> None:
    plain = http.images(samples_of(http, count=3))
    chosen = samples_of(http, count=3, rejection={"classifier": "squeezenet1_1", "rate": 0.75})
    assert (http.images(chosen) != plain).any()
    body = {"generator": NAME, "count": 2, "rejection": {"classifier": "resnet18"}}
    job = http.post("/v1/sample-sets", body)
    while job["state"] not in TERMINAL:
        time.sleep(0.1)
        job = http.get(f"/v1/jobs/{job['id']}").json()
    assert job["state"] == "failed"
    assert "no resnet18.pth" in json.dumps(job["error"])


def test_photographs_are_refused_at_the_request(http: Http) -> None:
    labels = http.upload(labelled(http, samples_of(http)), "photographs.zip")
    refused = http.post("/v1/jobs", {"kind": "generate", "labels": labels, "generator": NAME, "count": 2}, 422)
    assert "family biggan cannot invert photographs" in json.dumps(refused)


def test_samples_are_drawn_of_named_classes_in_turn_with_a_table_of_their_classes(http: Http) -> None:
    samples = samples_of(http, count=None, images_per_class=2, classes=["cat", 0])
    archive = zipfile.ZipFile(io.BytesIO(http.get(f"/v1/sample-sets/{samples}/archive").content))
    rows = list(csv.DictReader(io.StringIO(archive.read("image_classes.csv").decode())))
    assert [(row["class_index"], row["class"]) for row in rows] == [("2", "cat"), ("0", "ant")] * 2
    assert {f"images/{row['image']}" for row in rows} == {
        name for name in archive.namelist() if name.startswith("images/")
    }


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"classes": ["wasp"]}, "#/classes/0", "no class is named 'wasp'"),
        ({"count": None}, "#/count", "one of count and images_per_class"),
        ({"classes": [1], "class_index": 1}, "#/class_index", "exclude each other"),
        ({"count": None, "images_per_class": 4000}, "#/images_per_class", "at most 5000"),
    ],
)
def test_classes_that_cannot_be_drawn_are_refused_at_the_request(
    http: Http, changes: dict[str, object], pointer: str, words: str
) -> None:
    refused = http.post("/v1/sample-sets", {"generator": NAME, "count": 2, **changes}, 422)
    assert [words in one["detail"] for one in refused["errors"] if one["pointer"] == pointer] == [True]


def test_labelled_samples_become_a_dataset_and_an_export(http: Http, tmp_path: Path) -> None:
    samples = samples_of(http)
    labels = http.upload(labelled(http, samples), "labelled.zip")
    body = {
        "kind": "generate", "labels": labels, "generator": NAME, "count": 12, "seed": 7, "samples": samples,
        "sampling": SAMPLING, "labeler": {"members": 2, "max_steps": 30}, "images_per_class": 4,
        "drop_fraction": 0.5,
    }  # fmt: skip
    dataset = http.done(http.post("/v1/jobs", body))["result"]["dataset"]
    manifest = http.get(f"/v1/datasets/{dataset}/manifest").json()
    assert manifest["settings"]["sampling"] == {**SAMPLING, "distribution": "truncated_normal", "statistics": "auto"}
    shard = http.get(f"/v1/datasets/{dataset}/{manifest['shards'][0]['path']}").content
    drawn = Counter(one.record()["class_index"] for one in read_shard(io.BytesIO(shard), "shard"))
    assert drawn == {0: 4, 1: 4, 2: 4}
    galleries = {file["path"] for file in manifest["files"] if "images-" in file["path"]}
    assert galleries == {f"galleries/images-{index:03d}-{name}.png" for index, name in enumerate(small.CLASSES)}
    too_many = http.post("/v1/jobs", body | {"images_per_class": 5}, 422)
    assert "3 classes need 15 images; count is 12" in json.dumps(too_many)
    http.done(http.post(f"/v1/datasets/{dataset}/exports", {"format": "coco"}))
    (export,) = http.get(f"/v1/datasets/{dataset}/exports").json()["items"]
    content = zipfile.ZipFile(io.BytesIO(http.get(export["url"]).content))
    assert sum(name.endswith(".png") for name in content.namelist()) == 12
