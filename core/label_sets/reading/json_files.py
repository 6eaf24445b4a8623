"""JSON files of an untrusted archive."""

import codecs
import json
from collections.abc import Callable
from math import isfinite
from typing import Any, TypeGuard

#: Byte order marks of UTF-16, and of UTF-32 by its first two bytes.
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


def parse_json(
    content: bytes, most_bytes: int, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """The document, UTF-8 with or without a byte order mark. ``object_pairs_hook``: as of :func:`json.loads`.

    Raises :class:`ValueError`, in words for the file's sender, where it is no JSON or larger than ``most_bytes``.
    """
    if len(content) > most_bytes:
        raise ValueError(f"is {len(content):,} bytes: at most {most_bytes:,} are read")
    if content.startswith(_WIDE):
        raise ValueError("is UTF-16 text: save it as UTF-8")
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=object_pairs_hook)
    except RecursionError:
        raise ValueError("not valid JSON: is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start:,}): save it as UTF-8") from error
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


def number(value: object) -> float | None:
    """A finite number of a document, which may be written as text (``"1.5"``); None for anything else."""
    if isinstance(value, str) and len(value) <= 40 and value.isascii():
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if is_number(value) else None


def whole_number(value: object) -> int | None:
    """A whole number of a document, which may be written as ``32``, ``32.0`` or ``"32"``; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = number(value)
    return int(found) if found is not None and found.is_integer() and abs(found) < 2**53 else None


def shortened(value: object) -> str:
    """A value of a document for an error message: as Python writes it, 40 characters at most."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "…"
