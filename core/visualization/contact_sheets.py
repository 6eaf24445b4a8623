"""Pictures that people look at before they read: a dataset's contact sheet, and what inversion made of the labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.label_sets.classes import ClassMap
from core.label_sets.palette import colours
from core.visualization import canvas
from core.visualization.canvas import ALARM, FAINT, INK, PAPER

CELL_SIDE, ROW_SIDE, PICTURE_SIDE = 192, 144, 256
SHEET_WIDTH = 1220
_GAP, _MARGIN = 4, 20
_DIFFERENCE_TOP = 96.0  # of 255: more than this reads as "wrong" anyhow


@dataclass(frozen=True, eq=False)
class SheetCell:
    """One sample of a contact sheet. ``divergence``: float32 [H, W] in nats, or None where no map was kept. ``label``:
    what the label looks like, uint8 [H, W, 3], where it is no mask.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    divergence: NDArray[np.float32] | None
    caption: str
    label: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class InversionRow:
    """One labelled image and what the generator makes of it. All arrays share [H, W].

    ``caption``: the scores in words. ``flagged``: reconstructed badly.
    """

    name: str
    target: NDArray[np.uint8]
    reconstruction: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    caption: str
    flagged: bool = False


@dataclass(frozen=True, eq=False)
class ComparedLabel:
    """A labelled image and what a labeler says of it. All arrays share [H, W].

    ``truth``, ``said``: masks, or uint8 [H, W, 3] pictures of other labels. ``uncertainty``: float [H, W].
    """

    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    said: NDArray[np.uint8]
    uncertainty: NDArray[np.floating]
    caption: str


@dataclass(frozen=True, eq=False)
class PairedImages:
    """Two images to compare, uint8 [H, W, 3] each, and a line of text."""

    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    caption: str


@dataclass(frozen=True)
class _Strip:
    """Pictures side by side over one line of text."""

    panels: tuple[Image.Image, ...]
    caption: str
    alarm: bool = False

    @property
    def width(self) -> int:
        return sum(panel.width for panel in self.panels) + _GAP * (len(self.panels) - 1)


def contact_sheet(
    sections: Sequence[tuple[str, Sequence[SheetCell]]], classes: ClassMap, title: str, subtitle: str = ""
) -> bytes:
    """PNG: for every sample image | overlay | uncertainty, under a legend of the classes shown.

    ``sections``: headings with their samples ("kept", "dropped by the filter", …); empty ones are left out. All maps
    share one scale, whose top is the 99.5th percentile of what is shown.
    """
    table = colours(classes)
    cells = [cell for _, part in sections for cell in part]
    maps = [cell.divergence for cell in cells if cell.divergence is not None]
    top = float(np.percentile(np.concatenate([one.ravel() for one in maps]), 99.5)) if maps else 0.0
    top = max(top, 0.01)

    def strip(cell: SheetCell) -> _Strip:
        label = canvas.overlay(cell.image, cell.mask, table) if cell.label is None else cell.label
        panels = [canvas.fitted(cell.image, CELL_SIDE), canvas.fitted(label, CELL_SIDE)]
        if cell.divergence is not None:
            panels.append(canvas.fitted(canvas.heat(cell.divergence, top), CELL_SIDE))
        return _Strip(tuple(panels), cell.caption)

    heading = "image  |  label over image" + ("  |  uncertainty" if maps else "")
    legend = canvas.legend(_shown(classes, [cell.mask for cell in cells]), SHEET_WIDTH)
    blocks = [_header(title, subtitle, SHEET_WIDTH), legend]
    if maps:
        blocks.append(canvas.heat_bar(SHEET_WIDTH, f"{top:.2f} nats or more: members of the ensemble disagree"))
    for name, part in sections:
        if part:
            blocks += [_section(f"{name} ({heading})", SHEET_WIDTH), _grid([strip(cell) for cell in part], SHEET_WIDTH)]
    return canvas.png(_stacked(blocks))


def inversion_sheet(rows: Sequence[InversionRow], classes: ClassMap, title: str, subtitle: str = "") -> bytes:
    """PNG: for every labelled image target | reconstruction | difference | label over target, worst marked in red."""
    return _inversions(rows, classes, title, subtitle, ROW_SIDE, SHEET_WIDTH)


def inversion_picture(row: InversionRow, classes: ClassMap) -> bytes:
    """PNG of one labelled image: target | reconstruction | difference | label over target, with its scores."""
    subtitle = "What the generator can make of this labelled image."
    return _inversions([row], classes, row.name, subtitle, PICTURE_SIDE, 4 * PICTURE_SIDE + 3 * _GAP)


def comparison_sheet(
    rows: Sequence[ComparedLabel],
    classes: ClassMap,
    title: str,
    subtitle: str = "",
    charts: Sequence[Image.Image] = (),
) -> bytes:
    """PNG: ``charts``, then for every row image | true label | what was said | uncertainty (bright is unsure)."""
    table = colours(classes)

    def strip(row: ComparedLabel) -> _Strip:
        truth, said = (
            canvas.overlay(row.image, label, table) if label.ndim == 2 else label for label in (row.truth, row.said)
        )
        unsure = canvas.heat(row.uncertainty, float(np.percentile(row.uncertainty, 99.5)))
        panels = (row.image, truth, said, unsure)
        return _Strip(tuple(canvas.fitted(panel, ROW_SIDE) for panel in panels), row.caption)

    masks = [label for row in rows for label in (row.truth, row.said) if label.ndim == 2]
    blocks = [_header(title, subtitle, SHEET_WIDTH), *charts]
    if rows:
        heading = "worst first: image  |  true label  |  prediction  |  uncertainty"
        blocks += [
            _section(heading, SHEET_WIDTH),
            *([canvas.legend(_shown(classes, masks), SHEET_WIDTH)] if masks else []),
            _grid([strip(row) for row in rows], SHEET_WIDTH),
        ]
    return canvas.png(_stacked(blocks))


def pair_sheet(sections: Sequence[tuple[str, Sequence[PairedImages]]], title: str, subtitle: str = "") -> bytes:
    """Return a PNG of pairs of images side by side; sections are headings with their pairs, empty ones left out."""
    blocks = [_header(title, subtitle, SHEET_WIDTH)]
    for heading, pairs in sections:
        if pairs:
            strips = [
                _Strip(tuple(canvas.fitted(one, ROW_SIDE) for one in (pair.left, pair.right)), pair.caption)
                for pair in pairs
            ]
            blocks += [_section(heading, SHEET_WIDTH), _grid(strips, SHEET_WIDTH)]
    return canvas.png(_stacked(blocks))


def image_grid(images: Sequence[NDArray[np.uint8]], title: str, subtitle: str = "", columns: int = 8) -> bytes:
    """Return a PNG of images, uint8 [H, W, 3] each, in rows of ``columns``."""
    cells = [canvas.fitted(one, (SHEET_WIDTH - _GAP * columns) // columns) for one in images]
    across, below = cells[0].width + _GAP, cells[0].height + _GAP
    grid = Image.new("RGB", (SHEET_WIDTH, below * -(-len(cells) // columns)), PAPER)
    for number, cell in enumerate(cells):
        grid.paste(cell, (number % columns * across, number // columns * below))
    return canvas.png(_stacked([_header(title, subtitle, SHEET_WIDTH), grid]))


def _inversions(
    rows: Sequence[InversionRow], classes: ClassMap, title: str, subtitle: str, side: int, width: int
) -> bytes:
    table = colours(classes)

    def strip(row: InversionRow) -> _Strip:
        difference = np.abs(row.target.astype(np.float32) - row.reconstruction).mean(2)  # [H, W], 0..255
        panels = (
            row.target,
            row.reconstruction,
            canvas.heat(difference, _DIFFERENCE_TOP),
            canvas.overlay(row.target, row.mask, table),
        )
        caption = f"{row.name}   {row.caption}" + ("   FLAGGED: reconstructed badly" if row.flagged else "")
        return _Strip(tuple(canvas.fitted(panel, side) for panel in panels), caption, row.flagged)

    blocks = [
        _header(title, subtitle, width),
        canvas.legend(_shown(classes, [row.mask for row in rows]), width),
        canvas.heat_bar(width, f"difference of {_DIFFERENCE_TOP:.0f} levels of 255 or more, mean of the channels"),
        _section("labelled image  |  reconstruction  |  difference  |  label over image", width),
        _grid([strip(row) for row in rows], width),
    ]
    return canvas.png(_stacked(blocks))


def _shown(classes: ClassMap, masks: Sequence[NDArray[np.uint8]]) -> list[tuple[str, canvas.Colour]]:
    """Legend entries: every class, those that no mask shows in brackets; the ignore index where it occurs."""
    present = {int(one) for mask in masks for one in np.unique(mask)}
    ids = [*classes.ids, *([classes.ignore_index] if classes.ignore_index in present else [])]
    table = colours(classes)
    entries = []
    for one in ids:
        red, green, blue = (int(part) for part in table[one])
        name = classes.name(one)
        entries.append((name if one in present else f"({name}: not here)", (red, green, blue)))
    return entries


def _header(title: str, subtitle: str, width: int) -> Image.Image:
    lines = canvas.wrapped(subtitle, width, 14)
    image = Image.new("RGB", (width, 34 + 20 * len(lines)), PAPER)
    draw = ImageDraw.Draw(image)
    canvas.write(draw, (0, 0), canvas.shortened(title, width, 22), 22)
    for number, line in enumerate(lines):
        canvas.write(draw, (0, 32 + 20 * number), line, 14, FAINT)
    return image


def _section(text: str, width: int) -> Image.Image:
    image = Image.new("RGB", (width, 32), PAPER)
    canvas.write(ImageDraw.Draw(image), (0, 10), canvas.shortened(text, width, 14), 14, INK)
    return image


def _grid(strips: Sequence[_Strip], width: int) -> Image.Image:
    """Strips in as many columns as ``width`` has room for."""
    caption_height = 24
    widest = max(strip.width for strip in strips)
    tallest = max(panel.height for strip in strips for panel in strip.panels)
    columns = max(1, (width + 2 * _MARGIN) // (widest + 2 * _MARGIN))
    rows = -(-len(strips) // columns)
    image = Image.new("RGB", (max(width, widest), rows * (tallest + caption_height)), PAPER)
    draw = ImageDraw.Draw(image)
    for number, strip in enumerate(strips):
        left = (number % columns) * (widest + 2 * _MARGIN)
        top = (number // columns) * (tallest + caption_height)
        if strip.alarm:
            draw.rectangle((left - 3, top - 1, left + strip.width + 2, top + tallest), fill=ALARM)
        at = left
        for panel in strip.panels:
            image.paste(panel, (at, top))
            at += panel.width + _GAP
        text = canvas.shortened(strip.caption, widest, 12)
        canvas.write(draw, (left, top + tallest + 3), text, 12, ALARM if strip.alarm else FAINT)
    return image


def _stacked(blocks: Sequence[Image.Image]) -> Image.Image:
    width = max(block.width for block in blocks) + 2 * _MARGIN
    image = Image.new("RGB", (width, sum(block.height for block in blocks) + 2 * _MARGIN), PAPER)
    top = _MARGIN
    for block in blocks:
        image.paste(block, (_MARGIN, top))
        top += block.height
    return image
