"""The generator families, one line each. Adding a family: its folder, and its line here; a second one where it can be
trained.
"""

from collections.abc import Mapping

from core.errors import GeneratorError, Problem
from core.generators.biggan.family import BIGGAN
from core.generators.interface import Family
from core.generators.stylegan2.family import STYLEGAN2
from core.generators.stylegan2.training.trainer import ProgressiveTrainer
from core.generators.training import TrainerFactory
from core.generators.vqgan.family import VQGAN

FAMILIES: Mapping[str, Family] = {
    STYLEGAN2.name: STYLEGAN2,
    VQGAN.name: VQGAN,
    BIGGAN.name: BIGGAN,
}

TRAINERS: Mapping[str, TrainerFactory] = {
    STYLEGAN2.name: ProgressiveTrainer,
}


def family_of(name: str) -> Family:
    """Return a family by name. Raises :class:`GeneratorError` that lists the known families."""
    if name not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise GeneratorError(f"unknown generator family {name!r}", [Problem(f"expected one of {known}", "family")])
    return FAMILIES[name]


def trainer_of(name: str) -> TrainerFactory:
    """Return the trainer of a family. Raises :class:`GeneratorError` where this release has none."""
    if name not in TRAINERS:
        known = ", ".join(TRAINERS)
        raise GeneratorError(
            f"generators of {name!r} cannot be trained", [Problem(f"expected one of {known}", "family")]
        )
    return TRAINERS[name]
