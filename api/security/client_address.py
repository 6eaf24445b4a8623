"""The address of the caller, also behind proxies that the deployment trusts."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.types import Scope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: An IPv6 network of this length is one customer's: its addresses are counted as one.
IPV6_CUSTOMER_BITS = 64


def client_network(scope: Scope, trusted_proxies: Sequence[Network]) -> str:
    """Return the network that a request is counted under: one IPv4 address, or the /64 around an IPv6 address.

    The peer of the connection is the caller unless it is a trusted proxy. Then `X-Forwarded-For` is read from its right
    end, where each proxy appends the address that it was called from, up to the first address that is not a trusted
    proxy. What stands left of that was written by the caller and is not read. Empty where the connection has no
    address (a Unix socket).
    """
    peer = scope.get("client")
    address = _parsed(peer[0]) if peer else None
    if address is None:
        return ""
    chain = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    while chain and any(address in network for network in trusted_proxies):
        before = _parsed(chain.pop())
        if before is None:
            break
        address = before
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_CUSTOMER_BITS), strict=False))
    return str(address)


def _parsed(written: str) -> Address | None:
    """`192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80` as an address; None for anything else."""
    host = written.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    # A socket that listens on :: gives IPv4 peers as ::ffff:192.0.2.1.
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
