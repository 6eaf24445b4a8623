"""Downloads: resumed, verified, and never outside of their folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from offhand.errors import ClientError, DownloadFailed, Unreachable
from offhand.sdk.client import Client
from offhand.sdk.downloads import local_path, verify_folder
from offhand.sdk.folders import MARKER, held_folder
from store.database.database import Database
from store.objects import ObjectStore
from store.resources.files import get_file
from store.settings import Settings
from tests.api.worlds import end_job, finish_dataset, keep, shard_bytes
from tests.serving import ApiProcess


@pytest.fixture
def dataset(client: Client, labels: Path, db: Database, objects: ObjectStore) -> str:
    """The id of a finished dataset of two shards."""
    job = client.datasets.generate(labels, "tiny", 20)
    finish_dataset(db, objects, job)
    return str(job["result"]["dataset"])


class Counted(httpx.BaseTransport):
    """Remembers what was asked for; breaks the first ``cuts`` shard downloads off after a few bytes."""

    def __init__(self, cuts: int = 0) -> None:
        self.real, self.cuts = httpx.HTTPTransport(), cuts
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        response = self.real.handle_request(request)
        if self.cuts and "/shards/" in request.url.path:
            self.cuts -= 1
            return httpx.Response(response.status_code, headers=response.headers, stream=Cut(response))
        return response

    def close(self) -> None:
        self.real.close()

    @property
    def shards(self) -> list[httpx.Request]:
        return [request for request in self.requests if "/shards/" in request.url.path]


class Cut(httpx.SyncByteStream):
    def __init__(self, response: httpx.Response) -> None:
        self.response = response

    def __iter__(self) -> Any:
        yield next(iter(self.response.stream))[:50_000]  # type: ignore[arg-type]
        raise httpx.ReadError("cut")

    def close(self) -> None:
        self.response.close()


def test_a_cut_download_goes_on_by_itself(server: ApiProcess, dataset: str, tmp_path: Path) -> None:
    transport = Counted(cuts=2)
    with Client(server.url, transport=transport) as client:
        folder = client.datasets.download(dataset, tmp_path / "heads")
    assert (folder / "shards" / "000000.tar").read_bytes() == shard_bytes(0)
    ranges = [request.headers.get("range") for request in transport.shards]
    assert ranges[0] is None
    assert ranges[1] is not None
    assert not list(folder.rglob("*.part"))


def interrupted(folder: Path, dataset: str) -> Path:
    """A folder as an interrupted download of the dataset leaves it, without any file yet."""
    (folder / "shards").mkdir(parents=True)
    (folder / MARKER).write_text(json.dumps({"dataset": dataset}))
    return folder


def test_a_second_call_goes_on_where_the_first_stopped(server: ApiProcess, dataset: str, tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "heads", dataset)
    (folder / "shards" / "000000.tar").write_bytes(shard_bytes(0))
    (folder / "shards" / "000001.tar.part").write_bytes(shard_bytes(1)[:1000])
    transport = Counted()
    with Client(server.url, transport=transport) as client:
        client.datasets.download(dataset, folder)
        assert [request.headers.get("range") for request in transport.shards] == ["bytes=1000-"]
        client.datasets.download(dataset, folder)
        assert len(transport.shards) == 1
    assert (folder / "shards" / "000001.tar").read_bytes() == shard_bytes(1)


def test_a_part_that_is_wrong_is_fetched_anew(client: Client, dataset: str, tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "heads", dataset)
    (folder / "shards" / "000000.tar.part").write_bytes(b"something else")
    (folder / "shards" / "000001.tar").write_bytes(b"damaged")
    client.datasets.download(dataset, folder)
    verify_folder(folder)


def test_what_the_service_has_damaged_is_refused(
    client: Client, dataset: str, db: Database, settings: Settings, tmp_path: Path
) -> None:
    key = get_file(db, dataset, "shards/000001.tar", tenant="local").key
    stored = settings.objects_folder / key
    content = bytearray(stored.read_bytes())
    content[5000] ^= 1
    stored.write_bytes(content)
    with pytest.raises(ClientError, match=r"shards/000001\.tar of ds_\w+ is damaged"):
        client.datasets.download(dataset, tmp_path / "heads")
    assert not (tmp_path / "heads" / "manifest.json").exists()


class Flipped(Counted):
    """Flips a bit in the last byte of the first ``flips`` shards that come whole."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if not self.flips or "/shards/" not in request.url.path:
            return response
        self.flips -= 1
        content = response.read()
        spoiled = content[:-1] + bytes([content[-1] ^ 1])
        return httpx.Response(response.status_code, headers=response.headers, content=spoiled)

    flips = 0


def test_flipped_bit_on_the_way_is_fetched_again(server: ApiProcess, dataset: str, tmp_path: Path) -> None:
    transport = Flipped()
    transport.flips = 2
    with Client(server.url, transport=transport) as client:
        folder = client.datasets.download(dataset, tmp_path / "heads")
    assert (folder / "shards" / "000000.tar").read_bytes() == shard_bytes(0)
    verify_folder(folder)


def test_bytes_that_come_wrong_each_time_are_not_kept(server: ApiProcess, dataset: str, tmp_path: Path) -> None:
    transport = Flipped()
    transport.flips = 100
    with (
        Client(server.url, transport=transport) as client,
        pytest.raises(DownloadFailed, match="not what the service promises"),
    ):
        client.datasets.download(dataset, tmp_path / "heads")
    assert not list((tmp_path / "heads" / "shards").iterdir())


def test_progress_reaches_the_total(client: Client, dataset: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    client.datasets.download(dataset, tmp_path / "heads", lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > len(shard_bytes(0)) + len(shard_bytes(1))
    assert seen == sorted(seen)


def test_two_datasets_do_not_share_a_folder(client: Client, dataset: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"dataset": "ds_other"}))
    with pytest.raises(DownloadFailed, match="ds_other"):
        client.datasets.download(dataset, tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name", ["README.md", "manifest.json", "statistics.json", ".gitignore", "notes/a.txt", "shards/000000.tar"]
)
def test_a_folder_with_other_files_is_refused_and_left_as_it_is(
    client: Client, dataset: str, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "project"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    before = contents(folder)
    with pytest.raises(DownloadFailed, match="not empty") as refused:
        client.datasets.download(dataset, folder)
    assert "--overwrite" in str(refused.value)
    assert contents(folder) == before


def test_overwrite_replaces_listed_files_and_keeps_the_others(client: Client, dataset: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    client.datasets.download(dataset, tmp_path, overwrite=True)
    verify_folder(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    client.datasets.download(dataset, tmp_path)


def test_overwrite_leaves_no_shard_of_the_dataset_it_replaces(
    client: Client, dataset: str, labels: Path, db: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    job = client.datasets.generate(labels, "tiny", 30)
    finish_dataset(db, objects, job, shards=3)
    folder = client.datasets.download(job["result"]["dataset"], tmp_path / "heads")
    with pytest.raises(DownloadFailed, match=f"already holds {job['result']['dataset']}"):
        client.datasets.download(dataset, folder)
    client.datasets.download(dataset, folder, overwrite=True)
    assert sorted(path.name for path in (folder / "shards").iterdir()) == ["000000.tar", "000001.tar"]


def test_a_finished_download_is_repaired_and_leaves_no_marker(client: Client, dataset: str, tmp_path: Path) -> None:
    folder = client.datasets.download(dataset, tmp_path / "heads")
    (folder / "shards" / "000001.tar").write_bytes(b"damaged")
    client.datasets.download(dataset, folder)
    verify_folder(folder)
    assert not (folder / MARKER).exists()


def test_a_second_download_into_the_same_folder_is_refused(client: Client, dataset: str, tmp_path: Path) -> None:
    with held_folder(tmp_path / "heads", dataset), pytest.raises(DownloadFailed, match="another process"):
        client.datasets.download(dataset, tmp_path / "heads")
    assert not (tmp_path / "heads").exists(), "nothing was fetched, so nothing stays"
    client.datasets.download(dataset, tmp_path / "heads")


def test_an_export_does_not_replace_another_file(
    client: Client, dataset: str, db: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    content = made_export(client, dataset, db, objects)
    target = tmp_path / "heads.zip"
    target.write_bytes(b"mine")
    with pytest.raises(DownloadFailed, match="another file"):
        client.datasets.download_export(dataset, "coco", target)
    assert target.read_bytes() == b"mine"
    client.datasets.download_export(dataset, "coco", target, overwrite=True)
    assert target.read_bytes() == content
    client.datasets.download_export(dataset, "coco", target)


@pytest.mark.parametrize("path", ["../x.tar", "/etc/x.tar", "shards/../../x", "", "."])
def test_a_manifest_cannot_write_elsewhere(tmp_path: Path, path: str) -> None:
    with pytest.raises(DownloadFailed, match="outside"):
        local_path(tmp_path, path)


def test_a_folder_that_cannot_be_written(client: Client, dataset: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadFailed, match="cannot write"):
        client.datasets.download(dataset, tmp_path / "file" / "heads")


def test_a_service_that_stays_away_is_told(server: ApiProcess, dataset: str, tmp_path: Path) -> None:
    transport = Counted(cuts=99)
    with Client(server.url, transport=transport) as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr("offhand.sdk.downloads.time.sleep", lambda _: None)
        with pytest.raises(Unreachable, match="run it again"):
            client.datasets.download(dataset, tmp_path / "heads")
    assert list((tmp_path / "heads").rglob("*.part"))


def test_verify_names_every_damaged_file(client: Client, dataset: str, tmp_path: Path) -> None:
    folder = client.datasets.download(dataset, tmp_path / "heads")
    verify_folder(folder)
    (folder / "shards" / "000000.tar").unlink()
    (folder / "shards" / "000001.tar").write_bytes(b"short")
    with pytest.raises(DownloadFailed) as failure:
        verify_folder(folder)
    assert [line.partition(":")[0] for line in failure.value.lines] == ["shards/000000.tar", "shards/000001.tar"]
    with pytest.raises(ClientError, match=r"manifest\.json"):
        verify_folder(tmp_path)


def made_export(client: Client, dataset: str, db: Database, objects: ObjectStore) -> bytes:
    content = shard_bytes(7)
    job = client.datasets.export(dataset, "coco")
    keep(db, objects, dataset, "exports/coco.zip", content, "application/zip")
    with db.write() as connection:
        end_job(connection, job["id"], "succeeded")
    return content


def test_an_export_is_fetched_and_resumed(
    server: ApiProcess, client: Client, dataset: str, db: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    target = tmp_path / "out" / "heads.zip"
    with pytest.raises(ClientError, match=f"offhand export {dataset} --format coco"):
        client.datasets.download_export(dataset, "coco", target)
    content = made_export(client, dataset, db, objects)
    target.parent.mkdir()
    (tmp_path / "out" / "heads.zip.part").write_bytes(content[:100_000])
    counted = Counted()
    with Client(server.url, transport=counted) as other:
        assert other.datasets.download_export(dataset, "coco", target) == target
    assert target.read_bytes() == content
    assert counted.requests[-1].headers["range"] == "bytes=100000-"


def test_a_damaged_export_is_not_kept(
    client: Client, dataset: str, db: Database, objects: ObjectStore, settings: Settings, tmp_path: Path
) -> None:
    content = made_export(client, dataset, db, objects)
    key = get_file(db, dataset, "exports/coco.zip", tenant="local").key
    path = settings.objects_folder / key
    path.chmod(0o644)
    path.write_bytes(content[:-1] + b"!")
    with pytest.raises(ClientError, match=r"exports/coco\.zip of ds_\w+ is damaged"):
        client.datasets.download_export(dataset, "coco", tmp_path / "heads.zip")
    assert not (tmp_path / "heads.zip").exists()
