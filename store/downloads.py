"""Downloads of files from URLs through the egress guard: redirects are followed and checked, sizes limited.

A download can continue a file that an earlier one left: it asks for the bytes that are missing, and begins again where
the host sends all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from store.egress import Answer, Lookup, check_url, look_up, request
from store.errors import EgressFailed, EgressRefused, TooLarge

#: A file of a gigabyte over a slow line; and how long a host may be silent.
_SECONDS, _SILENT_SECONDS = 3600.0, 30.0
_REDIRECTS = 5


def _ignore(_done: int, _total: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Limits of a download. `bytes`: the largest file.

    hosts: names of the hosts that it may ask, subdomains included; empty for every public host. trusted_hosts: as in
    `store.egress`, allowed in any case. silent_seconds: how long a host may send nothing.
    """

    bytes: int
    hosts: Sequence[str] = ()
    trusted_hosts: Sequence[str] = ()
    silent_seconds: float = _SILENT_SECONDS
    lookup: Lookup = field(default=look_up, repr=False)


def download(
    url: str,
    target: Path,
    limits: DownloadLimits,
    *,
    resume: bool = False,
    on_bytes: Callable[[int, int], None] = _ignore,
) -> str:
    """Write the file at `url` to `target` and return the URL that it came from, after redirects.

    resume: continue `target` where it exists. on_bytes: called with bytes written and bytes in all (0: not known); what
    it raises ends the download. What was received stays in `target` whatever happens. Raises EgressRefused,
    EgressFailed that names the host, TooLarge.
    """
    begun = target.stat().st_size if resume and target.exists() else 0
    for _ in range(_REDIRECTS + 1):
        _check_host(url, limits)
        with _get(url, begun, limits) as answer:
            if answer.status in (301, 302, 303, 307, 308) and "location" in answer.headers:
                url = _redirected(url, answer.headers["location"])
                continue
            if answer.status == 416 and begun:  # the file is shorter than what an earlier download left
                begun = 0
                continue
            if answer.status == 206 and begun:
                _write(url, answer, target, begun, limits, on_bytes)
            elif answer.status == 200:
                _write(url, answer, target, 0, limits, on_bytes)
            else:
                raise EgressFailed(f"{url} answers {answer.status}; expected 200")
            return url
    raise EgressFailed(f"{url} redirects more than {_REDIRECTS} times")


def _check_host(url: str, limits: DownloadLimits) -> None:
    target = check_url(url, trusted_hosts=limits.trusted_hosts)
    allowed = (target.host == host or target.host.endswith(f".{host}") for host in limits.hosts)
    if limits.hosts and not target.trusted and not any(allowed):
        expected = ", ".join(limits.hosts)
        raise EgressRefused(f"{url} leads to {target.host}; expected one of these hosts: {expected}")


def _get(url: str, begun: int, limits: DownloadLimits) -> Any:
    headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "offhand"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
    return request(
        "GET",
        url,
        headers=headers,
        timeout=_SECONDS,
        patience=limits.silent_seconds,
        trusted_hosts=limits.trusted_hosts,
        lookup=limits.lookup,
    )


def _write(
    url: str, answer: Answer, target: Path, begun: int, limits: DownloadLimits, on_bytes: Callable[[int, int], None]
) -> None:
    if begun and not answer.headers.get("content-range", "").startswith(f"bytes {begun}-"):
        found = answer.headers.get("content-range", "none")
        raise EgressFailed(f"{url}: expected the bytes from {begun} onward, found Content-Range {found!r}")
    declared = answer.headers.get("content-length", "")
    total = begun + int(declared) if re.fullmatch(r"[0-9]{1,18}", declared) else 0
    if total > limits.bytes:
        raise TooLarge(f"{url} has {total} bytes; {limits.bytes} are allowed")
    done = begun
    with target.open("ab" if begun else "wb") as file:
        on_bytes(done, total)
        for piece in answer.pieces(limits.bytes + 1 - begun):
            done += file.write(piece)
            on_bytes(min(done, total) if total else done, total)
    if done > limits.bytes:
        raise TooLarge(f"{url} has more than the allowed {limits.bytes} bytes")


def _redirected(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise EgressFailed(f"{url} redirects to {location[:200]!r}, which is not a URL") from error
