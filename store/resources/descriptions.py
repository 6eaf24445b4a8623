"""Facts of a generator that requests are checked against, from its description (`generator.json`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from store import first_release

#: Bytes of a number by its type.
_WIDTHS = {"float32": 4, "int16": 2, "int64": 8}


@dataclass(frozen=True, slots=True)
class Description:
    """Facts of a generator. `labelled_by`: how labelled images get their codes (inversion, encoder, samples).

    `classes`: how many classes it draws from; 0 for none. `class_names`: their names in order, empty where they have
    none. `domain`: what it draws, None where that is not stated. `code_bytes`: size of one drawn code as it is stored,
    equal rows once.
    """

    family: str
    settings_schema: Mapping[str, Any]
    labelled_by: tuple[str, ...]
    classes: int
    class_names: tuple[str, ...]
    domain: str | None
    code_bytes: int

    @property
    def inverts(self) -> bool:
        """Whether codes can be fitted to photographs."""
        return "inversion" in self.labelled_by

    @property
    def reads_photographs(self) -> bool:
        """Whether photographs get codes, by inversion or by an encoder."""
        return self.inverts or "encoder" in self.labelled_by

    @property
    def draws(self) -> bool:
        """Whether it draws samples; the first stage of a VQGAN alone does not."""
        return "samples" in self.labelled_by


def described(info: Mapping[str, Any]) -> Description:
    """Read a description. One of the first release names no family."""
    first = "family" not in info
    facts = info.get("info", {})
    code = first_release.code_of(info.get("config", {})) if first else info["code"]
    return Description(
        family=first_release.FAMILY if first else info["family"],
        settings_schema=first_release.SETTINGS_SCHEMA if first else info["settings_schema"],
        labelled_by=tuple(first_release.LABELLED_BY if first else info["labelled_by"]),
        classes=int(code["classes"]),
        class_names=tuple(facts.get("classes", ())),
        domain=facts.get("domain"),
        code_bytes=sum(_stored_bytes(part) for part in code["parts"].values()),
    )


def _stored_bytes(part: Mapping[str, Any]) -> int:
    """Return the bytes of one part of a drawn code, which `core.datasets.code_files` writes."""
    shape: list[int] = list(part["shape"])
    if shape and part.get("drawn_rows") is not None:
        shape[0] = min(shape[0], int(part["drawn_rows"]))
    return _WIDTHS[part["dtype"]] * prod(shape)


def resolution_of(info: Mapping[str, Any]) -> tuple[int, int]:
    """Return (height, width) of the images. Raises KeyError, TypeError or ValueError for a broken description."""
    height, width = info["resolution"] if "family" in info else info["config"]["resolution"]
    return int(height), int(width)
