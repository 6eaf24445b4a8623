"""A second generator family through HTTP, from its upload to an export. Programs have one more line in the registry."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.generators.files import WEIGHTS, save_generator
from core.image_arrays import pictures
from core.run import Run
from tests.e2e.processes import JOB_SECONDS, TERMINAL, service
from tests.families.awkward.family import CLASSES, HEIGHT, WIDTH, random_generator
from tests.families.overlay import write_overlay

NAME, COUNT = "odd", 8
SAMPLING = {"temperature": 0.8}
LABELER = {"members": 2, "max_steps": 30}


@dataclass(frozen=True)
class Http:
    """Requests to a running service, which keeps its data in `data`."""

    client: httpx.Client
    data: Path

    def post(self, path: str, body: dict[str, Any], status: int = 202) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path, follow_redirects=True).raise_for_status()

    def done(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job at its end, which must be a success."""
        deadline = time.monotonic() + JOB_SECONDS
        while job["state"] not in TERMINAL:
            assert time.monotonic() < deadline, job
            time.sleep(0.1)
            job = self.get(f"/v1/jobs/{job['id']}").json()
        assert job["state"] == "succeeded", job["error"]
        return job

    def upload(self, content: bytes, filename: str) -> str:
        query = {"filename": filename, "sha256": hashlib.sha256(content).hexdigest()}
        headers = {"Content-Type": "application/octet-stream"}
        answer = self.client.post("/v1/uploads", params=query, content=content, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def samples(self, seed: int, **more: Any) -> str:
        body = {"generator": NAME, "count": 8, "seed": seed, "sampling": SAMPLING, **more}
        return str(self.done(self.post("/v1/sample-sets", body))["result"]["samples"])

    def images(self, samples: str) -> NDArray[np.uint8]:
        """The samples, uint8 [N, H, W, 3]."""
        archive = zipfile.ZipFile(io.BytesIO(self.get(f"/v1/sample-sets/{samples}/archive").content))
        names = sorted(name for name in archive.namelist() if name.startswith("images/"))
        return np.stack([np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names])

    def labelled(self, samples: str) -> bytes:
        """An archive of the samples with masks of what is brighter than the mean."""
        target = io.BytesIO()
        archive = zipfile.ZipFile(io.BytesIO(self.get(f"/v1/sample-sets/{samples}/archive").content))
        with archive, zipfile.ZipFile(target, "w") as labels:
            for path in (name for name in archive.namelist() if name.startswith("images/")):
                content = archive.read(path)
                with Image.open(io.BytesIO(content)) as image:
                    assert image.size == (WIDTH, HEIGHT)
                    grey = np.asarray(image.convert("L"))
                mask = io.BytesIO()
                Image.fromarray((grey > grey.mean()).astype(np.uint8)).save(mask, "PNG")
                labels.writestr(path, content)
                labels.writestr(path.replace("images/", "masks/"), mask.getvalue())
            labels.writestr("classes.json", json.dumps(["dark", "bright"]))
        return target.getvalue()


@pytest.fixture(scope="module")
def http(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    folder = tmp_path_factory.mktemp("second_family")
    programs = write_overlay(repository, folder / "programs")
    save_generator(folder / "generator", random_generator())
    (folder / "shipped").mkdir()
    with (
        service(folder / "data", folder / "shipped", folder=programs, PYTHONPATH=str(programs)) as up,
        httpx.Client(base_url=up.url, timeout=30) as client,
    ):
        http = Http(client, folder / "data")
        source = http.upload((folder / "generator" / WEIGHTS).read_bytes(), "odd.safetensors")
        job = http.post("/v1/generators", {"source": source, "name": NAME, "classes": ["ant", "bee", "cat"]})
        http.done(job)
        yield http


@pytest.fixture(scope="module")
def samples(http: Http) -> str:
    return http.samples(4)


def test_the_imported_generator_names_family_classes_and_settings(http: Http) -> None:
    found = http.get(f"/v1/generators/{NAME}").json()
    assert (found["family"], found["height"], found["width"]) == ("awkward", HEIGHT, WIDTH)
    assert found["classes"] == ["ant", "bee", "cat"]
    assert found["labelled_by"] == ["samples"]
    assert found["settings_schema"]["properties"]["temperature"]["maximum"] == 2
    assert found["report"]["format"] == "offhand"
    assert http.get(found["preview"]).content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"sampling": {"heat": 1}}, "#/sampling/heat", "this generator has: temperature"),
        ({"sampling": {"temperature": 3}}, "#/sampling/temperature", "3 is greater than the maximum of 2"),
        ({"truncation_psi": 0.5}, "#/truncation_psi", "this generator has: temperature"),
        ({"class_index": CLASSES}, "#/class_index", f"expected 0 to {CLASSES - 1}"),
    ],
)
def test_settings_that_the_family_does_not_have_are_refused_at_the_request(
    http: Http, changes: dict[str, Any], pointer: str, words: str
) -> None:
    refused = http.post("/v1/sample-sets", {"generator": NAME, "count": 2, **changes}, 422)
    (error,) = refused["errors"]
    assert error["pointer"] == pointer
    assert words in error["detail"]


def test_photographs_are_refused_at_the_request(http: Http, samples: str) -> None:
    labels = http.upload(http.labelled(samples), "photographs.zip")
    refused = http.post("/v1/jobs", {"kind": "generate", "labels": labels, "generator": NAME, "count": 2}, 422)
    (error,) = refused["errors"]
    assert error["pointer"] == "#/generator"
    assert (
        "family awkward cannot invert photographs; label drawn samples instead: POST /v1/sample-sets" in error["detail"]
    )
    body = {"generator": NAME, "labels": labels, "train_on": "labels"}
    assert "cannot invert photographs" in json.dumps(http.post("/v1/encoders", body, 422))


def test_samples_of_one_class_have_that_class(http: Http) -> None:
    generator = random_generator()
    sampler = generator.bind(SAMPLING, generator.prepare(SAMPLING, Run()).to_bytes())
    for index in (0, 2):
        drawn = pictures(sampler.synthesize(sampler.draw(4, range(8), [index] * 8)).image).numpy()
        found = http.images(http.samples(4, class_index=index))
        assert np.abs(found.astype(int) - drawn).max() <= 1


def test_damaged_statistics_are_computed_again(http: Http, samples: str) -> None:
    stored = list((http.data / "objects").glob("**/*-statistics"))
    assert stored
    for path in stored:
        path.chmod(0o644)
        path.write_bytes(bytes(path.stat().st_size))
    assert np.array_equal(http.images(http.samples(4)), http.images(samples))


def test_from_labelled_samples_to_dataset_evaluation_and_export(http: Http, samples: str) -> None:
    labels = http.upload(http.labelled(samples), "labelled.zip")
    body = {
        "kind": "generate", "labels": labels, "generator": NAME, "count": COUNT, "seed": 7, "samples": samples,
        "sampling": SAMPLING, "labeler": LABELER,
    }  # fmt: skip
    job = http.done(http.post("/v1/jobs", body))
    dataset = job["result"]["dataset"]
    manifest = http.get(f"/v1/datasets/{dataset}/manifest").json()
    assert (manifest["count"], manifest["settings"]["sampling"]) == (COUNT, SAMPLING)
    assert "truncation_psi" not in manifest["settings"]
    members = _members(http.get(f"/v1/datasets/{dataset}/{manifest['shards'][0]['path']}").content)
    record = json.loads(members["json"])
    assert (record["family"], record["sampling"]) == ("awkward", SAMPLING)
    assert record["class_index"] in range(CLASSES)
    assert np.load(io.BytesIO(members["code.z.npy"])).shape == (5,)
    tokens = np.load(io.BytesIO(members["code.tokens.npy"]))
    assert (tokens.dtype, tokens.shape) == (np.int16, (3, 5))

    held_out = http.upload(http.labelled(http.samples(9)), "held_out.zip")
    asked = {"dataset": dataset, "labels": held_out, "repeats": 1, "steps": 2}
    evaluation = http.done(http.post("/v1/evaluations", asked))["id"]
    gates = {gate["name"]: gate for gate in http.get(f"/v1/evaluations/{evaluation}/report.json").json()["gates"]}
    assert gates["regeneration"]["state"] == "passed", gates["regeneration"]

    http.done(http.post(f"/v1/datasets/{dataset}/exports", {"format": "coco"}))
    (export,) = http.get(f"/v1/datasets/{dataset}/exports").json()["items"]
    content = zipfile.ZipFile(io.BytesIO(http.get(export["url"]).content))
    assert sum(name.endswith(".png") for name in content.namelist()) == COUNT


def test_another_temperature_needs_a_statistic_and_a_labeler_of_its_own(http: Http, samples: str) -> None:
    labels = http.upload(http.labelled(samples), "labelled.zip")
    body = {
        "kind": "generate", "labels": labels, "generator": NAME, "count": 2, "seed": 7, "samples": samples,
        "labeler": LABELER, "force": True,
    }  # fmt: skip
    job = http.post("/v1/jobs", body | {"sampling": {"temperature": 2.0}})
    deadline = time.monotonic() + JOB_SECONDS
    while job["state"] not in TERMINAL and time.monotonic() < deadline:
        time.sleep(0.1)
        job = http.get(f"/v1/jobs/{job['id']}").json()
    assert (job["state"], job["error"]["code"]) == ("failed", "inversion_failed"), (
        "the images are of another temperature"
    )


def _members(shard: bytes) -> dict[str, bytes]:
    """Files of the first sample of a shard, by suffix."""
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(shard)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found.setdefault(member.name.partition(".")[2], file.read())
    return found
