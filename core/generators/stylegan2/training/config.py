"""Settings of generator training as the library takes them: those of ``contracts``, checked at construction."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from contracts.generator_training.fields import from_json, to_json
from contracts.generator_training.stylegan2 import (
    ADA_PIPELINES,
    DIFFAUGMENT_PARTS,
    ScheduleSettings,
    StepSettings,
    TrainingSettings,
)
from contracts.generator_training.stylegan2 import PRESETS as PRESET_VALUES
from contracts.sampling_settings import Violation
from core.errors import GeneratorError, Problem

__all__ = ["ADA_PIPELINES", "DIFFAUGMENT_PARTS", "PRESETS", "GanConfig", "Schedule", "parse_settings"]

REFUSED = "these training settings cannot be used"


@dataclass(frozen=True)
class GanConfig(StepSettings):
    """Settings of a training. All problems are found at construction and raised in one :class:`GeneratorError`."""

    def __post_init__(self) -> None:
        _refuse(self.violations())

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that :meth:`from_json` reads."""
        return to_json(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], preset: str = "default") -> "GanConfig":
        """Return ``preset`` with the given fields in place of its own. Raises :class:`GeneratorError`."""
        problems = [Violation(name, "unknown field") for name in sorted(values.keys() - to_json(cls()).keys())]
        if preset not in PRESETS:
            problems.append(Violation("preset", f"expected one of {', '.join(PRESETS)}, found {preset!r}"))
        _refuse(problems)
        return replace(PRESETS[preset], **from_json(values))


@dataclass(frozen=True)
class Schedule(ScheduleSettings):
    """Sizes, points, returns and the end of a training. Raises :class:`GeneratorError` with all problems."""

    def __post_init__(self) -> None:
        _refuse(self.violations())


def _parts(settings: TrainingSettings) -> tuple[GanConfig, Schedule]:
    return GanConfig(**settings.part(StepSettings)), Schedule(**settings.part(ScheduleSettings))


def parse_settings(values: Mapping[str, Any]) -> tuple[GanConfig, Schedule]:
    """Return the settings of a request, which hold a preset's values already. Raises :class:`GeneratorError`."""
    known = to_json(TrainingSettings())
    _refuse([Violation(name, "unknown field") for name in sorted(values.keys() - known.keys())])
    return _parts(TrainingSettings(**from_json(values)))


def _refuse(found: list[Violation]) -> None:
    if found:
        raise GeneratorError(REFUSED, [Problem(one.detail, one.name) for one in found])


PRESETS: Mapping[str, GanConfig] = {
    name: _parts(TrainingSettings(**values))[0] for name, values in PRESET_VALUES.items()
}
"""Presets by name; see :mod:`contracts.generator_training.stylegan2`."""
