"""CVAT's XML ("for images 1.1"): polygons, masks, boxes and ellipses by label name."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from core.formats.class_names import JoinedClasses, join_classes
from core.formats.image_names import ImageNameError, ImageNames
from core.formats.painting import Shape, paint
from core.formats.shapes import Patch, ShapeError, around, box, ellipse, filled, flat, row_runs
from core.formats.translation import Translation, with_background
from core.label_sets.reading.json_files import number, whole_number

Element = ElementTree.Element
Size = tuple[int, int]


def find_cvat(entries: Mapping[str, Path]) -> list[str]:
    """Return the XML files whose outermost element is ``annotations``."""
    return [name for name in sorted(entries) if name.lower().endswith(".xml") and _begins(entries[name])]


def read_cvat(out: Translation) -> None:
    """Join all files; labels get ids in their order, behind background 0. Shapes lie over each other by ``z_order``.

    Images without any shape are left out: CVAT lists every image of a task, labelled or not.
    """
    roots = {name: root for name in find_cvat(out.entries) if (root := _root(out, name)) is not None}
    if not roots:
        return
    labels = {name: _labels(root) for name, root in roots.items()}
    every = list(dict.fromkeys(label for own in labels.values() for label in own))
    ids = {label: class_id for class_id, label in with_background(every).items()}
    joined = join_classes({name: {ids[label]: label for label in labels[name]} for name in roots}, out)
    known = {label: class_id for class_id, label in joined.names.items()}
    images = _images(out, roots)
    labelled = {entry: image for entry, (_, image) in images.items() if any(shape.tag != "tag" for shape in image)}
    for entry in sorted(images.keys() - labelled.keys()):
        out.note_each("left out, as they have no shape: whether they were looked at is not known", entry)
    if images and len(labelled) < 2 and not out.problems:
        text = f"{len(labelled)} of {len(images)} images have a shape, the others are not labelled: 2 are needed"
        out.problem(text, next(iter(roots)))
    for entry in sorted(labelled):
        _paint(out, images[entry][0], entry, labelled[entry], known, joined)


def parsed(content: bytes) -> Element:
    """The document. One with a DTD is refused: entities that grow or reach out come from there. Raises ValueError."""
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ValueError("it holds a document type definition")

    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(content, True)
    return ElementTree.fromstring(content)  # noqa: S314 - without a DTD there are no entities


def _begins(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<annotations" in file.read(4096).replace(b"\0", b"")


def _root(out: Translation, name: str) -> Element | None:
    try:
        root = parsed(out.bytes_of(name))
    except (ElementTree.ParseError, expat.ExpatError, ValueError) as error:
        out.problem(f"is not readable as XML: {error}", name)
        return None
    if root.find("track") is not None:
        text = 'holds tracks ("CVAT for video"), which are not read: export the task as "CVAT for images 1.1"'
        out.problem(text, name)
        return None
    return root


def _labels(root: Element) -> list[str]:
    """The labels that the file declares, else those of its shapes."""
    declared = [one.text or "" for one in root.findall("./meta//labels/label") for one in one.findall("name")]
    return list(dict.fromkeys(declared)) or sorted({shape.get("label", "") for shape in root.findall("image/*")})


def _images(out: Translation, roots: Mapping[str, Element]) -> dict[str, tuple[str, Element]]:
    """By entry, the file that lists the picture and its element there."""
    names = ImageNames(out.entries)
    listed = [(name, image) for name, root in roots.items() for image in root.findall("image")]
    found = names.find_all((one, name) for name, image in listed for one in _written(image))
    images: dict[str, tuple[str, Element]] = {}
    for name, image in listed:
        answers = [found[one, name] for one in _written(image)]
        entry = next((one for one in answers if isinstance(one, str)), answers[-1])
        if isinstance(entry, ImageNameError):
            out.problem(str(entry), name)
            continue
        other, shapes = images.get(entry, (name, None))
        if shapes is None or not len(shapes):
            images[entry] = name, image
        elif len(image) and [_plain(one) for one in image] != [_plain(one) for one in shapes]:
            where = f"in {name}" if other == name else f"in {other} and in {name}"
            out.problem(f"is labelled twice, {where}: keep one of them", entry)
    return images


def _written(image: Element) -> list[str]:
    """The names that an image may have in the archive: in the folder of its subset first."""
    name, subset = image.get("name", ""), image.get("subset")
    return [f"{subset}/{name}", name] if subset else [name]


def _plain(shape: Element) -> tuple[str, dict[str, str]]:
    return shape.tag, dict(shape.attrib)


def _paint(
    out: Translation, origin: str, entry: str, image: Element, known: Mapping[str, int], joined: JoinedClasses
) -> None:
    size = out.agreed_size(entry, image.get("height"), image.get("width"), origin)
    if size is None:
        return
    shapes = []
    for element in sorted(image, key=lambda one: whole_number(one.get("z_order", "0")) or 0):
        label = element.get("label", "")
        try:
            if label not in known:
                raise ShapeError(f"unknown label {label!r}")
            shape = _shape(out, entry, element, known[label], size)
        except ValueError as error:
            out.problem(f"{image.get('name')}, {element.tag} {label!r}: {error}", origin)
            continue
        if shape is not None:
            shapes.append(shape)
            if not shape.pixels:
                out.note_each("shapes that cover no pixel of their image", f"{element.tag} {label!r} of {entry}")
    paint(out, entry, shapes, size, joined.background)


def _shape(out: Translation, entry: str, element: Element, class_id: int, size: Size) -> Shape | None:
    if element.tag in _AREAS:
        if element.tag == "box":
            out.note_each("boxes are read as filled rectangles", entry)
        return Shape.of(out, entry, class_id, partial(_AREAS[element.tag], element, size))
    if element.tag == "tag":
        out.note_each("tags of whole images are left aside", entry)
        return None
    text = f"shapes of the kind {element.tag} have no area: their pixels are ignored, neither class nor background"
    out.note_each(text, entry)
    return Shape.of(out, entry, None, partial(_extent, element, size))


def _polygon(element: Element, size: Size) -> Patch:
    return filled([flat(_points(element))], *size)


def _points(element: Element) -> list[tuple[float, float]]:
    pairs = [[float(one) for one in point.split(",")] for point in element.get("points", "").split(";") if point]
    if not all(len(pair) == 2 for pair in pairs):
        raise ShapeError("its points are not pairs of numbers")
    return [(x, y) for x, y in pairs]


def _mask(element: Element, size: Size) -> Patch:
    left, top, width, height = (whole_number(element.get(key)) for key in ("left", "top", "width", "height"))
    if left is None or top is None or width is None or height is None:
        raise ShapeError("its box is not whole numbers left, top, width, height")
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[1] or top + height > size[0]:
        raise ShapeError("its box lies outside of the image")
    counts = [one.strip() for one in element.get("rle", "").split(",")]
    return row_runs(counts, left, top, (height, width), size)


def _box(element: Element, size: Size) -> Patch:
    left, top, right, bottom = _numbers(element, "xtl", "ytl", "xbr", "ybr")
    return filled([box(left, top, right - left, bottom - top, _rotation(element))], *size)


def _ellipse(element: Element, size: Size) -> Patch:
    x, y, across, down = _numbers(element, "cx", "cy", "rx", "ry")
    return filled([ellipse(x, y, across, down, _rotation(element))], *size)


def _rotation(element: Element) -> float:
    return _numbers(element, "rotation")[0] if "rotation" in element.attrib else 0.0


def _numbers(element: Element, *keys: str) -> list[float]:
    found = [number(element.get(key)) for key in keys]
    if None in found:
        missing = ", ".join(key for key, one in zip(keys, found, strict=True) if one is None)
        raise ShapeError(f"its {missing} is not a number")
    return [one for one in found if one is not None]


def _extent(element: Element, size: Size) -> Patch:
    """The box around the points of a shape without an area, those of a skeleton or cuboid included."""
    pairs = [pair for one in element.iter() if one.get("points") for pair in _points(one)]
    for left, right in (("x", "y"), *_CORNERS):
        x, y = number(element.get(left)), number(element.get(right))
        pairs += [(x, y)] if x is not None and y is not None else []
    if not pairs:
        return filled([], *size)
    across, down = [x for x, _ in pairs], [y for _, y in pairs]
    return filled([around(min(across), min(down), max(across), max(down))], *size)


#: Attributes of a cuboid's corners.
_CORNERS = tuple((f"x{one}", f"y{one}") for one in ("tl1", "tr1", "bl1", "br1", "tl2", "tr2", "bl2", "br2"))
_AREAS: Mapping[str, Callable[[Element, Size], Patch]] = {
    "polygon": _polygon, "mask": _mask, "box": _box, "ellipse": _ellipse,
}  # fmt: skip
