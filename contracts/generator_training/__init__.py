"""Settings of the training of generators, by family: torch-free, so that a request can be checked before any work."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.generator_training import stylegan2
from contracts.generator_training.fields import from_json, schema_of
from contracts.generator_training.images import ImageFacts
from contracts.sampling_settings import Violation


@dataclass(frozen=True)
class TrainableFamily:
    """A family whose generators can be trained: its settings as a data class, and settings by the name of a preset."""

    settings: type[Any]
    presets: Mapping[str, Mapping[str, Any]]
    image_violations: Callable[[ImageFacts, Any], list[Violation]]
    """Of the facts of an image set and settings: why these images cannot be trained on."""

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the settings."""
        return schema_of(self.settings)

    def configured(self, preset: str, values: Mapping[str, Any]) -> Any:
        """Return the settings of a preset with JSON values in place of its own. Raises KeyError for an unknown preset,
        TypeError for an unknown setting; the values are not checked.
        """
        return self.settings(**from_json({**self.presets[preset], **values}))


TRAINABLE: Mapping[str, TrainableFamily] = {
    "stylegan2": TrainableFamily(stylegan2.TrainingSettings, stylegan2.PRESETS, stylegan2.image_violations),
}
"""Trainable families by name, one line each."""


def training_violations(family: str, preset: str, values: Mapping[str, Any]) -> list[Violation]:
    """Return everything that is wrong with a request's preset and settings."""
    if family not in TRAINABLE:
        return [Violation("family", f"expected one of {', '.join(TRAINABLE)}, found {family!r}")]
    known = TRAINABLE[family]
    found = []
    if preset not in known.presets:
        found.append(Violation("preset", f"expected one of {', '.join(known.presets)}, found {preset!r}"))
    rules = known.schema["properties"]
    listed = ", ".join(sorted(rules))
    found += [Violation(name, f"unknown setting; expected one of {listed}") for name in sorted(values.keys() - rules)]
    preset = preset if preset in known.presets else next(iter(known.presets))
    usable = {name: value for name, value in values.items() if name in rules}
    return found + list(known.configured(preset, usable).violations())
