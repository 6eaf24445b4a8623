"""Requests to URLs that callers named, refused for every machine that is not on the public internet.

A URL is judged by its text first (`check_url`), then by every address its name resolves to (`resolve`), and the
connection goes to the very address that was judged: a name that changes between the two gains nothing. Redirects are
answers like any other and are not followed.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from store.errors import EgressFailed, EgressRefused
from store.public_addresses import Address, is_public

_PIECE = 1 << 20
_LONGEST_URL = 2000

#: Addresses of a name as text. Raises OSError where there are none.
Lookup = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed by its text. `host` is lower case, without brackets; `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str
    trusted: bool

    @property
    def authority(self) -> str:
        """Return the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """The beginning of an answer; `pieces` yields the body, at most `limit` bytes of it."""

    status: int
    headers: Mapping[str, str]
    pieces: Callable[[int], Iterator[bytes]]


def look_up(host: str, port: int) -> list[str]:
    """Addresses of a name by the system's resolver."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def check_url(url: str, *, trusted_hosts: Sequence[str] = ()) -> Target:
    """The target of an absolute https URL. Raises EgressRefused naming what is wrong; resolves nothing.

    A host in `trusted_hosts` (`name` or `name:port`, from the deployment's settings) may be private and may be http.
    """
    if len(url) > _LONGEST_URL or any(ord(letter) <= 32 or ord(letter) >= 127 or letter == "\\" for letter in url):
        raise EgressRefused(f"a URL has at most {_LONGEST_URL} printable ASCII characters and no backslash")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise EgressRefused(f"this is not a URL: {error}") from error
    if parts.scheme not in ("https", "http") or not host:
        raise EgressRefused("an absolute URL with https is needed")
    if parts.username is not None or parts.password is not None:
        raise EgressRefused("a URL with a user name or password in it is not accepted")
    if parts.fragment:
        raise EgressRefused("a URL with a fragment (#) is not accepted")
    if port == 0:
        raise EgressRefused("port 0 is not accepted")
    port = port or {"https": 443, "http": 80}[parts.scheme]
    trusted = host in trusted_hosts or f"{host}:{port}" in trusted_hosts
    if parts.scheme != "https" and not trusted:
        raise EgressRefused(
            "expected an https URL; plain http is accepted only for hosts that OFFHAND_EGRESS__TRUSTED_HOSTS names"
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = Target(parts.scheme, host, port, path, trusted)
    if not trusted and (literal := _literal(host)) is not None:
        _refuse_private(literal)
    return target


def resolve(target: Target, *, lookup: Lookup = look_up) -> str:
    """The address to connect to. Raises EgressRefused when any address of the name is not public, EgressFailed when the
    name has none.
    """
    try:
        found = lookup(target.host, target.port)
    except (OSError, UnicodeError) as error:
        raise EgressFailed(f"{target.host} cannot be resolved") from error
    if not found:
        raise EgressFailed(f"{target.host} has no address")
    if not target.trusted:
        for address in found:
            _refuse_private(_parsed(address))
    return found[0]


@contextmanager
def request(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    patience: float | None = None,
    trusted_hosts: Sequence[str] = (),
    lookup: Lookup = look_up,
) -> Iterator[Answer]:
    """One request to a URL of a caller, over and done with after `timeout` seconds, the body included.

    patience: seconds that the peer may take to answer the connection, or be silent in between; None: as `timeout`.
    Raises EgressRefused for a target that is not public, EgressFailed when it does not answer in time.
    """
    target = check_url(url, trusted_hosts=trusted_hosts)
    connection = _Pinned(target, resolve(target, lookup=lookup), patience or timeout)
    # A peer that sends a byte now and then never runs into the socket's own time-out.
    deadline = threading.Timer(timeout, connection.cut)
    deadline.daemon = True
    deadline.start()
    try:
        with _translated(target):
            connection.request(method, target.path, body=body, headers={**(headers or {}), "Host": target.authority})
            response = connection.getresponse()

        def pieces(limit: int) -> Iterator[bytes]:
            left = limit
            with _translated(target):
                while left > 0 and (piece := response.read(min(_PIECE, left))):
                    left -= len(piece)
                    yield piece
                if connection.was_cut or (left > 0 and response.length):
                    raise EgressFailed(f"{target.host} stopped in the middle of its answer")

        yield Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, pieces)
    finally:
        deadline.cancel()
        connection.close()


class _Pinned(http.client.HTTPConnection):
    """A connection to one address, whose TLS certificate has to be that of the name."""

    def __init__(self, target: Target, address: str, timeout: float) -> None:
        super().__init__(target.host, target.port, timeout=timeout)
        self._target, self._address = target, address
        self._wire: socket.socket | None = None
        self.was_cut = False

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self._target.port), self.timeout)
        if self._target.scheme == "https":
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self._target.host)
        # Kept beside `sock`, which the base class lets go of when it reads an answer that ends with the connection.
        self._wire = self.sock

    def cut(self) -> None:
        """End whatever goes on, from another thread."""
        self.was_cut = True
        if self._wire is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._wire, socket.SHUT_RDWR)


@contextmanager
def _translated(target: Target) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise EgressFailed(f"{target.host}: {type(error).__name__}: {error}") from error


def _parsed(address: str) -> Address:
    try:
        return ipaddress.ip_address(address.partition("%")[0])
    except ValueError as error:
        raise EgressRefused(f"the resolver returned {address!r}, which is not an IP address") from error


def _literal(host: str) -> Address | None:
    """The address that `host` writes out; None for a name. Raises EgressRefused for other spellings of addresses."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    last = host.rpartition(".")[2]
    # 2130706433, 0x7f.1, 0177.0.0.1: resolvers read these as addresses, and no public name ends in a number.
    if last.isdigit() or last.startswith("0x"):
        raise EgressRefused("write an IPv4 address as four decimal numbers")
    if "." not in host or last in ("localhost", "local", "internal", "arpa", "onion"):
        how = "only the deployment can allow it, by OFFHAND_EGRESS__TRUSTED_HOSTS"
        raise EgressRefused(f"expected a public name, found {host}; {how}")
    return None


def _refuse_private(address: Address) -> None:
    if not is_public(address):
        raise EgressRefused(f"{address} is not a public address")
