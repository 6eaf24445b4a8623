"""Which file of an archive is what, by its name alone.

Our layout of the archive, which may stand in one top-level folder (others: :mod:`core.formats.readers`)::

    images/NAME.jpg|png|webp|bmp
    masks/NAME.png                  palette or grey PNG whose values are class ids
    classes.json                    their names
    keypoints.json                  named points of each image, see :mod:`core.label_sets.keypoints`
    depth/NAME.png|npy|exr          a depth for each pixel, see :mod:`core.label_sets.depth_maps`
    depth.json                      what its numbers mean
    boxes.json                      where the subject is, for images that are to be aligned by it
    image_classes.csv               class of each image, for generators with classes

Any of masks, keypoints and depth may be left out; what is there must be there for every image. Boxes are no labels, and
some images may have none. NAME may hold folders: ``images/left/0001.jpg`` belongs to ``masks/left/0001.png``, and
``images/right/0001.jpg`` is another image.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import Problem
from core.formats.readers import FORMATS
from core.label_sets.boxes import BOXES
from core.label_sets.depth_maps import DEPTH_FILE, DEPTHS
from core.label_sets.image_classes import IMAGE_CLASSES
from core.label_sets.keypoints import KEYPOINTS
from core.label_sets.label_set import MAX_IMAGES, Note

IMAGES, MASKS, CLASSES = "images", "masks", "classes.json"


@dataclass
class Layout:
    """Where things are: the entry's name by the image's name, which is its path in ``images/`` without suffix.

    ``root``: the folder around everything, with its slash.
    """

    root: str
    images: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    depths: dict[str, str] = field(default_factory=dict)
    classes: str | None = None
    keypoints: str | None = None
    boxes: str | None = None
    unit: str | None = None
    image_classes: str | None = None

    @property
    def labelled(self) -> bool:
        """Whether there are labels of any task."""
        return bool(self.masks or self.depths or self.keypoints)


def find_layout(files: Mapping[str, Path], root: str, archive_name: str) -> tuple[Layout, list[Problem], list[Note]]:
    """The layout, what is wrong with it, and what was left aside. ``files``: by the entry's name."""
    layout = Layout(root)
    problems: list[Problem] = []
    folders = {IMAGES: layout.images, MASKS: layout.masks, DEPTHS: layout.depths}
    singles = {CLASSES: "classes", KEYPOINTS: "keypoints", BOXES: "boxes", DEPTH_FILE: "unit"}
    singles[IMAGE_CLASSES] = "image_classes"
    others: list[str] = []
    for name in sorted(files):
        place = name.removeprefix(root)
        folder, _, rest = place.partition("/")
        if place in singles:
            setattr(layout, singles[place], name)
        elif rest and folder in folders:
            wrong = _put(name, rest, folders[folder])
            problems += [Problem(wrong, name)] if wrong else []
        else:
            others.append(name)
    _name_like_images(layout)
    problems += _absent(layout, files, archive_name)
    aside = f"left aside, as they are in none of {'/, '.join(folders)}/: {listed(others)}"
    return layout, problems, [Note(aside)] if others else []


def _name_like_images(layout: Layout) -> None:
    """Give masks and depths the names of their images where those differ in case or Unicode form alone."""
    names = {_comparable(name): name for name in layout.images}
    for found in (layout.masks, layout.depths):
        for name in [one for one in found if one not in layout.images]:
            image = names.get(_comparable(name), name)
            if image not in found:
                found[image] = found.pop(name)


def _absent(layout: Layout, files: Mapping[str, Path], archive_name: str) -> list[Problem]:
    """A problem where images or labels are missing altogether."""
    holds = f"it holds {listed(_tops(files))}"
    if not layout.images and not layout.labelled:
        known = ", ".join(one.name for one in FORMATS)
        return [Problem(f"is not our layout ({IMAGES}/, {MASKS}/, {CLASSES}), nor {known}; {holds}", archive_name)]
    folders = ((IMAGES, layout.images), (MASKS, layout.labelled))
    return [Problem(f"holds no files in {folder}/; {holds}", archive_name) for folder, found in folders if not found]


def unpaired(layout: Layout, archive_name: str) -> list[Problem]:
    """Images without a label, labels without an image, too few and too many of them."""
    if not layout.images or not layout.labelled:
        return []
    problems = []
    for folder, kind, found in ((MASKS, "mask", layout.masks), (DEPTHS, "depth", layout.depths)):
        for stem in sorted(layout.images.keys() - found.keys()) if found else ():
            missing = f"has no {kind}: {layout.root}{folder}/{stem}.png is missing"
            problems.append(Problem(missing, layout.images[stem]))
        for stem in sorted(found.keys() - layout.images.keys()):
            problems.append(Problem(f"has no image: there is no {layout.root}{IMAGES}/{stem}.*", found[stem]))
    count = len(layout.images)
    if count < 2:
        problems.append(Problem(f"holds {count} image: at least 2 are needed", archive_name))
    if count > MAX_IMAGES:
        many = f"holds {count:,} images: a label set has at most {MAX_IMAGES:,}"
        problems.append(Problem(many, archive_name))
    return problems


def is_ours(names: Mapping[str, Path]) -> bool:
    """Whether the folders are those of our own layout: masks with their class map, as other tools have masks too."""
    root = single_root(names)
    tops = {name.removeprefix(root).partition("/")[0] for name in names}
    return IMAGES in tops and (bool({DEPTHS, KEYPOINTS} & tops) or {MASKS, CLASSES} <= tops)


def single_root(names: Mapping[str, Path]) -> str:
    """``"folder/"`` where everything lies in one folder (or in folders within it, ``"a/b/"``) that is not itself part
    of the layout, else ``""``.
    """
    root = ""
    while True:
        tops = {name.removeprefix(root).partition("/")[0] for name in names}
        top = next(iter(tops), "")
        if len(tops) != 1 or top in (IMAGES, MASKS, DEPTHS) or root + top in names:
            return root
        root += f"{top}/"


def listed(words: tuple[str, ...] | list[str], most: int = 6) -> str:
    """The first of them, and how many more there are."""
    rest = f" and {len(words) - most} more" if len(words) > most else ""
    return (", ".join(words[:most]) or "nothing") + rest


def _put(name: str, rest: str, into: dict[str, str]) -> str | None:
    """Put an entry under its path without suffix; return the problem with that, or None."""
    stem, dot, _ = rest.rpartition(".")
    stem = stem if dot and stem and not stem.endswith("/") else rest
    if stem in into:
        return f"has the same name as {into[stem]}"
    into[stem] = name
    return None


def _comparable(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _tops(names: Mapping[str, Path]) -> list[str]:
    return sorted({top + ("/" if slash else "") for top, slash, _ in (name.partition("/") for name in names)})
