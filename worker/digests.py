"""One digest for everything that goes into something, so that it is made once; reports as values that JSON has."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any


def json_values(value: Any) -> Any:
    """The same value, with null for numbers that JSON does not have (an IoU of nothing, a PSNR of equal images)."""
    if isinstance(value, Mapping):
        return {str(key): json_values(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def digest_of(what: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of JSON values, whatever the order of their keys."""
    canonical = json.dumps(what, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
