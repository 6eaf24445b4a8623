"""Photographs in folders: without classes, or with a folder for each class (the layout of ImageFolder)."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from core.training.image_sources.contents import image_content
from core.training.image_sources.files import Files
from core.training.images import SourceImage

#: The latter are read by no decoder here, and are named as unreadable.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".jfif", ".gif", ".tif", ".tiff", ".heic", ".avif", ".ppm")
#: Folders that are parts of a dataset or hold images, and no class.
_NO_CLASSES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "images", "imgs", "img"})


def is_image(name: str) -> bool:
    """Return whether the name is that of a photograph."""
    return PurePosixPath(name.lower()).suffix in IMAGE_SUFFIXES


def class_of_name(names: Sequence[str]) -> Callable[[str], str | None]:
    """Return the rule that gives the class of an image's name: the first folder in which names of images differ.

    Folders that all images share, and those with names of splits such as ``train``, are passed over; images that are
    all in one folder have no class.
    """
    folders = {name: _folders(name) for name in names}
    shared = _shared(list(folders.values()))
    classes = {one[shared] for one in folders.values() if len(one) > shared}
    if len(classes) < 2:
        return lambda _name: None

    def rule(name: str) -> str | None:
        parts = _folders(name)
        return parts[shared] if len(parts) > shared else None

    return rule


def photographs_in_folders(files: Files) -> Iterator[SourceImage]:
    """Yield the photographs with their classes; files of other kinds are passed over."""
    rule = class_of_name([name for name in files.names if is_image(name)])
    for name, path in files.each():
        if is_image(name):
            yield SourceImage(name, image_content(path), rule(name))


def _folders(name: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(name).parts[:-1] if part.lower() not in _NO_CLASSES)


def _shared(folders: Sequence[tuple[str, ...]]) -> int:
    """Return how many leading folders all have in common."""
    if not folders:
        return 0
    low, high = min(folders), max(folders)
    return next((at for at, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), len(low))
