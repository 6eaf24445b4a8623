"""Sampling settings of VQGAN, as JSON Schema. Torch-free."""

from collections.abc import Mapping
from typing import Any

TOP_K, TOP_P = 200, 0.92
"""Defaults of BigDatasetGAN (Li et al. 2022, appendix A)."""


def settings_schema(codes: int) -> Mapping[str, Any]:
    """Return the schema for a codebook of ``codes`` vectors."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "temperature": {
                "type": "number",
                "minimum": 0.01,
                "maximum": 10,
                "default": 1.0,
                "description": "Divisor of the logits: below 1 draws probable tokens more often.",
            },
            "top_k": {
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": codes,
                "default": min(TOP_K, codes),
                "description": "Number of most probable tokens to draw from; null: all.",
            },
            "top_p": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": TOP_P,
                "description": "Share of the probability to draw from, most probable tokens first; 1: all.",
            },
        },
    }
