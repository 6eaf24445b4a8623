"""Decide whether an IP address is global unicast, by the special-purpose registries of IANA.

The tables are written out here because `ipaddress.is_global` differs between releases of Python and accepts deprecated
and translated ranges. Sources, read in October 2025: `iana-ipv4-special-registry`, `iana-ipv6-special-registry`,
`ipv4-address-space`, `ipv6-address-space`. A range is listed even where the registry calls it globally reachable, when
the machines behind it are relays, translators or anycast services rather than hosts of their own.
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: IPv4 ranges that are not global unicast.
SPECIAL_IPV4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network (RFC 791)
        "10.0.0.0/8",  # private use (RFC 1918)
        "100.64.0.0/10",  # shared address space of carriers (RFC 6598)
        "127.0.0.0/8",  # loopback (RFC 1122)
        "169.254.0.0/16",  # link local, cloud metadata (RFC 3927)
        "172.16.0.0/12",  # private use (RFC 1918)
        "192.0.0.0/24",  # IETF protocol assignments: DS-Lite, PCP and TURN anycast, NAT64 discovery (RFC 6890)
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.31.196.0/24",  # AS112-v4 (RFC 7535)
        "192.52.193.0/24",  # AMT relays (RFC 7450)
        "192.88.99.0/24",  # 6to4 relay anycast, deprecated (RFC 7526)
        "192.168.0.0/16",  # private use (RFC 1918)
        "192.175.48.0/24",  # AS112 direct delegation (RFC 7534)
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved, with the limited broadcast address (RFC 1112)
    )
)

#: The only part of IPv6 that IANA assigns as global unicast (RFC 4291). All else is reserved, local or multicast, such
#: as `::/96` (IPv4-compatible), `::ffff:0:0/96` (IPv4-mapped), `::ffff:0:0:0/96` (SIIT), `64:ff9b:1::/48` (NAT64 of a
#: network's own), `100::/64` (discard), `5f00::/16` (segment routing), `fc00::/7`, `fe80::/10`, `fec0::/10`
#: and `ff00::/8`.
GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")

#: IPv6 ranges inside GLOBAL_IPV6 that are not global unicast.
SPECIAL_IPV6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocol assignments: Teredo, benchmarking, AMT, AS112, ORCHID, drone ids (RFC 2928)
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4, embeds an IPv4 address (RFC 3056)
        "2620:4f:8000::/48",  # AS112 direct delegation (RFC 7534)
        "3ffe::/16",  # 6bone, returned to IANA (RFC 3701)
        "3fff::/20",  # documentation (RFC 9637)
    )
)

#: The well-known prefix of NAT64 (RFC 6052). Resolvers of IPv6-only networks answer with it for every name that has an
#: IPv4 address only, so that the embedded address decides.
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

#: Bits 32 to 63 of the interface identifiers of ISATAP (RFC 5214), whose last 32 bits are an IPv4 address.
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(address: Address) -> bool:
    """Return whether an address is global unicast and does not stand for another one that is not."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in SPECIAL_IPV4)
    embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in NAT64:
        return is_public(embedded)
    if address not in GLOBAL_IPV6 or any(address in network for network in SPECIAL_IPV6):
        return False
    isatap = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    return is_public(embedded) if isatap else True
