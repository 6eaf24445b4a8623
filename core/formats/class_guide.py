"""The caller's own class map beside a foreign format: which classes become which.

``classes.json`` names the wanted classes as always; ``sources`` says what of the archive becomes which of them::

    {"classes": ["background", "vehicle"], "sources": {"car": "vehicle", "truck": "vehicle", "sky": "background",
     "void": 255}}

A class of the archive that has the name of a wanted one needs no line. Lines begin with a name or an id of the archive,
and end with a name, an id, or the ignore index. ``{"collapse": "celebamask_hq_8"}`` alone is one of the papers' maps
(:mod:`core.tasks.presets`).

``"uncovered": "ignored"`` or ``"background"`` decides what pixels are that no shape covers, in formats that list
shapes; without it each image is judged by its shapes (:func:`core.formats.painting.painted`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import LabelSetError, Problem
from core.label_sets.classes import MAX_FILE_BYTES, ClassMap
from core.tasks.presets import COLLAPSES, Collapse

#: What pixels are that no shape covers.
Uncovered = Literal["ignored", "background"]


@dataclass(frozen=True)
class ClassGuide:
    """``sources``: name or id (as text) in the archive → wanted id. ``pointer``: the file it was read from.
    ``uncovered``: None where it is judged image by image.
    """

    classes: ClassMap
    sources: Mapping[str, int]
    pointer: str
    uncovered: Uncovered | None = None

    @classmethod
    def from_bytes(cls, content: bytes, pointer: str) -> "ClassGuide":
        """Raises :class:`core.errors.LabelSetError` with everything that is wrong."""
        preset = _preset(content, pointer)
        if preset is not None:
            names = ClassMap.from_json(list(preset.names), pointer)
            return cls(names, {str(source): target for source, target in preset.targets.items()}, pointer)
        classes = ClassMap.from_bytes(content, pointer)
        document = json.loads(content.decode("utf-8-sig"))
        lines = document.get("sources", {}) if isinstance(document, dict) else {}
        if not isinstance(lines, dict):
            raise _refusal(['sources is a map: {"car": "vehicle", "sky": 255}'], pointer)
        ids = {name: class_id for class_id, name in classes.names.items()}
        sources, problems = {}, []
        for source, target in lines.items():
            place = ids.get(target) if isinstance(target, str) else target
            known = isinstance(place, int) and not isinstance(place, bool)
            if known and (place in classes.names or place == classes.ignore_index):
                sources[source] = int(str(place))
            else:
                problems.append(f"sources sends {source!r} to {target!r}, which is no class here")
        uncovered = document.get("uncovered") if isinstance(document, dict) else None
        if uncovered not in (None, *get_args(Uncovered)):
            problems.append(f"uncovered is {uncovered!r}: expected {' or '.join(get_args(Uncovered))}")
        if problems:
            raise _refusal(problems, pointer)
        return cls(classes, sources, pointer, uncovered)

    def targets(self, names: Mapping[int, str], ignore_index: int) -> tuple[NDArray[np.uint8], str]:
        """uint8 [256]: the wanted id for each id of the archive, and the same in words.

        Raises :class:`core.errors.LabelSetError` naming every class that has no place.
        """
        same = {name.strip().lower(): class_id for class_id, name in self.classes.names.items()}
        table = np.full(256, self.classes.ignore_index, np.uint8)
        lost, words = [], []
        for class_id, name in sorted(names.items()):
            place = self.sources.get(name, self.sources.get(str(class_id), same.get(name.strip().lower())))
            if place is None:
                lost.append(f"has no target for the class {class_id} {name!r}: add it to sources")
                continue
            table[class_id] = place
            words.append(f"{name} → {self.classes.name(place)}")
        table[ignore_index] = self.classes.ignore_index
        if lost:
            raise _refusal(lost, self.pointer)
        return table, ", ".join(words)


def _preset(content: bytes, pointer: str) -> Collapse | None:
    """The collapse that the file asks for by name. What is not JSON is left to the class map's own reader."""
    try:
        document = json.loads(content[:MAX_FILE_BYTES].decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or set(document) != {"collapse"}:
        return None
    name = document["collapse"]
    if not isinstance(name, str) or name not in COLLAPSES:
        raise _refusal([f"the collapse {name!r} is none of {', '.join(COLLAPSES)}"], pointer)
    return COLLAPSES[name]


def _refusal(problems: list[str], pointer: str) -> LabelSetError:
    return LabelSetError("the class map does not match the archive", [Problem(text, pointer) for text in problems])
