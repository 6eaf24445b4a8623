"""The generator families, one line each. Adding a family: its folder, and its line here."""

from collections.abc import Mapping

from core.errors import GeneratorError, Problem
from core.generators.biggan.family import BIGGAN
from core.generators.interface import Family
from core.generators.stylegan2.family import STYLEGAN2
from core.generators.vqgan.family import VQGAN

FAMILIES: Mapping[str, Family] = {
    STYLEGAN2.name: STYLEGAN2,
    VQGAN.name: VQGAN,
    BIGGAN.name: BIGGAN,
}


def family_of(name: str) -> Family:
    """Return a family by name. Raises :class:`GeneratorError` that lists the known families."""
    if name not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise GeneratorError(f"unknown generator family {name!r}", [Problem(f"expected one of {known}", "family")])
    return FAMILIES[name]
