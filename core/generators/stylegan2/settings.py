"""Sampling settings of StyleGAN2, as JSON Schema. Torch-free."""

from collections.abc import Mapping
from typing import Any

DEFAULT_TRUNCATION = 0.7

SETTINGS_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "truncation_psi": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "default": DEFAULT_TRUNCATION,
            "description": "Distance that codes keep from the mean code: 1 all of it, 0 none.",
        },
        "truncation_cutoff": {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": 1 << 20,
            "default": None,
            "description": "Number of first layers that are truncated; null: all.",
        },
    },
}
