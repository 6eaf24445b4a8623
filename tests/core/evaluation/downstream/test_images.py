"""Images from memory and from shards are the same images."""

import numpy as np
import pytest

from core.datasets.classes import ClassMap
from core.datasets.palette import colours
from core.datasets.samples import encode_sample
from core.datasets.shards import ShardWriter
from core.errors import ShardError
from core.evaluation.downstream.images import ArrayImages, ShardImages

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
    stored = ShardImages(write_shards(tmp_path, images, masks))
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
        ShardImages([path])
    assert "shard.tar" in str(caught.value)


def test_images_without_targets_are_refused():
    with pytest.raises(ValueError, match="2 images and 1 targets"):
        ArrayImages(np.zeros((2, 4, 4, 3), np.uint8), np.zeros((1, 4, 4), np.uint8))
