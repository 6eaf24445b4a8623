"""The caller's address: the peer's own, or what a trusted proxy wrote at the right end of X-Forwarded-For."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import ValidationError

from api.security.client_address import client_network
from store.settings import ApiSettings

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def scope(peer: str | None, *forwarded: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"type": "http", "client": (peer, 1) if peer else None, "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),  # not a proxy of ours: anybody can write the header
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # the left end is the caller's own text
        ("10.0.0.1", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),  # a header that comes twice is one list
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),  # a proxy behind a proxy
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),  # a caller inside the trusted network
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        ("10.0.0.1", ["2001:db8:1:2:ffff::1"], "2001:db8:1:2::/64"),  # one customer's addresses are counted as one
        ("fd00::1", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),  # IPv4 on a socket that listens on ::
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9,"], "10.0.0.1"),
        (None, ["203.0.113.9"], ""),
        ("testclient", [], ""),
    ],
)
def test_address_of_the_caller(peer: str | None, forwarded: list[str], expected: str) -> None:
    assert client_network(scope(peer, *forwarded), PROXIES) == expected


def test_nobody_is_trusted_unless_named() -> None:
    assert ApiSettings().trusted_proxies == []
    assert client_network(scope("127.0.0.1", "203.0.113.9"), []) == "127.0.0.1"


def test_trusted_proxies_are_addresses_or_networks() -> None:
    settings = ApiSettings.model_validate({"trusted_proxies": ["10.0.0.7", "fd00::/8"]})
    assert settings.trusted_proxies == [ip_network("10.0.0.7/32"), ip_network("fd00::/8")]
    for wrong in ("proxy.example.com", "10.0.0.1/8", "*"):
        with pytest.raises(ValidationError):
            ApiSettings.model_validate({"trusted_proxies": [wrong]})
