"""Classes of a conditional generator in a request: indices or names."""

from collections.abc import Sequence
from typing import NamedTuple


class WrongClass(NamedTuple):
    """One entry of a list of classes that cannot be used: its place in the list, and why."""

    at: int
    detail: str


class ClassList(NamedTuple):
    """Class indices in the order of the request, and every entry that is none."""

    indices: tuple[int, ...]
    wrong: tuple[WrongClass, ...]


def class_indices(wanted: Sequence[int | str], names: Sequence[str], count: int) -> ClassList:
    """Return the indices of classes that a request lists; all classes for an empty list.

    names: of the generator's classes, in their order; empty where they have none. count: how many classes it has.
    """
    if not wanted:
        return ClassList(tuple(range(count)), ())
    found: list[int] = []
    wrong = []
    for at, one in enumerate(wanted):
        places = [one] if isinstance(one, int) else [place for place, name in enumerate(names) if name == one]
        if len(places) > 1:
            listed = ", ".join(map(str, places))
            wrong.append(WrongClass(at, f"several classes are named {one!r}; give one of their indices: {listed}"))
        elif not places:
            wrong.append(WrongClass(at, f"no class is named {one!r}" if names else "the classes have no names"))
        elif not 0 <= places[0] < count:
            wrong.append(WrongClass(at, f"expected 0 to {count - 1}, found {places[0]}"))
        elif places[0] in found:
            wrong.append(WrongClass(at, "the class is listed twice"))
        else:
            found.append(places[0])
    return ClassList(tuple(found), tuple(wrong))
