"""The index of packed images finds re-encoded and resized copies without the pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import ImageSetError
from core.training.image_index import ImageIndex, write_index
from core.training.images import PackedImages, SourceImage, pack_images
from tests.core.training.test_images import encoded, picture


@pytest.mark.parametrize(("size", "grey"), [((64, 64), False), ((96, 64), True), ((128, 192), False)])
def test_copies_are_found_at_the_size_of_the_index(size: tuple[int, int], grey: bool, tmp_path: Path) -> None:
    whole = [picture(index, 256, 384, grey=grey) for index in range(12)]
    source = (SourceImage(f"{index}.png", encoded(one)) for index, one in enumerate(whole))
    pack_images(source, tmp_path / "set", size)
    images = PackedImages(tmp_path / "set")
    write_index(images, tmp_path / "index.npz")
    index = ImageIndex.load(tmp_path / "index.npz")
    assert (index.size, index.fit, index.digest, len(index.names)) == (size, "crop", images.digest, 12)
    lossy = np.array(Image.open(io.BytesIO(encoded(whole[3], "JPEG", quality=75))).convert("RGB"))
    smaller = np.array(Image.fromarray(whole[7]).resize((288, 192), Image.Resampling.BICUBIC))
    mirrored = np.ascontiguousarray(whole[5][:, ::-1])
    found = index.copies_among([picture(99, 256, 384), lossy, whole[0], smaller, mirrored])
    assert found == {1: "3.png", 2: "0.png", 3: "7.png"}
    assert index.copies_among([]) == {}


def test_a_damaged_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.npz").write_bytes(b"none")
    with pytest.raises(ImageSetError, match="index of images is damaged"):
        ImageIndex.load(tmp_path / "index.npz")
