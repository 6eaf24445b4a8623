"""Packed images: what goes in comes out, what cannot be used is listed, damage is found."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from core.errors import ImageSetError, ShardError, Stopped
from core.generators.stylegan2.training.config import GanConfig
from core.generators.stylegan2.training.training import GanTraining
from core.label_sets.resize import fitted
from core.run import Run
from core.training.images import PackedImages, SourceImage, pack_images


def picture(seed: int, height: int = 40, width: int = 60, grey: bool = False) -> NDArray[np.uint8]:
    """A smooth random picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 1 if grey else 3), dtype=np.uint8)
    whole = Image.fromarray(np.repeat(coarse, 3, 2) if grey else coarse).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    pixels = np.array(whole)
    return np.repeat(pixels[..., :1], 3, 2) if grey else pixels


def encoded(pixels: NDArray[np.uint8], format: str = "PNG", **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def stream(count: int, classes: tuple[str, ...] = (), grey: bool = False) -> Iterator[SourceImage]:
    for index in range(count):
        name = classes[index % len(classes)] if classes else None
        yield SourceImage(f"{index}.png", encoded(picture(index, grey=grey)), name)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_images_come_back_at_the_training_size(fit: str, tmp_path: Path) -> None:
    report = pack_images(stream(6, ("cat", "dog")), tmp_path / "set", (16, 24), fit, licence="CC0-1.0", held_out=2)  # type: ignore[arg-type]
    assert (report.images, report.counts, report.held_out) == (6, {"cat": 3, "dog": 3}, 2)
    assert not report.unreadable
    images = PackedImages(tmp_path / "set")
    images.verify()
    assert (len(images), images.shape, images.classes, images.licence) == (6, (3, 16, 24), ("cat", "dog"), "CC0-1.0")
    assert images.names == [f"{index}.png" for index in range(6)]
    assert images.class_index is not None
    assert images.class_index.tolist() == [0, 1, 0, 1, 0, 1]
    expected = torch.from_numpy(np.stack([fitted(picture(index), 16, 24, fit) for index in (4, 1)]))  # type: ignore[arg-type]
    assert torch.equal(images.read([4, 1]), expected.permute(0, 3, 1, 2))


def test_parts_do_not_overlap_and_depend_on_the_seed_alone(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        pack_images(stream(20), tmp_path / name, (8, 8), held_out=5, run=Run(seed=seed))
    first, same, other = (PackedImages(tmp_path / name) for name in "abc")
    assert len(first.held_out) == 5
    assert sorted(first.held_out.names + first.training.names) == sorted(first.names)
    assert first.held_out.names == same.held_out.names != other.held_out.names
    assert first.digest == same.digest
    assert len({first.digest, first.training.digest, first.held_out.digest, other.digest}) == 4
    assert torch.equal(first.held_out.read([0]), first.read([first.names.index(first.held_out.names[0])]))


def test_held_out_part_is_at_least_two_hundred_and_at_most_half(tmp_path: Path) -> None:
    assert pack_images(stream(40), tmp_path / "set", (8, 8)).held_out == 20


def test_grey_images_are_stored_with_one_channel_and_mixed_ones_with_three(tmp_path: Path) -> None:
    report = pack_images(stream(5, grey=True), tmp_path / "grey", (8, 8), "stretch")
    grey = PackedImages(tmp_path / "grey")
    grey.verify()
    assert grey.shape == (1, 8, 8)
    assert not any("grey" in note for note in report.notes)
    expected = torch.from_numpy(fitted(picture(3, grey=True), 8, 8, "stretch")[..., 0])
    assert torch.equal(grey.read([3])[0, 0], expected)
    mixed = pack_images([*stream(3), *stream(2, grey=True)], tmp_path / "mixed", (8, 8))
    assert PackedImages(tmp_path / "mixed").shape == (3, 8, 8)
    assert mixed.notes[0] == "2 of 5 images are grey and the others have colour; all are stored with colour"


def test_unreadable_files_and_copies_are_listed_and_copies_stay_in_training(tmp_path: Path) -> None:
    whole = picture(0, 64, 64)
    smaller = np.array(Image.fromarray(whole).resize((48, 48), Image.Resampling.BICUBIC))
    files = [
        *[SourceImage(f"{index}.png", encoded(picture(index, 64, 64))) for index in range(6)],
        SourceImage("again.png", encoded(whole)),
        SourceImage("text.png", b"no picture"),
        SourceImage("cut.png", encoded(whole)[:200]),
        SourceImage("lossy.jpg", encoded(whole, "JPEG", quality=75)),
        SourceImage("smaller.png", encoded(smaller)),
    ]
    report = pack_images(files, tmp_path / "set", (64, 64), held_out=4)
    assert [problem.pointer for problem in report.unreadable] == ["text.png", "cut.png"]
    assert report.copies == (("again.png", "0.png"), ("lossy.jpg", "0.png"), ("smaller.png", "0.png"))
    held_out = PackedImages(tmp_path / "set").held_out.names
    assert len(held_out) == 4
    assert not {"0.png", "again.png", "lossy.jpg", "smaller.png"} & set(held_out)


def test_a_class_for_each_image_is_a_caption(tmp_path: Path) -> None:
    report = pack_images(stream(24, tuple(f"caption {index}" for index in range(24))), tmp_path / "set", (8, 8))
    assert (report.counts, PackedImages(tmp_path / "set").class_index) == ({}, None)
    assert report.notes[0] == "24 names of classes for 24 images are taken as captions: the set has no classes"


def test_notes_name_classes_with_a_single_image_and_few_images(tmp_path: Path) -> None:
    images = [*stream(4, ("cat", "dog")), SourceImage("5.png", encoded(picture(5)), "bird")]
    notes = pack_images(images, tmp_path / "set", (8, 8)).notes
    assert notes[0] == "classes with a single image: bird"
    assert notes[1].startswith("5 images; a training needs 500 or more")


def test_images_that_cannot_be_packed_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match="at least 2 readable images, found 1") as caught:
        pack_images([*stream(1), SourceImage("text.png", b"no picture")], tmp_path / "set", (8, 8))
    assert "text.png" in str(caught.value)
    images = list(stream(4, ("cat",)))
    images[3] = SourceImage("3.png", images[3].content)
    with pytest.raises(ImageSetError, match=r"3.png: has no class"):
        pack_images(images, tmp_path / "set", (8, 8))
    with pytest.raises(ImageSetError, match="cannot be packed at this size"):
        pack_images(stream(2), tmp_path / "set", (0, 8))
    stops = iter([False, True])
    with pytest.raises(Stopped):
        pack_images(stream(4), tmp_path / "set", (8, 8), run=Run(should_stop=lambda: next(stops)))
    assert list(tmp_path.iterdir()) == []


def test_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "set"
    pack_images(stream(4), path, (8, 8))
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(ShardError, match="images 0 onward"):
        PackedImages(path).verify()
    for wrong, expected in (
        (content[:-1], "holds no packed images"),
        (content[10:], "bytes of pixels"),
        (content[:800] + bytes([content[800] ^ 1]) + content[801:], "does not match its digest"),
        (b"", "holds no packed images"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(ShardError, match=expected):
            PackedImages(path)


def test_packed_images_train_a_generator(tmp_path: Path) -> None:
    pack_images(stream(12, ("cat", "dog"), grey=True), tmp_path / "set", (8, 8), held_out=2)
    images = PackedImages(tmp_path / "set").training
    config = GanConfig(kimg=0.008, batch=4, widths=(4, 4), latent_width=8, mapping_layers=1)
    training = GanTraining(images, config)
    assert list(training.train())[-1].images == 8
    assert training.players.generator.config.image_channels == 1
