"""Names and facts of the first release, whose generators are of one family that descriptions do not name."""

from collections.abc import Mapping
from typing import Any, Literal

#: Where codes are fitted, in requests: one row for each layer, or one for all.
Space = Literal["w_plus", "w"]
#: Fields of a request that are sampling settings by their own name.
SETTING_ALIASES = ("truncation_psi",)

FAMILY = "stylegan2"
LABELLED_BY = ("encoder", "inversion", "samples")
SETTINGS_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "truncation_psi": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.7},
        "truncation_cutoff": {"type": ["integer", "null"], "minimum": 0, "maximum": 1 << 20, "default": None},
    },
}


def code_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the specification of the codes of a generator with this configuration."""
    shape = [2 * len(config.get("channels", ())), int(config.get("w_dim", 512))]
    part = {"shape": shape, "dtype": "float32", "drawn_rows": 1}
    return {"parts": {"w_plus": part}, "classes": int(config.get("c_dim", 0))}
