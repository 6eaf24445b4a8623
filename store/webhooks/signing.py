"""Signatures of Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256, under several secrets at once."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

_SECRET_BYTES = 32


def new_secret() -> str:
    """Return a new secret: `whsec_` and 256 random bits in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signed_headers(message_id: str, timestamp: int, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """Return the three headers of a delivery.

    Args:
        message_id: value of `webhook-id`, the same for every attempt.
        timestamp: seconds since 1970.
        body: what is sent, UTF-8.
        keys: secrets of `new_secret`, the newest first; each adds a signature.
    """
    sent_at, text = datetime.fromtimestamp(timestamp, UTC), body.decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(Webhook(key).sign(message_id, sent_at, text) for key in keys),
    }
