"""Make one class map of the class lists of several annotation files.

Ids are per file; names decide. Where ids of different files agree they stay as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from core.formats.translation import LARGEST_ID, Translation, free_background

#: The class ids of one file, as it writes them, with their names.
FileClasses = Mapping[int | str, str]


@dataclass(frozen=True)
class JoinedClasses:
    """``names``: by class id. ``ids``: by file, the class id of each of its own ids. ``background``: its class id."""

    names: Mapping[int, str]
    ids: Mapping[str, Mapping[int | str, int]]
    background: int


def join_classes(files: Mapping[str, FileClasses], out: Translation) -> JoinedClasses:
    """Join the class lists of ``files`` (by entry) and give them to ``out``.

    A class keeps its id where every file agrees on it and a mask can hold it; else it gets a free one, with a note.
    Conflicts that names cannot settle become problems. Raises :class:`core.errors.LabelSetError` where there are more
    classes than ids.
    """
    _check(files, out)
    order = list(dict.fromkeys(name for classes in files.values() for name in classes.values()))
    wanted: dict[str, int] = {}
    for classes in files.values():
        for written, name in classes.items():
            if isinstance(written, int) and 0 <= written <= LARGEST_ID and written not in wanted.values():
                wanted.setdefault(name, written)
    if len(order) <= LARGEST_ID:
        free = (one for one in range(1, LARGEST_ID + 1) if one not in wanted.values())
        for name in order:
            if name not in wanted:
                wanted[name] = next(free)
    else:
        wanted = {name: place for place, name in enumerate(order)}
    names, background = free_background({class_id: name for name, class_id in wanted.items()})
    ids = {origin: {written: wanted[name] for written, name in classes.items()} for origin, classes in files.items()}
    moved = [
        f"{name} is {written} in {origin} and {wanted[name]} here"
        for origin, classes in files.items()
        for written, name in classes.items()
        if written != wanted[name]
    ]
    if moved:
        more = f"; {len(moved) - 6} more" if len(moved) > 6 else ""
        out.note(f"classes are joined by name: {'; '.join(moved[:6])}{more}")
    out.classes(names, next(iter(files), ""))
    return JoinedClasses(names, ids, background)


def _check(files: Mapping[str, FileClasses], out: Translation) -> None:
    """Add problems for names that stand twice in a file, and for names of two files that differ in case alone."""
    seen: dict[str, tuple[str, str]] = {}
    for origin, classes in files.items():
        own: dict[str, int | str] = {}
        for written, name in classes.items():
            if name in own:
                text = f"the name {name!r} is given to the classes {own[name]!r} and {written!r}: rename one of them"
                out.problem(text, origin)
            own[name] = written
            other, at = seen.setdefault(name.strip().casefold(), (name, origin))
            if other != name and at != origin:
                text = f"has a class {name!r} where {at} has {other!r}: write both alike if they are one class"
                out.problem(f"{text}, and unlike if they are two", origin)
