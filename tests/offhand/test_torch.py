"""A dataset as a PyTorch stream: every sample once, disjoint for workers and ranks, resumable, verified."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from core.datasets.samples import encode_sample
from core.datasets.shard_index import index_bytes, index_path, read_index
from core.datasets.shards import ShardWriter, shard_path
from offhand.documents import Job
from offhand.errors import ClientError, DownloadFailed
from offhand.sdk.client import Client
from offhand.torch import DatasetStream, groups_of
from store.database.database import Database
from store.objects import ObjectStore
from store.resources import datasets
from store.resources.dataset_reports import DatasetReport
from tests.api.worlds import end_job, finish_dataset, keep

COUNT = 150


@pytest.fixture(scope="module")
def content() -> tuple[bytes, bytes]:
    """A shard of samples whose pixels show their index, and its index."""
    file, path = io.BytesIO(), shard_path(0)
    writer = ShardWriter(file, path)
    colours = np.zeros((256, 3), np.uint8)
    for index in range(COUNT):
        image, mask = np.full((4, 6, 3), index, np.uint8), np.full((4, 6), index % 3, np.uint8)
        record = {"index": index, "uncertainty": 0.0, "keypoints": [[1.0, 2.0, 2.0, 0.5]]}
        depth = np.full((4, 6), index / 2, np.float32)
        writer.write(index, encode_sample(image, mask, np.zeros(2, np.float32), record, colours, depth=depth))
    entry = writer.finish()
    return file.getvalue(), index_bytes(path, entry.samples)


Finish = Callable[[bytes], str]


@pytest.fixture
def finish(client: Client, labels: Path, db: Database, objects: ObjectStore, content: tuple[bytes, bytes]) -> Finish:
    """Return a function that makes a dataset of the shard with the given index and returns its id."""

    def finish(index: bytes) -> str:
        job = client.datasets.generate(labels, "tiny", COUNT)
        _keep_dataset(db, objects, job, content[0], index)
        return str(job["result"]["dataset"])

    return finish


@pytest.fixture
def dataset(finish: Finish, content: tuple[bytes, bytes]) -> str:
    return finish(content[1])


def _keep_dataset(db: Database, objects: ObjectStore, job: Job, shard: bytes, index: bytes) -> None:
    dataset_id = job["result"]["dataset"]
    keep(db, objects, dataset_id, shard_path(0), shard, "application/x-tar", items=COUNT)
    keep(db, objects, dataset_id, index_path(shard_path(0)), index, "application/json")
    described = {"path": index_path(shard_path(0)), "bytes": len(index), "sha256": sha256(index).hexdigest()}
    listed = {"path": shard_path(0), "bytes": len(shard), "sha256": sha256(shard).hexdigest(), "items": COUNT}
    manifest = {"dataset": dataset_id, "complete": True, "count": COUNT, "shards": [listed], "files": [described]}
    keep(db, objects, dataset_id, datasets.MANIFEST, json.dumps(manifest).encode(), "application/json")
    with db.write() as connection:
        datasets.finish_dataset(connection, job["id"], DatasetReport.of({"candidates": COUNT}))
        end_job(connection, job["id"], "succeeded")


def indices(stream: DatasetStream) -> list[int]:
    return [item["index"] for item in stream]


def test_items_are_the_samples_of_the_dataset_as_tensors(client: Client, dataset: str) -> None:
    items = list(client.datasets.to_torch(dataset))
    assert [item["index"] for item in items] == list(range(COUNT))
    assert torch.equal(items[77]["image"], torch.full((3, 4, 6), 77, dtype=torch.uint8))
    assert torch.equal(items[77]["mask"], torch.full((4, 6), 2))
    assert torch.equal(items[77]["depth"], torch.full((4, 6), 38.5))
    assert items[77]["keypoints"].tolist() == [[1.0, 2.0, 2.0, 0.5]]


def test_the_shuffled_order_depends_on_seed_and_epoch_alone(client: Client, dataset: str) -> None:
    stream = client.datasets.to_torch(dataset, shuffle=True, seed=1)
    first, second = indices(stream), indices(stream)
    assert sorted(first) == sorted(second) == list(range(COUNT))
    assert first != second
    stream.set_epoch(0)
    assert indices(stream) == first
    assert indices(client.datasets.to_torch(dataset, shuffle=True, seed=2)) != first


@pytest.mark.slow
def test_workers_and_ranks_get_disjoint_samples(client: Client, dataset: str) -> None:
    found: list[int] = []
    for rank in range(2):
        stream = client.datasets.to_torch(dataset, shuffle=True, rank=rank, world_size=2)
        loader = DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context="spawn")
        found += [item["index"] for item in loader]
    assert sorted(found) == list(range(COUNT))


def test_a_stream_continues_in_the_middle_of_an_epoch(client: Client, dataset: str) -> None:
    whole = indices(client.datasets.to_torch(dataset, shuffle=True))
    stream = client.datasets.to_torch(dataset, shuffle=True)
    begun = iter(stream)
    before = [next(begun)["index"] for _ in range(131)]
    state = stream.state_dict()
    again = client.datasets.to_torch(dataset, shuffle=True)
    again.load_state_dict(state)
    assert before + indices(again) == whole
    with pytest.raises(ValueError, match="expected the state of a stream with seed 5, found seed 0"):
        client.datasets.to_torch(dataset, seed=5).load_state_dict(state)


def test_bytes_that_differ_from_the_index_are_refused(
    client: Client, finish: Finish, monkeypatch: pytest.MonkeyPatch, content: tuple[bytes, bytes]
) -> None:
    monkeypatch.setattr("offhand.sdk.stored_samples.ATTEMPTS", 1)
    wrong = [sample._replace(sha256="0" * 64) for sample in read_index(content[1])]
    dataset = finish(index_bytes(shard_path(0), wrong))
    with pytest.raises(DownloadFailed, match="differ from its index"):
        next(iter(client.datasets.to_torch(dataset)))


def test_a_dataset_without_indices_is_refused(client: Client, labels: Path, db: Database, objects: ObjectStore) -> None:
    job = client.datasets.generate(labels, "tiny", 20)
    finish_dataset(db, objects, dict(job))
    with pytest.raises(ClientError, match="has no index"):
        next(iter(client.datasets.to_torch(job["result"]["dataset"])))


def test_consumers_share_blocks_without_overlap() -> None:
    for consumers in (1, 3, 8):
        parts = [groups_of(1000, number, consumers, None) for number in range(consumers)]
        assert sorted(position for part in parts for group in part for position in group) == list(range(1000))
