"""Formats that are folders of masks: Pascal VOC, Cityscapes, CamVid, CelebAMask-HQ."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from core.datasets.foreign.translation import Translation, pictures
from core.datasets.images import PictureError, decode_image, decode_mask
from core.datasets.palette import voc_colours

VOC_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
CITYSCAPES_IDS = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road", "sidewalk",
    "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole", "polegroup",
    "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus",
    "caravan", "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
CITYSCAPES_TRAIN_IDS = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
SEGNET_CAMVID = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
#: In the order in which later parts are laid over earlier ones.
CELEBA_PARTS = (
    "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip", "hair",
    "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
_CITYSCAPES = re.compile(r"(.+)_gt(?:Fine|Coarse)_label(Ids|TrainIds)\.png")
_CELEBA = re.compile(r"0*(\d+)_(" + "|".join(CELEBA_PARTS) + r")\.png")
_COLOUR_LINE = re.compile(r"\s*(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\s+(\S.*?)\s*")

Colours = dict[tuple[int, int, int], int]


def find_voc(entries: Mapping[str, Path]) -> list[str]:
    """Masks in a folder ``SegmentationClass``."""
    return [name for name in sorted(entries) if PurePosixPath(name).parent.name == "SegmentationClass"]


def read_voc(out: Translation) -> None:
    """``SegmentationClass`` beside ``JPEGImages``; names from ``labelmap.txt``, else those of Pascal VOC."""
    labelmap = next((name for name in sorted(out.entries) if PurePosixPath(name).name == "labelmap.txt"), None)
    colours: Colours | None = None
    if labelmap is not None:
        names, colours = _labelmap(out.bytes_of(labelmap).decode("utf-8", "replace"))
        out.classes(names, labelmap)
    else:
        out.classes(dict(enumerate(VOC_NAMES)), "SegmentationClass")
        out.note("there is no labelmap.txt: ids are taken for those of Pascal VOC's 20 classes", "SegmentationClass")
    images = {PurePosixPath(p).name: n for p, n in pictures(out.entries).items() if "/JPEGImages/" in f"/{n}"}
    for entry in find_voc(out.entries):
        _pair(out, images.pop(PurePosixPath(entry).stem, None), entry, colours)
    if images:
        out.note(f"{len(images)} images without a mask in SegmentationClass left aside")


def find_cityscapes(entries: Mapping[str, Path]) -> list[str]:
    """Masks of class ids."""
    return [name for name in sorted(entries) if _CITYSCAPES.fullmatch(PurePosixPath(name).name)]


def read_cityscapes(out: Translation) -> None:
    """``X_leftImg8bit.png`` beside ``X_gtFine_labelIds.png`` (34 ids) or ``…labelTrainIds.png`` (19, 255 ignored)."""
    masks: dict[str, dict[str, str]] = {}
    for entry in find_cityscapes(out.entries):
        match = _CITYSCAPES.fullmatch(PurePosixPath(entry).name)
        assert match is not None
        masks.setdefault(match[2], {})[match[1]] = entry
    kind = "Ids" if "Ids" in masks else "TrainIds"
    if len(masks) > 1:
        out.note("labelTrainIds left aside: labelIds say more")
    names = CITYSCAPES_IDS if kind == "Ids" else CITYSCAPES_TRAIN_IDS
    out.classes(dict(enumerate(names)), f"*_label{kind}.png")
    images = {PurePosixPath(p).name.removesuffix("_leftImg8bit"): n for p, n in pictures(out.entries).items()}
    for stem, entry in masks[kind].items():
        _pair(out, images.get(stem), entry, None)


def find_camvid(entries: Mapping[str, Path]) -> list[str]:
    """``label_colors.txt``, or folders ``X`` and ``Xannot``."""
    listed = [name for name in sorted(entries) if PurePosixPath(name).name in ("label_colors.txt", "class_dict.csv")]
    return listed or [name for name in sorted(entries) if _annotated_folder(name) and _image_beside(name, entries)]


def read_camvid(out: Translation) -> None:
    """Colour masks ``X_L.png`` with ``label_colors.txt`` (ids in its order), or ``X`` beside ``Xannot`` (11 ids)."""
    found = find_camvid(out.entries)
    if PurePosixPath(found[0]).name in ("label_colors.txt", "class_dict.csv"):
        names, colours = _colour_list(out.bytes_of(found[0]).decode("utf-8", "replace"))
        out.classes(names, found[0])
        images = {PurePosixPath(path).name: name for path, name in pictures(out.entries).items()}
        for stem in sorted(images):
            if stem.endswith("_L"):
                _pair(out, images.get(stem.removesuffix("_L")), images[stem], colours)
        return
    out.classes(dict(enumerate(SEGNET_CAMVID)), "*annot", ignore_index=11)
    for entry in found:
        _pair(out, _image_beside(entry, out.entries), entry, None)


def find_celebamask(entries: Mapping[str, Path]) -> list[str]:
    """Part masks, ``00012_hair.png``."""
    return [name for name in sorted(entries) if _CELEBA.fullmatch(PurePosixPath(name).name)]


def read_celebamask(out: Translation) -> None:
    """One PNG a part, laid over each other in the official order; ids 1 to 18, background 0."""
    out.classes({0: "background", **dict(enumerate(CELEBA_PARTS, 1))}, "CelebAMask-HQ-mask-anno")
    parts: dict[str, dict[str, str]] = {}
    for entry in find_celebamask(out.entries):
        match = _CELEBA.fullmatch(PurePosixPath(entry).name)
        assert match is not None
        parts.setdefault(match[1], {})[match[2]] = entry
    taken = {name for one in parts.values() for name in one.values()}
    images = {PurePosixPath(p).name: n for p, n in pictures(out.entries).items() if n not in taken}
    images = {stem.lstrip("0") or "0": name for stem, name in images.items()}
    for number in sorted(parts):
        first, image = next(iter(parts[number].values())), images.get(number)
        if image is None:
            out.problem(f"has no image: there is no {number}.jpg", first)
            continue
        size, stem = out.size(image), out.image(image)
        if size is not None and stem is not None and (mask := _composed(out, parts[number], size)) is not None:
            out.mask(stem, mask, first)


def _composed(out: Translation, parts: Mapping[str, str], size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Parts as one mask at the image's size; they come at half of it, so whole factors up are taken."""
    mask = np.zeros(size, np.uint8)
    for class_id, part in enumerate(CELEBA_PARTS, 1):
        if part not in parts:
            continue
        try:
            where = decode_image(out.bytes_of(parts[part]), out.limits).pixels[:, :, 0] > 127
        except PictureError as error:
            out.problem(str(error), parts[part])
            return None
        factor = size[0] // where.shape[0]
        if factor < 1 or where.shape[0] * factor != size[0] or where.shape[1] * factor != size[1]:
            shape = f"{where.shape[1]} x {where.shape[0]}"
            out.problem(f"is {shape}, which is no whole part of its image's {size[1]} x {size[0]}", parts[part])
            return None
        mask[where.repeat(factor, 0).repeat(factor, 1)] = class_id
    return mask


def _pair(out: Translation, image: str | None, mask: str, colours: Colours | None) -> None:
    """Take an image with its mask of ids, or of colours where it is no palette or grey PNG."""
    if image is None:
        return out.problem("has no image of the same name", mask)
    stem = out.image(image)
    if stem is None:
        return
    if colours is None:
        return out.mask_entry(stem, mask)
    content = out.bytes_of(mask)
    try:
        decode_mask(content, out.limits)
    except PictureError:
        try:
            ids = _by_colour(decode_image(content, out.limits).pixels, colours)
        except PictureError as error:
            return out.problem(str(error), mask)
        return out.mask(stem, ids, mask)
    return out.mask_entry(stem, mask)


def _by_colour(pixels: NDArray[np.uint8], colours: Colours) -> NDArray[np.uint8]:
    packed = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)  # [H, W]
    known = {(red << 16) | (green << 8) | blue: class_id for (red, green, blue), class_id in colours.items()}
    values, inverse = np.unique(packed, return_inverse=True)
    unknown = [int(value) for value in values if int(value) not in known]
    if unknown:
        shown = ", ".join(f"({value >> 16}, {value >> 8 & 255}, {value & 255})" for value in unknown[:6])
        raise PictureError(f"has {len(unknown)} colours that are no class: {shown}")
    ids = np.array([known[int(value)] for value in values], np.uint8)
    return ids[inverse].reshape(packed.shape)


def _labelmap(text: str) -> tuple[dict[int, str], Colours]:
    """``name:r,g,b:parts:actions`` a line. Ids are places in the list, but for names that only say "ignored"."""
    names: dict[int, str] = {}
    colours: Colours = {}
    standard = voc_colours()
    for place, line in enumerate(line for line in text.splitlines() if line.strip() and not line.startswith("#")):
        name, _, rest = line.partition(":")
        numbers = [int(one) for one in rest.partition(":")[0].split(",") if one.strip().isdigit()]
        colour = numbers if len(numbers) == 3 and max(numbers) < 256 else standard[place % 256].tolist()
        class_id = 255 if name.strip().lower() in ("ignored", "void") else place
        if class_id < 255:
            names[class_id] = name.strip()
        colours[colour[0], colour[1], colour[2]] = class_id
    return names, colours


def _colour_list(text: str) -> tuple[dict[int, str], Colours]:
    """``r g b name`` or ``name,r,g,b`` a line, ids in order; Void is ignored."""
    names: dict[int, str] = {}
    colours: Colours = {}
    for line in text.splitlines():
        name, *rest = line.split(",")
        if len(rest) == 3 and all(one.strip().isdigit() for one in rest):
            line = f"{rest[0]} {rest[1]} {rest[2]} {name}"
        match = _COLOUR_LINE.fullmatch(line)
        if match is None:
            continue
        class_id = 255 if match[4].lower() == "void" else len(names)
        if class_id < 255:
            names[class_id] = match[4]
        colours[int(match[1]), int(match[2]), int(match[3])] = class_id
    return names, colours


def _annotated_folder(name: str) -> bool:
    folder = PurePosixPath(name).parent.name
    return folder.endswith("annot") and folder != "annot" and name.lower().endswith(".png")


def _image_beside(mask: str, entries: Mapping[str, Path]) -> str | None:
    path = PurePosixPath(mask)
    beside = path.parent.with_name(path.parent.name.removesuffix("annot")) / path.stem
    return next((f"{beside}{one}" for one in (".png", ".jpg", ".jpeg") if f"{beside}{one}" in entries), None)
