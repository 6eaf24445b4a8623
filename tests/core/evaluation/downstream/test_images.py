"""Images from memory and from shards are the same images."""

import hashlib
import io

import numpy as np
import pytest

from core.datasets.samples import encode_sample
from core.datasets.shard_index import index_bytes
from core.datasets.shards import ShardWriter
from core.errors import ShardChangedError, ShardError
from core.evaluation.downstream.images import ArrayImages, Relabelled, Shard, ShardImages
from core.label_sets.classes import ClassMap
from core.label_sets.palette import colours

CLASSES = ClassMap({0: "background", 1: "thing"})


def write_shards(folder, images, masks, per_shard=3):
    paths = []
    for start in range(0, len(images), per_shard):
        path = folder / f"shard-{start}.tar"
        with path.open("wb") as target:
            writer = ShardWriter(target)
            for index in range(start, min(start + per_shard, len(images))):
                latent = np.zeros((2, 4), np.float32)
                record = {"index": index, "uncertainty": 0.5}
                writer.write(index, encode_sample(images[index], masks[index], latent, record, colours(CLASSES)))
            writer.finish()
        paths.append(path)
    return paths


def test_shards_give_what_arrays_give(tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (7, 8, 9, 3), np.uint8)
    masks = random.integers(0, 2, (7, 8, 9)).astype(np.uint8)
    stored = ShardImages([Shard.local(path) for path in write_shards(tmp_path, images, masks)])
    plain = ArrayImages(images, masks)
    assert len(stored) == len(plain) == 7
    pick = np.array([6, 0, 3, 3])
    for found, wanted in zip(stored.take(pick), plain.take(pick), strict=True):
        assert np.array_equal(found, wanted)
    assert stored.sample(4).index == 4


def test_a_damaged_shard_is_named(tmp_path):
    path = tmp_path / "shard.tar"
    path.write_bytes(b"nonsense" * 200)
    with pytest.raises(ShardError) as caught:
        ShardImages([Shard.local(path)])
    assert "shard.tar" in str(caught.value)


def test_images_without_targets_are_refused():
    with pytest.raises(ValueError, match="2 images and 1 targets"):
        ArrayImages(np.zeros((2, 4, 4, 3), np.uint8), np.zeros((1, 4, 4), np.uint8))


def test_other_labels_for_the_same_images():
    random = np.random.default_rng(0)
    images, masks = random.integers(0, 256, (5, 4, 4, 3), np.uint8), random.integers(0, 2, (5, 4, 4)).astype(np.uint8)
    found, labels = Relabelled(ArrayImages(images, masks), 1 - masks).take(np.array([3, 1]))
    assert np.array_equal(found, images[[3, 1]])
    assert np.array_equal(labels, 1 - masks[[3, 1]])


def test_points_and_depth_of_shards(tmp_path):
    points = np.array([[1, 2, 2, 0.9], [3, 4, 0, 0.1]], np.float32)
    depth = np.arange(16, dtype=np.float32).reshape(4, 4)
    path = tmp_path / "shard.tar"
    image, mask, latent = np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 255, np.uint8), np.zeros((2, 4), np.float32)
    with path.open("wb") as target:
        writer = ShardWriter(target)
        for index, known in ((0, depth), (1, None)):
            record = {"index": index, "uncertainty": 0.5, "keypoints": points.tolist()}
            writer.write(index, encode_sample(image, mask, latent, record, colours(CLASSES), None, known))
        writer.finish()
    shards = [Shard.local(path)]
    assert np.array_equal(ShardImages(shards, "keypoints").take(np.array([1]))[1], points[None, :, :3])
    assert np.array_equal(ShardImages(shards, "depth").take(np.array([0]))[1], depth[None])
    with pytest.raises(ShardError, match="has no depth"):
        ShardImages(shards, "depth").take(np.array([1]))


def test_streamed_shards_are_read_in_ranges_and_closed(tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4, 8, 8, 3), np.uint8)
    masks = random.integers(0, 2, (4, 8, 8)).astype(np.uint8)
    (path,) = write_shards(tmp_path, images, masks, per_shard=4)
    opened = []

    def stream():
        opened.append(io.BytesIO(path.read_bytes()))
        return opened[-1]

    streamed = ShardImages([Shard("far away", stream)])
    assert np.array_equal(streamed.take(np.array([2, 0]))[0], images[[2, 0]])
    assert len(opened) == 3  # the index, then each sample once
    assert all(one.closed for one in opened)


class FlakySource(io.BytesIO):
    """Flips one bit of the byte ``at`` while ``bad`` is positive, which each opening lowers."""

    bad = 0
    at = 0

    def __init__(self, content):
        spoiled = bytearray(content)
        if FlakySource.bad > 0:
            FlakySource.bad -= 1
            spoiled[FlakySource.at] ^= 1
        super().__init__(bytes(spoiled))


@pytest.fixture
def stored_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr("core.evaluation.downstream.images._PAUSE", 0.0)
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    (path,) = write_shards(tmp_path, images, np.zeros((4, 8, 8), np.uint8), per_shard=4)
    content = path.read_bytes()
    yield images, Shard("far away", lambda: FlakySource(content), hashlib.sha256(content).hexdigest())
    FlakySource.bad = FlakySource.at = 0


@pytest.mark.parametrize("at", [600, 100, -1])  # an image, a header, behind the end mark
def test_a_flipped_bit_in_a_streamed_shard_is_read_again(stored_elsewhere, at):
    images, shard = stored_elsewhere
    FlakySource.bad, FlakySource.at = 2, at
    streamed = ShardImages([shard])
    assert len(streamed) == 4
    FlakySource.bad, FlakySource.at = 2, 600
    assert np.array_equal(streamed.take(np.array([0]))[0], images[[0]])


def test_a_streamed_shard_that_stays_wrong_is_a_fault_that_may_pass(stored_elsewhere):
    _, shard = stored_elsewhere
    FlakySource.bad, FlakySource.at = 3, 600
    with pytest.raises(ShardChangedError) as caught:
        ShardImages([shard])
    assert caught.value.retryable
    streamed = ShardImages([shard])
    FlakySource.bad = 3
    with pytest.raises(ShardChangedError, match=r"its image\.png differs"):
        streamed.sample(0)


@pytest.fixture
def indexed_elsewhere(tmp_path, monkeypatch):
    """Images and a shard with an index, whose opened streams are counted."""
    monkeypatch.setattr("core.evaluation.downstream.images._PAUSE", 0.0)
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    stream = io.BytesIO()
    writer = ShardWriter(stream, "shards/shard-000000.tar")
    for index, image in enumerate(images):
        mask, code = np.zeros((8, 8), np.uint8), np.zeros((2, 4), np.float32)
        writer.write(index, encode_sample(image, mask, code, {"index": index, "uncertainty": 0}, colours(CLASSES)))
    entry, content, opened = writer.finish(), stream.getvalue(), []

    def opening():
        opened.append(FlakySource(content))
        return opened[-1]

    yield images, Shard("far away", opening, entry.sha256, index_bytes(entry.path, entry.samples)), entry, opened
    FlakySource.bad = FlakySource.at = 0


def test_a_shard_with_an_index_is_read_one_range_a_sample(indexed_elsewhere):
    images, shard, _, opened = indexed_elsewhere
    streamed = ShardImages([shard])
    assert not opened
    assert streamed.indices() == [0, 1, 2, 3]
    assert np.array_equal(streamed.take(np.array([2, 0]))[0], images[[2, 0]])
    assert len(opened) == 2


@pytest.mark.parametrize("at", [0, 600])  # the header of the first file, and its content
def test_a_flipped_bit_in_the_range_of_a_sample_is_read_again(indexed_elsewhere, at):
    images, shard, entry, _ = indexed_elsewhere
    FlakySource.bad, FlakySource.at = 2, entry.samples[1].offset + at
    assert np.array_equal(ShardImages([shard]).sample(1).image(), images[1])
    FlakySource.bad = 3
    with pytest.raises(ShardChangedError, match="sample 1 differs from its SHA-256"):
        ShardImages([shard]).sample(1)


def test_ranges_of_samples_lie_side_by_side(indexed_elsewhere):
    _, _, entry, _ = indexed_elsewhere
    ends = [one.offset + one.length for one in entry.samples]
    assert [one.offset for one in entry.samples] == [0, *ends[:-1]]
    assert ends[-1] == entry.bytes - 1024, "the end mark follows"


def test_an_index_that_is_no_index_is_refused():
    for content in (b"x", b"{}", b'{"version":2,"samples":[]}', b'{"version":1,"samples":[[1,2]]}'):
        with pytest.raises(ShardError, match="index of a shard"):
            ShardImages([Shard("far away", lambda: io.BytesIO(b""), index=content)])
