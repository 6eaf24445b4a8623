"""One digest for everything that goes into something, so that it is made once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest_of(what: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of JSON values, whatever the order of their keys."""
    canonical = json.dumps(what, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
