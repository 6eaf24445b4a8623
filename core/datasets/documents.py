"""JSON files of an untrusted archive."""

import json
from collections.abc import Callable
from math import isfinite
from typing import Any, TypeGuard


def parse_json(
    content: bytes, most_bytes: int, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """The document, UTF-8 with or without a byte order mark. ``object_pairs_hook``: as of :func:`json.loads`.

    Raises :class:`ValueError`, in words for the file's sender, where it is no JSON or larger than ``most_bytes``.
    """
    if len(content) > most_bytes:
        raise ValueError(f"is {len(content):,} bytes: at most {most_bytes:,} are read")
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=object_pairs_hook)
    except RecursionError:
        raise ValueError("not valid JSON: is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not valid JSON: {error}") from error


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value of a document is a finite number; true and false are none, nor are integers beyond all floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:
        return False


def shortened(value: object) -> str:
    """A value of a document for an error message: as Python writes it, 40 characters at most."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "…"
