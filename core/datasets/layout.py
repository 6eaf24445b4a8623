"""Which file of an archive is what, by its name alone.

Our layout of the archive, which may stand in one top-level folder (others: :mod:`core.datasets.foreign`)::

    images/NAME.jpg|png|webp|bmp
    masks/NAME.png                  palette or grey PNG whose values are class ids
    classes.json                    their names
    keypoints.json                  named points of each image, see :mod:`core.datasets.keypoints`
    depth/NAME.png|npy|exr          a depth for each pixel, see :mod:`core.datasets.depths`
    depth.json                      what its numbers mean
    boxes.json                      where the subject is, for images that are to be aligned by it

Any of masks, keypoints and depth may be left out; what is there must be there for every image. Boxes are no labels, and
some images may have none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.datasets.boxes import BOXES
from core.datasets.depths import DEPTH_FILE, DEPTHS
from core.datasets.foreign import FORMATS
from core.datasets.keypoints import KEYPOINTS
from core.datasets.label_set import Note
from core.errors import Problem

IMAGES, MASKS, CLASSES = "images", "masks", "classes.json"
MAX_IMAGES = 1000


@dataclass
class Layout:
    """Where things are: by stem, the entry's name. ``root``: the folder around everything, with its slash."""

    root: str
    images: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    depths: dict[str, str] = field(default_factory=dict)
    classes: str | None = None
    keypoints: str | None = None
    boxes: str | None = None
    unit: str | None = None

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
    for folder, found in ((IMAGES, layout.images), (MASKS, layout.labelled)):
        if not found:
            problems.append(Problem(f"holds no files in {folder}/; it holds {listed(_tops(files))}", archive_name))
    if not layout.images and not layout.labelled:
        known = ", ".join(one.name for one in FORMATS)
        problems.append(Problem(f"is not our layout ({IMAGES}/, {MASKS}/, {CLASSES}), nor {known}", archive_name))
    aside = f"left aside, as they are in none of {'/, '.join(folders)}/: {listed(others)}"
    return layout, problems, [Note(aside)] if others else []


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
    """Whether the folders are those of our own layout."""
    root = single_root(names)
    tops = {name.removeprefix(root).partition("/")[0] for name in names}
    return IMAGES in tops and bool({MASKS, DEPTHS, KEYPOINTS} & tops)


def single_root(names: Mapping[str, Path]) -> str:
    """``"folder/"`` when everything lies in one folder that is not itself part of the layout, else ``""``."""
    tops = {name.partition("/")[0] for name in names}
    top = next(iter(tops), "")
    inside = len(tops) == 1 and top not in (IMAGES, MASKS) and top not in names
    return f"{top}/" if inside else ""


def listed(words: tuple[str, ...] | list[str], most: int = 6) -> str:
    """The first of them, and how many more there are."""
    rest = f" and {len(words) - most} more" if len(words) > most else ""
    return (", ".join(words[:most]) or "nothing") + rest


def _put(name: str, rest: str, into: dict[str, str]) -> str | None:
    """Under its stem; what is wrong with that, or None."""
    if "/" in rest:
        return f"lies in a folder of its own: {name.removesuffix(rest)} has no folders inside"
    stem, dot, _ = rest.rpartition(".")
    stem = stem if dot and stem else rest
    if stem in into:
        return f"has the same name as {into[stem]}"
    into[stem] = name
    return None


def _tops(names: Mapping[str, Path]) -> list[str]:
    return sorted({top + ("/" if slash else "") for top, slash, _ in (name.partition("/") for name in names)})
