"""Formats that are folders of masks: Pascal VOC, Cityscapes, CamVid, CelebAMask-HQ."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from core.formats.image_names import PICTURE_SUFFIXES, ImageNameError, ImageNames
from core.formats.name_files import named_classes
from core.formats.palettes import VOID, VOID_COLOUR, Colour, ColourTable, ids_of, standard_table
from core.formats.texts import TextError, decode_text
from core.formats.translation import Translation
from core.label_sets.palette import voc_colours
from core.label_sets.reading.images import PictureError, decode_image, decode_mask

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
assert set(CITYSCAPES_TRAIN_IDS) <= set(CITYSCAPES_IDS)
SEGNET_CAMVID = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
#: In the order in which later parts are laid over earlier ones.
CELEBA_PARTS = (
    "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip", "hair",
    "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
_CITYSCAPES = re.compile(r"(.+)_gt(?:Fine|Coarse)_label(Ids|TrainIds)\.png")
_CITYSCAPES_PICTURE = re.compile(r".+_gt(?:Fine|Coarse)_.+")
_CELEBA = re.compile(r"0*(\d+)_(" + "|".join(CELEBA_PARTS) + r")\.png")
_COLOUR_LINE = re.compile(r"\s*(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\s+(\S.*?)\s*")
#: ``name:r,g,b:parts:actions``; a name may hold colons.
_LABELMAP_LINE = re.compile(r"(.*?):(\d{0,3}(?:,\s*\d{1,3}\s*){2}|):([^:]*):([^:]*)")
_MASK_FOLDERS = ("SegmentationClass", "SegmentationClassPNG")
_IMAGE_FOLDER = "JPEGImages"
_BACKGROUND_NAMES = ("background", "bg", "void", "unlabeled", "unlabelled", "ignored")


def find_voc(entries: Mapping[str, Path]) -> list[str]:
    """PNG masks in a folder ``SegmentationClass``, or ``SegmentationClassPNG`` as older versions of labelme write."""
    for folder in _MASK_FOLDERS:
        found = [name for name in sorted(entries) if folder in name.split("/")[:-1] and name.lower().endswith(".png")]
        if found:
            return found
    return []


def find_voc_boxes(entries: Mapping[str, Path]) -> list[str]:
    """XML of boxes, as Pascal VOC has them for detection."""
    found = [name for name in sorted(entries) if name.lower().endswith(".xml")]
    return [name for name in found if _holds_boxes(entries[name])]


def _holds_boxes(path: Path) -> bool:
    content = path.read_bytes()[: 1 << 16]
    return b"<annotation>" in content and b"<bndbox>" in content


def read_voc(out: Translation) -> None:
    """``SegmentationClass`` beside ``JPEGImages``; names from ``labelmap.txt``, else from another list of names, else
    those of Pascal VOC. Colours of ``labelmap.txt`` decide over the order of a mask's palette.
    """
    masks = find_voc(out.entries)
    table = _voc_classes(out, masks)
    images = [name for name in _pictures(out) if _IMAGE_FOLDER in name.split("/")[:-1]]
    images = images or [name for name in _pictures(out) if not any("Segmentation" in one for one in name.split("/"))]
    written = {
        mask: "/".join(_IMAGE_FOLDER if one in _MASK_FOLDERS else one for one in mask.split("/")) for mask in masks
    }
    _pair_all(out, {mask: name.rpartition(".")[0] for mask, name in written.items()}, images, table)


def _voc_classes(out: Translation, masks: list[str]) -> ColourTable:
    labelmap = next((name for name in sorted(out.entries) if PurePosixPath(name).name == "labelmap.txt"), None)
    if labelmap is not None and (text := _text(out, labelmap)) is not None:
        names, table = _labelmap(out, text, labelmap)
        out.classes(names, labelmap)
        return table
    listed = named_classes(out)
    if listed is not None and listed.names:
        names = _with_unnamed_background(out, dict(listed.names), masks, listed.origin)
        out.classes(names, listed.origin)
    else:
        names = dict(enumerate(VOC_NAMES))
        out.classes(names, masks[0])
        out.note("there is no labelmap.txt: ids are taken for those of Pascal VOC's 20 classes", masks[0])
    return standard_table(names)


def _with_unnamed_background(out: Translation, names: dict[int, str], masks: list[str], origin: str) -> dict[int, str]:
    """Shift names by one where masks show one id more than a list without a background has names."""
    if names.get(0, "").strip().lower() in _BACKGROUND_NAMES:
        return names
    largest = 0
    for entry in masks:
        try:
            ids = decode_mask(out.bytes_of(entry), out.limits).pixels
        except PictureError:
            continue  # named when the mask is read
        largest = max(largest, int(ids[ids != VOID].max(initial=0)))
    if largest != max(names) + 1:
        return names
    out.note(
        f"names {len(names)} classes and masks have ids up to {largest}: 0 is background, names begin at 1", origin
    )
    return {0: "background", **{class_id + 1: name for class_id, name in names.items()}}


def find_cityscapes(entries: Mapping[str, Path]) -> list[str]:
    """Masks of class ids."""
    return [name for name in sorted(entries) if _CITYSCAPES.fullmatch(PurePosixPath(name).name)]


def read_cityscapes(out: Translation) -> None:
    """``X_leftImg8bit.png`` beside ``X_gtFine_labelIds.png`` (34 ids) or ``…labelTrainIds.png`` (19, 255 ignored).

    Where some images have labelIds and others labelTrainIds alone, the latter are brought to labelIds.
    """
    masks: dict[str, dict[str, str]] = {"Ids": {}, "TrainIds": {}}
    for entry in find_cityscapes(out.entries):  # gtCoarse before gtFine, which then replaces it
        match = _CITYSCAPES.fullmatch(PurePosixPath(entry).name)
        assert match is not None
        folder = "/".join("leftImg8bit" if one in ("gtFine", "gtCoarse") else one for one in entry.split("/")[:-1])
        masks[match[2]][f"{folder}/{match[1]}".removeprefix("/")] = entry
    kind = "Ids" if masks["Ids"] else "TrainIds"
    names = CITYSCAPES_IDS if kind == "Ids" else CITYSCAPES_TRAIN_IDS
    out.classes(dict(enumerate(names)), f"*_label{kind}.png")
    images = [name for name in _pictures(out) if not _CITYSCAPES_PICTURE.fullmatch(PurePosixPath(name).name)]
    suffixed = any(PurePosixPath(name).stem.endswith("_leftImg8bit") for name in images)
    written = {
        entry: f"{place}_leftImg8bit" if suffixed else place
        for place, entry in ({**masks["TrainIds"], **masks["Ids"]}).items()
    }
    mixed = [entry for place, entry in masks["TrainIds"].items() if kind == "Ids" and place not in masks["Ids"]]
    if mixed:
        out.note(f"{len(mixed)} images have labelTrainIds alone: brought to labelIds by name", mixed[0])
    if kind == "Ids" and len(mixed) < len(masks["TrainIds"]):
        out.note("labelTrainIds left aside where there are labelIds, which have more classes")
    _pair_all(out, written, images, None, dict.fromkeys(mixed, _LABEL_IDS))


def find_camvid(entries: Mapping[str, Path]) -> list[str]:
    """``label_colors.txt``, or folders ``X`` and ``Xannot``."""
    listed = [name for name in sorted(entries) if PurePosixPath(name).name in ("label_colors.txt", "class_dict.csv")]
    return listed or [name for name in sorted(entries) if _annotated_folder(name) and _image_beside(name, entries)]


def read_camvid(out: Translation) -> None:
    """Colour masks ``X_L.png`` with ``label_colors.txt`` (ids in its order), or ``X`` beside ``Xannot`` (11 ids)."""
    found = find_camvid(out.entries)
    if PurePosixPath(found[0]).name in ("label_colors.txt", "class_dict.csv"):
        names, table = _colour_list(_text(out, found[0]) or "", found[0])
        out.classes(names, found[0])
        masks = [name for name in _pictures(out) if PurePosixPath(name).stem.endswith("_L")]
        images = [name for name in _pictures(out) if name not in set(masks)]
        _pair_all(out, {name: name.rpartition(".")[0].removesuffix("_L") for name in masks}, images, table)
        return
    out.classes(dict(enumerate(SEGNET_CAMVID)), "*annot", ignore_index=11)
    for entry in found:
        _pair(out, str(_image_beside(entry, out.entries)), entry, None)


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
    images: dict[str, list[str]] = {}
    for name in _pictures(out):
        if name not in taken:
            images.setdefault(PurePosixPath(name).stem.lstrip("0") or "0", []).append(name)
    for number in sorted(parts):
        first, found = next(iter(parts[number].values())), _celeba_image(images.get(number, []))
        if len(found) != 1:
            shown = f"may belong to any of {', '.join(found)}" if found else f"has no image: there is no {number}.jpg"
            out.problem(shown, first)
            continue
        size, key = out.size(found[0]), out.image(found[0])
        if size is not None and key is not None and (mask := _composed(out, parts[number], size)) is not None:
            out.mask(key, mask, first)
    aside = sum(len(found) for number, found in images.items() if number not in parts)
    if aside:
        out.note(f"{aside} pictures without masks of parts left aside")


def _celeba_image(found: list[str]) -> list[str]:
    """Those in the folder of the official set, where there are any."""
    return [name for name in found if "CelebA-HQ-img" in name.split("/")] or found


def _composed(out: Translation, parts: Mapping[str, str], size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Parts as one mask at the image's size; they come at half of it, so whole factors up are taken."""
    mask = np.zeros(size, np.uint8)
    for class_id, part in enumerate(CELEBA_PARTS, 1):
        if part not in parts:
            continue
        try:
            values = decode_image(out.bytes_of(parts[part]), out.limits).pixels[:, :, 0]
        except PictureError as error:
            out.problem(str(error), parts[part])
            return None
        where = values > (127 if values.max() > 1 else 0)  # 0 and 255, or 0 and 1 where a tool wrote them so
        factor = size[0] // where.shape[0]
        if factor < 1 or where.shape[0] * factor != size[0] or where.shape[1] * factor != size[1]:
            shape = f"{where.shape[1]} x {where.shape[0]}"
            out.problem(
                f"is {shape}, which is not an integer fraction of its image's {size[1]} x {size[0]}", parts[part]
            )
            return None
        mask[where.repeat(factor, 0).repeat(factor, 1)] = class_id
    return mask


def _pictures(out: Translation) -> list[str]:
    return [name for name in sorted(out.entries) if name.lower().endswith(PICTURE_SUFFIXES)]


def _pair_all(
    out: Translation,
    written: Mapping[str, str],
    images: list[str],
    table: ColourTable | None,
    targets: Mapping[str, NDArray[np.uint8]] | None = None,
) -> None:
    """Take each mask with its image. ``written``: the image's path without suffix, by mask. ``targets``: for a mask,
    uint8 [256] of the id that each of its values becomes.
    """
    found = ImageNames(images).find_all((name, mask) for mask, name in written.items())
    faults: dict[str, list[str]] = {}
    for mask, name in written.items():
        image = found[name, mask]
        if isinstance(image, ImageNameError):
            out.problem(f"has no image of the same name: {image}", mask)
        elif targets and mask in targets:
            _pair_mapped(out, image, mask, targets[mask])
        elif fault := _pair(out, image, mask, table):
            faults.setdefault(fault, []).append(mask)
    for fault, masks in faults.items():
        more = f" (as are {len(masks) - 1} more: {', '.join(masks[1:6])})" if len(masks) > 1 else ""
        out.problem(fault + more, masks[0])
    left = set(images) - {one for one in found.values() if isinstance(one, str)}
    if left:
        out.note(f"{len(left)} images without a mask left aside: {', '.join(sorted(left)[:6])}")


def _pair(out: Translation, image: str, mask: str, table: ColourTable | None) -> str:
    """Take an image with its mask of ids or, where there is a table, of colours. Return what is wrong, or ""."""
    key = out.image(image)
    if key is None:
        return ""
    if table is None:
        out.mask_entry(key, mask)
        return ""
    try:
        ids, note = ids_of(out.bytes_of(mask), out.limits, table)
    except PictureError as error:
        return str(error)
    if note:
        out.note_each(note, mask)
    out.mask(key, ids, mask)
    return ""


def _pair_mapped(out: Translation, image: str, mask: str, target: NDArray[np.uint8]) -> None:
    key = out.image(image)
    if key is None:
        return
    try:
        out.mask(key, target[decode_mask(out.bytes_of(mask), out.limits).pixels], mask)
    except PictureError as error:
        out.problem(str(error), mask)


def _text(out: Translation, entry: str) -> str | None:
    try:
        return decode_text(out.bytes_of(entry))
    except TextError as error:
        out.problem(str(error), entry)
        return None


def _labelmap(out: Translation, text: str, origin: str) -> tuple[dict[int, str], ColourTable]:
    """``name:r,g,b:parts:actions`` a line. Ids are places in the list, but for the line of Pascal VOC's border: a name
    that only states "ignored", in the border's colour. A class called so in another colour is a class.
    """
    names: dict[int, str] = {}
    declared: dict[Colour, int] = {}
    undeclared: dict[Colour, int] = {}
    standard = voc_colours()
    for place, line in enumerate(line for line in text.splitlines() if line.strip() and not line.startswith("#")):
        name, colour = _labelmap_line(line)
        ignored = colour == VOID_COLOUR and name.lower().startswith(("ignored", "void"))
        class_id = VOID if ignored else place
        if not ignored:
            names[class_id] = name
        if colour is None:
            undeclared[tuple(standard[place % 256].tolist())] = class_id
        elif colour in declared:
            other = names.get(declared[colour], "ignored")
            out.problem(f"gives the colour {colour} to {other!r} and to {name!r}: each colour is one class", origin)
        else:
            declared[colour] = class_id
    return names, ColourTable({**undeclared, **declared}, origin if declared else None)


def _labelmap_line(line: str) -> tuple[str, Colour | None]:
    match = _LABELMAP_LINE.fullmatch(line.strip())
    name, text = (match[1], match[2]) if match else line.partition(":")[::2]
    numbers = [int(one) for one in text.partition(":")[0].split(",") if one.strip().isdecimal()]
    if len(numbers) == 3 and max(numbers) < 256:
        return name.strip(), (numbers[0], numbers[1], numbers[2])
    return name.strip(), None


def _colour_list(text: str, origin: str) -> tuple[dict[int, str], ColourTable]:
    """``r g b name`` or ``name,r,g,b`` a line, ids in order; Void is ignored."""
    names: dict[int, str] = {}
    colours: dict[Colour, int] = {}
    for line in text.splitlines():
        name, *rest = line.split(",")
        if len(rest) == 3 and all(one.strip().isdigit() for one in rest):
            line = f"{rest[0]} {rest[1]} {rest[2]} {name}"
        match = _COLOUR_LINE.fullmatch(line)
        if match is None:
            continue
        class_id = VOID if match[4].lower() == "void" else len(names)
        if class_id < VOID:
            names[class_id] = match[4]
        colours[int(match[1]), int(match[2]), int(match[3])] = class_id
    return names, ColourTable(colours, origin)


def _label_ids() -> NDArray[np.uint8]:
    """Return uint8 [256]: the labelId of each labelTrainId of Cityscapes; other values stay, as they are no class."""
    table = np.arange(256, dtype=np.uint8)
    for train_id, name in enumerate(CITYSCAPES_TRAIN_IDS):
        table[train_id] = CITYSCAPES_IDS.index(name)
    table[len(CITYSCAPES_TRAIN_IDS) : VOID] = VOID - 1
    return table


_LABEL_IDS = _label_ids()


def _annotated_folder(name: str) -> bool:
    folder = PurePosixPath(name).parent.name
    return folder.endswith("annot") and folder != "annot" and name.lower().endswith(".png")


def _image_beside(mask: str, entries: Mapping[str, Path]) -> str | None:
    path = PurePosixPath(mask)
    beside = path.parent.with_name(path.parent.name.removesuffix("annot")) / path.stem
    return next((f"{beside}{one}" for one in (".png", ".jpg", ".jpeg") if f"{beside}{one}" in entries), None)
