"""Addresses that are global unicast by the registries of IANA, and those that are not."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.public_addresses import SPECIAL_IPV4, SPECIAL_IPV6, is_public


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2606:2800:220:1::1",
        "2a00:1450:4001::5efe:808:808",
        "3ffd::1",
        "64:ff9b::808:808",
    ],
)
def test_global_unicast_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "192.0.0.8",
        "192.0.0.170",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.175.48.1",
        "198.19.255.255",
        "203.0.113.1",
        "240.0.0.1",
        "255.255.255.255",
        # Embedded and translated IPv4
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "::ffff:0:8.8.8.8",
        "64:ff9b::127.0.0.1",
        "64:ff9b::192.88.99.1",
        "64:ff9b:1::a00:1",
        "64:ff9b:1:ffff::808:808",
        "2002:7f00:1::",
        "2002:808:808::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2a00:1450:4001:1::5efe:a00:1",
        "2a00:1450:4001:1:200:5efe:127.0.0.1",
        # Reserved, local, deprecated
        "::",
        "::1",
        "100::1",
        "100:0:0:1::1",
        "200::1",
        "1fff::1",
        "2001::1",
        "2001:1::1",
        "2001:2::1",
        "2001:3::1",
        "2001:4:112::1",
        "2001:10::1",
        "2001:20::1",
        "2001:30::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2620:4f:8000::1",
        "3ffe::1",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "fec0::1",
        "feff::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_special_purpose_embedded_and_translated_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("network", [*SPECIAL_IPV4, *SPECIAL_IPV6], ids=str)
def test_no_address_of_a_special_purpose_range_is_public(network) -> None:
    middle = network[network.num_addresses // 2]
    assert not any(is_public(address) for address in (network[0], middle, network[-1]))


@given(st.ip_addresses(v=4))
def test_an_address_is_never_more_public_inside_ipv6(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    nat64 = ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) | number)
    isatap = ipaddress.IPv6Address(int(ipaddress.IPv6Address("2a00:1450::5efe:0:0")) | number)
    assert is_public(nat64) == is_public(isatap) == is_public(address)
    for prefix in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b:1::"):
        assert not is_public(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | number))
    assert not is_public(ipaddress.IPv6Address(0x2002 << 112 | number << 80))
