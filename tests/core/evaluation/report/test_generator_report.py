"""The report of a generator: its numbers, notes and pictures."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from core.evaluation.generator_quality import GeneratorQuality
from core.evaluation.metrics.comparison import compare_images
from core.evaluation.metrics.extractors import pixel_extractor
from core.evaluation.metrics.features import extract_features
from core.evaluation.metrics.training_memorization import training_memorization
from core.evaluation.report.generator_report import headline, pairs_png, report_html, samples_png
from core.generators.stylegan2.training.images import TensorImages


def images(count: int, seed: int, side: int = 16) -> TensorImages:
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=random)
    return TensorImages(pixels, torch.arange(count) % 2, ("<cat>", "dog"))


@pytest.fixture(scope="module")
def world() -> tuple[GeneratorQuality, TensorImages, TensorImages]:
    training, held_out, samples = images(40, 0), images(20, 1), images(30, 2)
    samples.images[7] = training.images[3].flip(2)
    samples.images[9], held_out.class_index[:] = training.images[5], 0
    held_out.class_index[0] = 1
    real, generated, seen = (extract_features(pixel_extractor(), one) for one in (held_out, samples, training))
    quality = GeneratorQuality(
        {"name": "tiny", "family": "stylegan2", "digest": "ab", "settings": {"truncation_psi": 1.0}},
        (compare_images(real, generated),),
        (compare_images(real, seen),),
        (training_memorization(pixel_extractor(), training, held_out, samples, mirrored=True),),
        samples,
        ("A note of its own.",),
    )
    return quality, training, held_out


def test_page_holds_numbers_notes_classes_and_pictures(world) -> None:
    quality, training, held_out = world
    page = report_html(quality, training, held_out, "Quality of <tiny>")
    score = quality.scores[0]
    assert f"<td>{score.fid:.4g}</td>" in page
    assert "2 of 30 samples are copies of training images" in page
    assert "A note of its own." in page
    assert "dog (1 real, 15 generated)" in page
    assert "&lt;cat&gt;" in page
    assert "<cat>" not in page
    assert page.count("data:image/png;base64") == 2
    assert headline(quality).startswith(f"FID {score.fid:.4g}, precision")


def test_pairs_are_shown_side_by_side_and_mirrored_ones_turned(world) -> None:
    quality, training, held_out = world
    found = quality.memorization[0]
    sheet = np.array(Image.open(io.BytesIO(pairs_png(found, quality.samples, training, held_out))).convert("RGB"))
    for number in (3, 5):
        image = training.images[number].permute(1, 2, 0).numpy().repeat(9, 0).repeat(9, 1)
        pair = np.concatenate([image, np.full((144, 4, 3), 255, np.uint8), image], 1)
        starts = zip(*np.nonzero((sheet == pair[0, 0]).all(2)), strict=True)
        assert any(np.array_equal(sheet[y : y + pair.shape[0], x : x + pair.shape[1]], pair) for y, x in starts)


def test_samples_of_any_size_and_number_are_shown() -> None:
    for count, side in ((3, 16), (60, 200)):
        assert Image.open(io.BytesIO(samples_png(images(count, 0, side), "tiny"))).width > 600
