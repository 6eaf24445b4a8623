"""The class map of a label set: which id means what, and which id says nothing.

Ids never shift: the id in a user's mask is the id in every mask, file and table made from it. So the number of channels
of a labeler is the largest id plus one, gaps included.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import LabelSetError, Problem
from core.label_sets.reading.json_files import parse_json, shortened

MAX_ID = 254
DEFAULT_IGNORE_INDEX = 255
MAX_NAME_LENGTH = 80
MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class ClassMap:
    """Names by id (0..254) and the id of pixels that count for nothing (0..255, never a class id).

    A label set of keypoints or depth alone has no names, and all its pixels are ignored.

    >>> ClassMap.from_json(["background", "hair"]).names
    {0: 'background', 1: 'hair'}
    """

    names: Mapping[int, str]
    ignore_index: int = DEFAULT_IGNORE_INDEX

    @property
    def ids(self) -> tuple[int, ...]:
        """Class ids in ascending order."""
        return tuple(sorted(self.names))

    @property
    def count(self) -> int:
        """Channels that a labeler of these classes has: the largest id plus one."""
        return max(self.names, default=-1) + 1

    def name(self, class_id: int) -> str:
        """The class's name; ``"ignored"`` for the ignore index, ``"class 7"`` for an id without a name."""
        if class_id == self.ignore_index:
            return "ignored"
        return self.names.get(class_id, f"class {class_id}")

    def to_json(self) -> dict[str, Any]:
        """The canonical form, ids ascending: ``{"classes": [{"id": 0, "name": …}, …], "ignore_index": 255}``."""
        return {
            "classes": [{"id": class_id, "name": self.names[class_id]} for class_id in self.ids],
            "ignore_index": self.ignore_index,
        }

    @classmethod
    def from_json(cls, document: object, pointer: str = "classes.json") -> "ClassMap":
        """Read any of the accepted forms.

        ``{"classes": [{"id": 0, "name": "background"}, …], "ignore_index": 255}`` is the canonical one; ``classes`` may
        also be a list of names (ids by position) or a map ``{"0": "background"}``, and either may stand alone.

        Raises :class:`core.errors.LabelSetError` with every problem found, each pointing to ``pointer``.
        """
        problems: list[str] = []
        entries, ignore_index = _split(document, problems)
        names = _names(entries, problems)
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int) or not 0 <= ignore_index <= 255:
            problems.append(f"ignore_index is {shortened(ignore_index)}: it must be a whole number from 0 to 255")
        elif ignore_index in names:
            problems.append(f"ignore_index {ignore_index} is also the id of the class {names[ignore_index]!r}")
        if not problems and len(names) < 2:
            problems.append(f"names {len(names)} class{'' if len(names) == 1 else 'es'}: at least two are needed")
        if problems:
            raise LabelSetError("the class map is not usable", (Problem(text, pointer) for text in problems))
        assert isinstance(ignore_index, int)
        return cls(names=dict(sorted(names.items())), ignore_index=ignore_index)

    @classmethod
    def from_bytes(cls, content: bytes, pointer: str = "classes.json") -> "ClassMap":
        """Parse a ``classes.json`` file of at most 1 MiB; errors as in :meth:`from_json`."""
        try:
            document = parse_json(content, MAX_FILE_BYTES, _without_repeats)
        except ValueError as error:
            raise LabelSetError("the class map is not readable", [Problem(str(error), pointer)]) from error
        return cls.from_json(document, pointer)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {shortened(next(key for key in keys if keys.count(key) > 1))} appears twice")
    return document


def _split(document: object, problems: list[str]) -> tuple[Iterable[tuple[object, object]], object]:
    """Entries as (id, name) pairs, not yet checked, and the ignore index."""
    ignore_index: object = DEFAULT_IGNORE_INDEX
    classes = document
    if isinstance(document, dict) and "classes" in document:
        classes = document["classes"]
        ignore_index = document.get("ignore_index", DEFAULT_IGNORE_INDEX)
    if isinstance(classes, dict):
        pairs = [(key, name) for key, name in classes.items() if classes is not document or key != "ignore_index"]
        if classes is document:
            ignore_index = classes.get("ignore_index", DEFAULT_IGNORE_INDEX)
        return [(_id_from_key(key), name) for key, name in pairs], ignore_index
    if isinstance(classes, list):
        if all(isinstance(entry, dict) for entry in classes):
            return [(entry.get("id"), entry.get("name")) for entry in classes], ignore_index
        return list(enumerate(classes)), ignore_index
    problems.append('holds no classes: write {"classes": [{"id": 0, "name": "background"}, …], "ignore_index": 255}')
    return [], ignore_index


def _id_from_key(key: str) -> object:
    return int(key) if key.isascii() and key.isdigit() and len(key) < 4 else key


def _names(entries: Iterable[tuple[object, object]], problems: list[str]) -> dict[int, str]:
    names: dict[int, str] = {}
    seen: dict[str, int] = {}
    for class_id, name in entries:
        if isinstance(class_id, bool) or not isinstance(class_id, int) or not 0 <= class_id <= MAX_ID:
            hint = "; write the foreground of a 0/255 mask as 1" if class_id == 255 else ""
            problems.append(f"class id {shortened(class_id)}: ids are whole numbers from 0 to {MAX_ID}{hint}")
        elif not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
            wanted = f"names are 1 to {MAX_NAME_LENGTH} printable characters"
            problems.append(f"class {class_id} has the name {shortened(name)}: {wanted}")
        elif class_id in names:
            problems.append(f"class id {class_id} appears twice: {names[class_id]!r} and {name!r}")
        elif name in seen:
            problems.append(f"the name {name!r} is given to class {seen[name]} and to class {class_id}")
        else:
            names[class_id] = name
            seen[name] = class_id
    return names
