"""WebDataset: files of one sample follow one another and share a key, which ends at the first dot of the file's name.

The format: https://github.com/webdataset/webdataset. Class of an image, in this order: ``key.cls`` (a number or a
name), an entry of ``key.json`` (``cls``, ``class``, ``class_name``, ``label``, ``category``), the line of ``key.txt``.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from core.training.image_sources.class_folders import is_image
from core.training.image_sources.contents import image_content
from core.training.image_sources.files import Files
from core.training.images import SourceImage

_CLASS_KEYS = ("cls", "class", "class_name", "label", "category")
_LABELS = (".cls", ".json", ".txt")
MOST_LABEL_BYTES = 1 << 20
_LONGEST_CLASS = 100


def is_webdataset(names: Sequence[str]) -> bool:
    """Return whether at least half of the images have a ``.cls``, ``.json`` or ``.txt`` file of their key."""
    keys = {_key(name) for name in names if PurePosixPath(name).name.partition(".")[1] and _extension(name) in _LABELS}
    images = [name for name in names if is_image(name)]
    return bool(images) and 2 * sum(_key(name) in keys for name in images) >= len(images)


def photographs_of_samples(files: Files) -> Iterator[SourceImage]:
    """Yield the photographs with their classes. Memory holds one sample."""
    sample: dict[str, bytes] = {}
    names: list[str] = []
    key = None
    for name, path in files.each():
        if _key(name) != key:
            yield from _images(names, sample)
            sample, names, key = {}, [], _key(name)
        if is_image(name):
            names.append(name)
            sample[name] = image_content(path)
        elif _extension(name) in _LABELS:
            sample[_extension(name)] = _beginning(path)
    yield from _images(names, sample)


def _key(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.parent / path.name.partition(".")[0])


def _extension(name: str) -> str:
    """Return what follows the key's first dot, with it, in lower case."""
    return "." + PurePosixPath(name).name.partition(".")[2].lower()


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_LABEL_BYTES)


def _images(names: Sequence[str], sample: dict[str, bytes]) -> Iterator[SourceImage]:
    class_name = _class_of(sample)
    for name in names:
        yield SourceImage(name, sample[name], class_name)


def _class_of(sample: dict[str, bytes]) -> str | None:
    if ".cls" in sample:
        return _named(sample[".cls"].decode("utf-8", "replace"))
    if ".json" in sample and (found := _in_json(sample[".json"])) is not None:
        return found
    return _named(sample[".txt"].decode("utf-8", "replace")) if ".txt" in sample else None


def _in_json(content: bytes) -> str | None:
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError):
        return None
    values = (document.get(key) for key in _CLASS_KEYS) if isinstance(document, dict) else ()
    found = next((value for value in values if isinstance(value, str | int) and not isinstance(value, bool)), None)
    return None if found is None else _named(str(found))


def _named(text: str) -> str | None:
    """Return a class's name; None for what is none, such as a text of several lines."""
    name = text.strip()
    return name if 0 < len(name) <= _LONGEST_CLASS and name.isprintable() else None
