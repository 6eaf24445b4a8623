"""Pictures: the right pixels in the right places. Whether they please is for eyes."""

import io

import numpy as np
import pytest
from PIL import Image

from core.label_sets.classes import ClassMap
from core.label_sets.palette import IGNORED, PALETTE, colours
from core.visualization import canvas
from core.visualization.contact_sheets import InversionRow, SheetCell, contact_sheet, inversion_picture, inversion_sheet
from tests.core.datasets.archives import mask, photograph

CLASSES = ClassMap({0: "background", 1: "head", 4: "hat"})


def opened(content):
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    return np.array(image)


def holds(sheet, part):
    """Whether ``part`` stands somewhere in ``sheet``, pixel for pixel."""
    height, width = part.shape[:2]
    corners = np.argwhere((sheet[: -height + 1, : -width + 1] == part[0, 0]).all(2))
    return any(np.array_equal(sheet[top : top + height, left : left + width], part) for top, left in corners)


def cell(seed, height=16, width=16, uncertain=True):
    divergence = np.random.default_rng(seed).uniform(0, 1, (height, width)).astype(np.float32) if uncertain else None
    return SheetCell(photograph(seed, height, width), mask(seed, height, width), divergence, f"sample {seed}")


def test_the_sheet_holds_every_image_its_overlay_and_its_map():
    cells = [cell(seed) for seed in range(3)]
    sheet = opened(contact_sheet([("kept", cells[:2]), ("dropped", cells[2:]), ("nothing", [])], CLASSES, "Title"))
    top = np.percentile(np.concatenate([one.divergence.ravel() for one in cells]), 99.5)
    for one in cells:
        for part in (
            one.image,
            canvas.overlay(one.image, one.mask, colours(CLASSES)),
            canvas.heat(one.divergence, top),
        ):
            assert holds(sheet, np.kron(part, np.ones((12, 12, 1), np.uint8)))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 32), (192, 256), (512, 512), (3, 300)])
def test_any_size_makes_a_sheet_of_moderate_width(height, width):
    sheet = opened(
        contact_sheet([("kept", [cell(seed, height, width) for seed in range(2)])], CLASSES, "Title", "x " * 200)
    )
    assert 1000 < sheet.shape[1] < 1400
    assert sheet.shape[0] < 1000


def test_sheet_without_maps_and_with_strange_names():
    odd = ClassMap({number: f"クラス {number} " + "x" * 60 for number in range(40)})
    assert opened(contact_sheet([("kept", [cell(1, uncertain=False)])], odd, "ψ ≥ ☃ " * 60)).shape[1] < 1400


def test_equal_samples_make_equal_pictures():
    sections = [("kept", [cell(1), cell(2)])]
    assert contact_sheet(sections, CLASSES, "Title") == contact_sheet(sections, CLASSES, "Title")


def test_inversion_pictures_hold_target_reconstruction_and_difference():
    row = InversionRow(
        "a.b_c", photograph(1, 16, 16), photograph(2, 16, 16), mask(1, 16, 16), "PSNR 9.1 dB", flagged=True
    )
    difference = np.abs(row.target.astype(float) - row.reconstruction).mean(2)
    for content, factor in ((inversion_picture(row, CLASSES), 16), (inversion_sheet([row] * 3, CLASSES, "All"), 9)):
        for part in (row.target, row.reconstruction, canvas.heat(difference, 96.0)):
            assert holds(opened(content), np.kron(part, np.ones((factor, factor, 1), np.uint8)))


def test_palette_is_well_separated():
    distances = np.linalg.norm(PALETTE[:, None].astype(float) - PALETTE[None], axis=2) + 1e9 * np.eye(len(PALETTE))
    assert len(PALETTE) == 32
    assert distances.min() > 45
    assert distances.min() < 1e6


def test_colours_of_ids():
    table = colours(CLASSES)
    assert table.shape == (256, 3)
    assert table[0].tolist() == [0, 0, 0]
    assert np.array_equal(table[1:33], PALETTE)
    assert tuple(table[255]) == IGNORED
    assert len({tuple(one) for one in table[:65]}) == 65
    assert np.array_equal(colours(ClassMap({0: "sky", 1: "road"}))[0], PALETTE[31])


def test_heat_runs_from_dark_to_light():
    scale = canvas.heat(np.linspace(-1, 3, 400)[None], 2.0)[0].astype(int)
    assert scale[0].tolist() == [0, 0, 4]
    assert scale[-1].tolist() == [252, 255, 164]
    lightness = scale @ [299, 587, 114]
    assert (np.diff(lightness) >= -300).all()


def test_small_pictures_grow_by_a_whole_factor_and_large_ones_shrink():
    assert canvas.fitted(photograph(0, 64, 48), 192).size == (144, 192)
    assert canvas.fitted(photograph(0, 100, 50), 192).size == (50, 100)
    assert canvas.fitted(photograph(0, 500, 1000), 192).size == (192, 96)
