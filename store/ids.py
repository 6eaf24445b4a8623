"""Identifiers: a prefix that says what it is, then 26 characters that sort by time of birth."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """`<prefix>_` and 26 Crockford base-32 characters: 48 bits of milliseconds, 80 random bits (the ULID layout).

    The clock only makes ids sort nicely; nothing decides by it.
    """
    number = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    characters = []
    for _ in range(26):
        characters.append(_ALPHABET[number & 31])
        number >>= 5
    return f"{prefix}_{''.join(reversed(characters))}"
