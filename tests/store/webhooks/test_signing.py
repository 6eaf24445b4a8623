"""Signatures of deliveries against the published example and our own HMAC."""

from __future__ import annotations

import base64
import hmac

from store.webhooks.signing import new_secret, signed_headers


def test_signature_equals_the_published_example() -> None:
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    assert signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, [secret]) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_each_secret_signs_in_the_given_order() -> None:
    secrets, body = [new_secret(), new_secret()], '{"name": "ü"}'.encode()
    headers = signed_headers("msg_1", 1_800_000_000, body, secrets)
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    assert [len(key) for key in keys] == [32, 32]
    digests = [hmac.digest(key, b"msg_1.1800000000." + body, "sha256") for key in keys]
    assert headers["webhook-signature"] == " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)
