"""Sampling settings of BigGAN, as JSON Schema. Torch-free."""

from collections.abc import Mapping
from typing import Any

from core.generators.biggan.config import BigGANConfig

TRUNCATED, SCALED = "truncated_normal", "scaled_normal"
AUTO, STORED, STANDING = "auto", "stored", "standing"
PUBLISHED, LINEAR = "published", "linear"

_TRUNCATION: Mapping[str, Any] = {
    "type": "number",
    "minimum": 0.01,
    "maximum": 1,
    "default": 1.0,
    "description": "Factor of z: smaller values give less varied and more typical images.",
}
_DISTRIBUTION: Mapping[str, Any] = {
    "type": "string",
    "enum": [TRUNCATED, SCALED],
    "default": TRUNCATED,
    "description": "Distribution of z before it is scaled: a normal one cut off at 2 deviations, or a whole one.",
}
_STATISTICS: Mapping[str, Any] = {
    "type": "string",
    "enum": [AUTO, STORED, STANDING],
    "default": AUTO,
    "description": "Batch-norm statistics: those of the checkpoint, which belong to truncation 1, or standing ones, "
    "measured once for the truncation and stored. auto: stored at truncation 1, else standing.",
}
_INTERPOLATION: Mapping[str, Any] = {
    "type": "string",
    "enum": [PUBLISHED, LINEAR],
    "default": PUBLISHED,
    "description": "Between two rows of the table of statistics: as the published code does, which swaps the two "
    "weights, or linear. Both agree at the truncations of the table.",
}


def settings_schema(config: BigGANConfig) -> Mapping[str, Any]:
    """Return the settings of a generator with this configuration."""
    more = {"interpolation": _INTERPOLATION} if config.statistics > 1 else {"statistics": _STATISTICS}
    properties = {"truncation": _TRUNCATION, "distribution": _DISTRIBUTION, **more}
    return {"type": "object", "additionalProperties": False, "properties": properties}
