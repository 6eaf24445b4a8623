"""Datasets on their way out: whole, in parts, as one tar, and not before they are finished."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from api.protocol import file_responses
from store import tables
from store.database.database import Database
from store.objects import ObjectStore, verified
from store.resources.datasets import end_dataset_early
from store.resources.files import File, get_file
from tests.api.protocol.test_errors import problem
from tests.api.worlds import CLASSES, INFO, PICTURE, add_labeler, end_job, finish_dataset, keep, shard_bytes

Start = Callable[..., dict[str, Any]]
DOWNLOADS = ("manifest", "shards/000000.tar", "archive", "SHA256SUMS", "contact-sheet", "card")


@pytest.fixture
def ready(start: Start, db: Database, objects: ObjectStore) -> str:
    """The path of a finished dataset of two shards."""
    job = start()
    finish_dataset(db, objects, job)
    return str(job["urls"]["result"])


def test_a_finished_dataset_is_described(http: TestClient, ready: str) -> None:
    dataset = http.get(ready).json()
    assert dataset["state"] == "ready"
    assert dataset["info"] == {"candidates": 60}
    assert http.get("/v1/datasets").json()["items"] == [dataset]
    for name in ("manifest", "archive", "contact_sheet", "card"):
        assert http.get(dataset["urls"][name]).status_code == 200


def test_warnings_and_quality_stand_in_the_dataset_document(
    http: TestClient, start: Start, db: Database, objects: ObjectStore
) -> None:
    job = start()
    path = job["urls"]["result"]
    building = http.get(path).json()
    assert (building["warnings"], building["quality"]) == ([], None)
    earlier = {**INFO, "held_out": {**INFO["held_out"], "images": [3, 7]}}  # as releases before this one kept them
    for name in ("do_not_use", "score", "rare_classes"):
        del earlier[name]
    finish_dataset(db, objects, job, info=INFO)
    dataset = http.get(path).json()
    assert dataset["warnings"] == INFO["warnings"]
    assert dataset["quality"] == {
        "held_out": INFO["held_out"],
        "reconstruction": INFO["inversion"],
        "score": "class_mean",
        "rare_classes": INFO["rare_classes"],
        "do_not_use": INFO["do_not_use"],
    }
    second = start()
    finish_dataset(db, objects, second, info=earlier)
    quality = http.get(second["urls"]["result"]).json()["quality"]
    assert (quality["held_out"], quality["do_not_use"]) == (INFO["held_out"], [])
    assert (quality["score"], quality["rare_classes"]) == (None, [])


def test_every_shard_is_what_the_manifest_says(http: TestClient, ready: str) -> None:
    manifest = http.get(f"{ready}/manifest").json()
    assert manifest["complete"] is True
    for shard in manifest["shards"]:
        answer = http.get(f"{ready}/{shard['path']}")
        assert len(answer.content) == shard["bytes"] == int(answer.headers["content-length"])
        assert sha256(answer.content).hexdigest() == shard["sha256"] == answer.headers["x-content-sha256"]
        assert answer.headers["etag"] == f'"{shard["sha256"]}"'
        assert answer.headers["accept-ranges"] == "bytes"


def test_every_other_file_is_what_the_manifest_says(http: TestClient, ready: str) -> None:
    files = http.get(f"{ready}/manifest").json()["files"]
    assert len(files) == 3
    for file in files:
        assert sha256(http.get(f"{ready}/files/{file['path']}").content).hexdigest() == file["sha256"]
    problem(http.get(f"{ready}/files/../../secret"), 404, "not_found")
    problem(http.get(f"{ready}/files/none.txt"), 404, "not_found")


def test_a_part_is_that_part(http: TestClient, ready: str) -> None:
    whole = shard_bytes(0)
    end = len(whole) - 1
    for header, first, last in (
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=300000-", 300_000, end),
        ("bytes=-100", len(whole) - 100, end),
        ("bytes=-99999999", 0, end),
        ("bytes=0-99999999", 0, end),
    ):
        answer = http.get(f"{ready}/shards/000000.tar", headers={"Range": header})
        assert answer.status_code == 206
        assert answer.content == whole[first : last + 1]
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"
        assert int(answer.headers["content-length"]) == last + 1 - first


def test_a_range_that_means_nothing_gives_the_whole(http: TestClient, ready: str) -> None:
    for header in (
        "bytes=5-2",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "items=0-1",
        "bytes=0-1,5-6",
        "bytes=٣-",
        "bytes=0x1-2",
    ):
        answer = http.get(f"{ready}/shards/000000.tar", headers={"Range": header.encode()})
        assert answer.status_code == 200, header
        assert answer.content == shard_bytes(0)


def test_a_range_outside_is_416(http: TestClient, ready: str) -> None:
    for header in ("bytes=99999999-", "bytes=-0"):
        answer = http.get(f"{ready}/shards/000000.tar", headers={"Range": header})
        problem(answer, 416, "range_not_satisfiable")
        assert answer.headers["content-range"] == f"bytes */{len(shard_bytes(0))}"


def test_if_range_starts_over_when_the_content_is_another(http: TestClient, ready: str) -> None:
    path = f"{ready}/shards/000000.tar"
    etag = http.head(path).headers["etag"]
    assert http.get(path, headers={"Range": "bytes=5-", "If-Range": etag}).status_code == 206
    assert http.get(path, headers={"Range": "bytes=5-", "If-Range": '"other"'}).content == shard_bytes(0)
    assert http.get(path, headers={"If-None-Match": etag}).status_code == 304


def test_head_says_the_size_without_the_bytes(http: TestClient, ready: str) -> None:
    for name in DOWNLOADS:
        head, get = http.head(f"{ready}/{name}"), http.get(f"{ready}/{name}")
        assert head.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == str(len(get.content))
        assert head.headers["etag"] == get.headers["etag"]


def test_the_archive_holds_everything_and_its_own_check(http: TestClient, ready: str) -> None:
    answer = http.get(f"{ready}/archive")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.content == http.get(f"{ready}/archive?format=webdataset").content
    dataset = ready.rpartition("/")[2]
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        files = {m.name.removeprefix(f"{dataset}/"): tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    assert set(files) == {
        "SHA256SUMS",
        "manifest.json",
        "README.md",
        "contact_sheet.png",
        "statistics.json",
        "shards/000000.tar",
        "shards/000001.tar",
    }
    sums = dict(reversed(line.split("  ")) for line in files.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: sha256(content).hexdigest() for name, content in files.items()}


def test_an_archive_can_be_resumed_anywhere(http: TestClient, ready: str) -> None:
    whole = http.get(f"{ready}/archive").content
    for start in (1, 511, 512, 100_000, len(whole) - 1):
        answer = http.get(f"{ready}/archive", headers={"Range": f"bytes={start}-"})
        assert answer.status_code == 206
        assert answer.content == whole[start:]


def test_the_archive_as_a_zip(http: TestClient, ready: str) -> None:
    answer = http.get(f"{ready}/archive?container=zip")
    assert answer.headers["content-type"] == "application/zip"
    assert int(answer.headers["content-length"]) == len(answer.content)
    dataset = ready.rpartition("/")[2]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = {name.removeprefix(f"{dataset}/"): archive.read(name) for name in archive.namelist()}
    tarred = http.get(f"{ready}/archive?container=tar")
    assert tarred.headers["etag"] != answer.headers["etag"]
    with tarfile.open(fileobj=io.BytesIO(tarred.content)) as tar:
        assert files == {m.name.removeprefix(f"{dataset}/"): tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    assert files["SHA256SUMS"] == http.get(f"{ready}/SHA256SUMS").content
    half = len(answer.content) // 2
    resumed = {"Range": f"bytes={half}-", "If-Range": answer.headers["etag"]}
    assert http.get(f"{ready}/archive?container=zip", headers=resumed).content == answer.content[half:]
    document = problem(http.get(f"{ready}/archive?format=coco&container=tar"), 422, "invalid_request")
    assert document["errors"][0]["pointer"] == "query:container"


def test_an_unknown_format_is_refused(http: TestClient, ready: str) -> None:
    document = problem(http.get(f"{ready}/archive?format=zip"), 422, "invalid_request")
    assert document["errors"][0]["pointer"] == "query:format"


def test_nothing_is_downloaded_before_the_end(http: TestClient, start: Start) -> None:
    job = start()
    for name in DOWNLOADS:
        document = problem(http.get(f"{job['urls']['result']}/{name}"), 409, "not_ready")
        assert job["id"] in document["detail"]


def test_expired_data_is_gone(http: TestClient, ready: str, db: Database) -> None:
    with db.write() as connection:
        connection.execute(update(tables.datasets).values(expires_at=datetime(2020, 1, 1, tzinfo=UTC).timestamp()))
    for name in DOWNLOADS:
        problem(http.get(f"{ready}/{name}"), 410, "gone")


def test_what_is_finished_of_a_canceled_job_stays_readable(
    http: TestClient, start: Start, db: Database, objects: ObjectStore
) -> None:
    job = start()
    keep(db, objects, job["id"], "shards/000000.tar", shard_bytes(0), "application/x-tar", items=10)
    with db.write() as connection:
        end_dataset_early(connection, job["id"])
        end_job(connection, job["id"], "canceled")
    path = job["urls"]["result"]
    manifest = http.get(f"{path}/manifest").json()
    assert manifest["complete"] is False
    assert [shard["path"] for shard in manifest["shards"]] == ["shards/000000.tar"]
    assert http.get(f"{path}/shards/000000.tar").content == shard_bytes(0)
    with tarfile.open(fileobj=io.BytesIO(http.get(f"{path}/archive").content)) as tar:
        assert sorted(name.partition("/")[2] for name in tar.getnames()) == [
            "SHA256SUMS",
            "manifest.json",
            "shards/000000.tar",
        ]
    problem(http.get(f"{path}/card"), 409, "not_ready")


def test_a_shard_that_is_not_there(http: TestClient, ready: str) -> None:
    for name in ("000009.tar", "..%2f..%2fmanifest.json", "a" * 5000):
        problem(http.get(f"{ready}/shards/{name}"), 404, "not_found")


def test_a_labeler_shows_what_it_learnt_from(http: TestClient, db: Database, objects: ObjectStore) -> None:
    generator = http.get("/v1/generators/tiny").json()
    labeler_id = add_labeler(db, objects, generator["id"])
    labeler = http.get(f"/v1/labelers/{labeler_id}").json()
    assert labeler["report"] == {"miou": 0.8}
    assert labeler["inversion_report"] == {"mean_psnr": 21.5}
    assert labeler["generator"] == generator["id"]
    assert http.get("/v1/labelers").json()["items"] == [labeler]
    (picture,) = labeler["pictures"]
    answer = http.get(picture["url"])
    assert answer.content == PICTURE
    assert answer.headers["content-type"] == "image/png"
    assert sha256(PICTURE).hexdigest() == picture["sha256"]
    problem(http.get(f"/v1/labelers/{labeler_id}/pictures/report.json"), 404, "not_found")
    label_set = http.get(f"/v1/label-sets/{labeler['label_set']}").json()
    assert label_set["info"] == {"images": 2, "classes": CLASSES}
    problem(http.get(label_set["preview"]), 404, "not_found")
    keep(db, objects, label_set["id"], "preview.png", PICTURE, "image/png")
    assert http.get(label_set["preview"]).content == PICTURE
    assert len(http.get("/v1/label-sets").json()["items"]) == 1


def test_generators_are_listed_without_a_worker(http: TestClient) -> None:
    (generator,) = http.get("/v1/generators").json()["items"]
    assert generator["name"] == "tiny"
    assert (generator["height"], generator["width"], generator["licence"]) == (64, 64, "CC0-1.0")
    assert http.get(f"/v1/generators/{generator['id']}").json() == generator


def _stored(db: Database, dataset: str, name: str) -> File:
    return get_file(db, dataset.rpartition("/")[2], name, tenant="local")


def _flip(objects: ObjectStore, file: File) -> None:
    content = bytearray(verified.read(objects, file))
    content[len(content) // 2] ^= 1
    objects.delete(file.key)
    objects.put(file.key, bytes(content))


@pytest.mark.parametrize("how", ["GET", "HEAD", "range"])
def test_vanished_shard_is_named_without_its_object_key_and_marks_the_dataset(
    http: TestClient, db: Database, objects: ObjectStore, ready: str, how: str
) -> None:
    file = _stored(db, ready, "shards/000001.tar")
    objects.delete(file.key)
    headers = {"Range": "bytes=5-9"} if how == "range" else {}
    answer = http.request("HEAD" if how == "HEAD" else "GET", f"{ready}/shards/000001.tar", headers=headers)
    assert answer.status_code == 404
    if how != "HEAD":
        document = problem(answer, 404, "damaged_object")
        assert "shards/000001.tar" in document["detail"]
        assert file.key not in answer.text
    dataset = http.get(ready).json()
    assert [one["path"] for one in dataset["damaged"]] == ["shards/000001.tar"]
    assert file.key not in str(dataset)
    assert http.get(f"{ready}/shards/000000.tar").status_code == 200, "the rest can still be fetched"


def test_flipped_bit_in_a_small_file_is_found_before_a_byte_is_sent(
    http: TestClient, db: Database, objects: ObjectStore, ready: str
) -> None:
    _flip(objects, _stored(db, ready, "manifest.json"))
    problem(http.get(f"{ready}/manifest"), 404, "damaged_object")
    problem(http.get(f"{ready}/manifest", headers={"Range": "bytes=0-1"}), 404, "damaged_object")


@pytest.mark.parametrize("path", ["shards/000000.tar", "archive", "archive?container=zip"])
def test_flipped_bit_in_a_large_file_breaks_the_download_off(
    http: TestClient, db: Database, objects: ObjectStore, ready: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_responses, "VERIFIED_FIRST", 100_000)
    _flip(objects, _stored(db, ready, "shards/000000.tar"))
    answer = http.get(f"{ready}/{path}")
    assert len(answer.content) < int(answer.headers["content-length"]), "no reader takes it for whole"
    assert [one["path"] for one in http.get(ready).json()["damaged"]] == ["shards/000000.tar"]


@pytest.mark.parametrize("large", [False, True])
def test_list_marks_a_broken_dataset_until_its_file_is_whole_again(
    http: TestClient, db: Database, objects: ObjectStore, ready: str, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(file_responses, "VERIFIED_FIRST", 0)
    files = [_stored(db, ready, f"shards/{number:06d}.tar") for number in (0, 1)]
    contents = [verified.read(objects, file) for file in files]

    def damaged() -> list[str]:
        (dataset,) = http.get("/v1/datasets").json()["items"]
        return [one["path"] for one in dataset["damaged"]]

    for file in files:
        objects.delete(file.key)
        assert http.get(f"{ready}/{file.name}").status_code == 404
    assert damaged() == [file.name for file in files]
    objects.put(files[0].key, contents[0])
    assert damaged() == [file.name for file in files], "nothing has read the file since"
    assert http.get(f"{ready}/{files[0].name}").content == contents[0]
    assert damaged() == [files[1].name]
    objects.put(files[1].key, contents[1])
    assert http.get(f"{ready}/archive").status_code == 200
    assert damaged() == []
