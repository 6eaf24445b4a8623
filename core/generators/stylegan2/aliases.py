"""Names that files and requests of the first release use for this family."""

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

FAMILY = "stylegan2"
_OPTIONS = ("noise", "space")

FIRST_FORMAT = "offhand-generator/1"
"""``generator.json`` without a family: a StyleGAN2."""

ENCODER_FIELDS: Mapping[str, str] = {"num_ws": "rows", "w_dim": "width"}
"""Fields of ``encoder.json``."""

CODES = "w_plus"
"""Name of the codes in stored inversions and sample sets; in shards they are ``latent.npy``."""

ONE_ROW, ROW_EACH = "w", "w_plus"
"""Values of ``space``: one code for all layers, or one for each layer."""


def info_of_first_format(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a ``generator.json`` of the first format, with the family's own under ``options``."""
    facts = {name: value for name, value in info.items() if name not in _OPTIONS}
    return {**facts, "options": {name: info[name] for name in _OPTIONS if name in info}}


def codes_of_first_release(tensors: Mapping[str, T], mirrored: str) -> dict[str, T]:
    """Return the tensors of an inversion of the first release under today's names. mirrored: prefix of those of mirror
    images.
    """
    names = {CODES: CODES, "mirrored": f"{mirrored}{CODES}"}
    return {names[name]: tensor for name, tensor in tensors.items() if name in names}
