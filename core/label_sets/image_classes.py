"""Class of each whole image, for generators with classes: ``image_classes.csv`` in an untrusted archive.

::

    image,class
    images/0001.png,golden retriever
    0002.png,207

A class is an index or a name of the generator's classes; where there is a column ``class_index``, it is read instead of
``class``, so that the table of a set of samples can be used as it is. These are no labels of pixels.
"""

import csv
import io
from collections.abc import Mapping

from core.errors import LabelSetError, Problem

IMAGE_CLASSES = "image_classes.csv"
MAX_FILE_BYTES = 4 << 20

ImageClass = int | str
"""Index or name of a class of a generator."""


def parse_image_classes(content: bytes, pointer: str = IMAGE_CLASSES) -> Mapping[str, ImageClass]:
    """Return the class by image name, as the file has them. Raises :class:`LabelSetError` naming every wrong row."""
    if len(content) > MAX_FILE_BYTES:
        raise _unusable([Problem(f"{len(content):,} bytes: at most {MAX_FILE_BYTES:,} are read", pointer)])
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _unusable([Problem(f"not a CSV table in UTF-8: {error}", pointer)]) from None
    columns = set(rows[0]) if rows else set()
    if "image" not in columns or not columns & {"class", "class_index"}:
        raise _unusable([Problem("expected a header with image and class (or class_index), and a row", pointer)])
    column = "class_index" if "class_index" in columns else "class"
    found: dict[str, ImageClass] = {}
    problems = []
    for number, row in enumerate(rows, start=2):
        image, value = (row.get("image") or "").strip(), (row.get(column) or "").strip()
        if not image or not value:
            problems.append(Problem(f"line {number} has no {column if image else 'image'}", pointer))
        elif image in found:
            problems.append(Problem(f"line {number} names the image {image!r} again", pointer))
        else:
            found[image] = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else value[:200]
    if problems:
        raise _unusable(problems[:20])
    return found


def _unusable(problems: list[Problem]) -> LabelSetError:
    return LabelSetError("the classes of the images are not usable", problems)
