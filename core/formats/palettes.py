"""Class ids of masks whose file gives classes by colour: painted PNG, palette PNG, grey PNG.

Where the archive declares colours, they decide: the order of a palette is the writer's own. Grey values have no colour
and stay ids. Where indices and colours contradict each other and none of the two can be right alone, the mask is
refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.label_sets.palette import voc_colours
from core.label_sets.reading.images import (
    PictureError,
    PictureLimits,
    decode_image,
    decode_mask,
    is_painted,
    png_palette,
)

Colour = tuple[int, int, int]
#: Pascal VOC paints what counts for nothing in this colour, whose index is 255.
VOID_COLOUR: Colour = (224, 224, 192)
VOID = 255


@dataclass(frozen=True)
class ColourTable:
    """``ids``: the class id of each colour, or 255. ``origin``: the entry that declares the colours; None where they
    are the standard ones, which only painted masks are read by.
    """

    ids: Mapping[Colour, int]
    origin: str | None

    @property
    def classes(self) -> frozenset[int]:
        """Every id that a colour has."""
        return frozenset(self.ids.values())


def standard_table(names: Mapping[int, str]) -> ColourTable:
    """Return the colours that Pascal VOC gives to ids."""
    colours = voc_colours()
    return ColourTable({_colour(colours[one]): one for one in (*names, VOID)}, None)


def ids_of(content: bytes, limits: PictureLimits, table: ColourTable) -> tuple[NDArray[np.uint8], str]:
    """Return a mask's class ids, uint8 [H, W], and a note on how they were found ("" where none is needed).

    Raises :class:`core.label_sets.reading.images.PictureError`.
    """
    if is_painted(content):
        return _painted(content, limits, table)
    indices = decode_mask(content, limits).pixels
    palette = png_palette(content)
    if palette is None or not _tells(palette):
        return _grey(indices, table)
    return _indexed(indices, palette, table)


def _painted(content: bytes, limits: PictureLimits, table: ColourTable) -> tuple[NDArray[np.uint8], str]:
    pixels = decode_image(content, limits).pixels
    packed = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)  # [H, W]
    values, inverse = np.unique(packed, return_inverse=True)
    colours = [(int(value) >> 16, int(value) >> 8 & 255, int(value) & 255) for value in values]
    unknown = [colour for colour in colours if _id(colour, table) is None]
    if unknown and all(red == green == blue and red in table.classes for red, green, blue in colours):
        return pixels[:, :, 0].copy(), "colour with equal channels read as grey: its values are ids"
    if unknown:
        shown = ", ".join(map(str, unknown[:6]))
        wanted = (
            f"; {table.origin} names the colours" if table.origin else "; add a labelmap.txt that names the colours"
        )
        raise PictureError(f"has {len(unknown)} colours that are no class: {shown}{wanted}")
    ids = np.array([_id(colour, table) for colour in colours], np.uint8)
    return ids[inverse].reshape(packed.shape), ""


def _grey(values: NDArray[np.uint8], table: ColourTable) -> tuple[NDArray[np.uint8], str]:
    """Values are ids; where they are none and are declared as colours, those decide."""
    used = [int(one) for one in np.unique(values)]
    by_colour = {one: table.ids.get((one, one, one)) for one in used}
    if table.origin is None or None in by_colour.values() or by_colour == {one: one for one in used}:
        return values, ""
    if all(one in table.classes and one != VOID for one in used):
        one = next(one for one in used if by_colour[one] != one)
        raise PictureError(
            f"its grey values may be ids or colours: {table.origin} has the class {one} and gives the colour "
            f"({one}, {one}, {one}) to the class {by_colour[one]}. Save the mask as RGB if its values are colours"
        )
    return _mapped(values, by_colour), f"grey values read as the colours of {table.origin}"


def _indexed(
    indices: NDArray[np.uint8], palette: NDArray[np.uint8], table: ColourTable
) -> tuple[NDArray[np.uint8], str]:
    used = [int(one) for one in np.unique(indices)]
    colours = {one: _colour(palette[one]) if one < len(palette) else None for one in used}
    by_colour = {one: None if colour is None else _id(colour, table) for one, colour in colours.items()}
    if table.origin is None:
        _check_standard_order(by_colour)
        return indices, ""
    others = [one for one in used if one != VOID]
    if VOID in used and all(by_colour[one] == one for one in others):
        by_colour[VOID] = VOID  # the border of Pascal VOC, whatever its colour
    by_colour = {one: VOID if one == VOID and found is None else found for one, found in by_colour.items()}
    unknown = [one for one in used if by_colour[one] is None]
    if unknown:
        shown = ", ".join(f"{one} {colours[one]}" for one in unknown[:6])
        raise PictureError(
            f"its palette has colours that {table.origin} does not name: {shown}. "
            f"Correct {table.origin}, or save the mask as grey PNG if its values are the ids"
        )
    if len(set(by_colour.values())) < len(used):
        raise PictureError(
            "its palette has one colour for several values: save it as grey PNG if its values are the ids, or as RGB"
        )
    if all(by_colour[one] == one for one in used):
        return indices, ""
    return _mapped(indices, by_colour), f"palette in another order than {table.origin}: the colours decide"


def _check_standard_order(by_colour: Mapping[int, int | None]) -> None:
    """Refuse a palette of Pascal VOC's colours in another order: nothing states whether indices or colours are ids."""
    moved = {one: found for one, found in by_colour.items() if found != one}
    if moved and None not in by_colour.values() and len(set(by_colour.values())) == len(by_colour):
        shown = ", ".join(f"{one} has the colour of {found}" for one, found in moved.items())
        raise PictureError(
            f"its palette has the colours of Pascal VOC in another order ({shown}): add a labelmap.txt that names the "
            "colours, or save the mask as grey PNG if its values are the ids"
        )


def _mapped(values: NDArray[np.uint8], ids: Mapping[int, int | None]) -> NDArray[np.uint8]:
    table = np.arange(256, dtype=np.uint8)
    for value, class_id in ids.items():
        assert class_id is not None, "unknown values are refused before"
        table[value] = class_id
    return table[values]


def _tells(palette: NDArray[np.uint8]) -> bool:
    """Return whether a palette has colours of its own: not one colour alone, and not the grey of each index."""
    grey = np.repeat(np.arange(len(palette), dtype=np.uint8)[:, None], 3, 1)
    return bool((palette != palette[0]).any() and (palette != grey).any())


def _id(colour: Colour, table: ColourTable) -> int | None:
    return table.ids.get(colour, VOID if colour == VOID_COLOUR else None)


def _colour(row: NDArray[np.uint8]) -> Colour:
    red, green, blue = (int(one) for one in row)
    return red, green, blue
