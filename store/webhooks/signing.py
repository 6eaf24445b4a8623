"""Signatures of Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256, under several secrets at once."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """A fresh secret: `whsec_` and 256 random bits in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signed_headers(message_id: str, timestamp: int, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """The three headers of a delivery, with one signature for each secret of `keys`, the newest first."""
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    signatures = [
        "v1," + base64.b64encode(hmac.digest(base64.b64decode(key.removeprefix(PREFIX)), content, "sha256")).decode()
        for key in keys
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }
