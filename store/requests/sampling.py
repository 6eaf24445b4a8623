"""Sampling settings in a request. What a generator accepts stands in its description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from contracts.sampling_settings import Setting, violations
from store.errors import Problem
from store.first_release import SETTING_ALIASES
from store.requests.base import Spec


class SamplingSpec(Spec):
    """Settings of the generator for the images that are drawn."""

    sampling: dict[str, Setting] = Field(
        default_factory=dict,
        max_length=64,
        description="Sampling settings of the generator, by name; `settings_schema` of the generator lists them with "
        "their ranges and defaults.",
    )
    truncation_psi: float | None = Field(
        None, ge=0.0, le=1.0, description="Alias of `sampling.truncation_psi`, for generators that have it."
    )


class RejectionSpec(Spec):
    """Choice of samples by a classifier: of several codes of a class, the one whose image it is most confident in."""

    classifier: str = Field(
        min_length=1,
        max_length=100,
        pattern=r"^[A-Za-z0-9_.]+$",
        description="Name of a torchvision or timm classifier with the generator's classes in its order, for example "
        "`resnet50` for ImageNet. Workers have its weights as NAME.pth or NAME.safetensors in their weights folder.",
    )
    rate: float = Field(0.9, ge=0, le=0.95, description="Share of the drawn codes that is rejected in every class.")


def sampling_settings(spec: SamplingSpec) -> dict[str, Any]:
    """Return the sampling settings of a request, as JSON values, aliases included."""
    named = {name: value for name in SETTING_ALIASES if (value := getattr(spec, name)) is not None}
    return {**named, **spec.sampling}


def sampling_problems(schema: Mapping[str, Any], spec: SamplingSpec) -> list[Problem]:
    """Name every sampling setting that a generator with this schema of settings does not accept."""
    found = []
    for one in violations(schema, sampling_settings(spec)):
        alias = one.name in SETTING_ALIASES and one.name not in spec.sampling
        found.append(Problem(one.detail, f"/{one.name}" if alias else f"/sampling/{one.name}"))
    return found
