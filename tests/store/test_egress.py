"""The door out: what is refused by its text, by its addresses, and what happens on the wire."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.egress import check_url, request, resolve
from store.errors import EgressFailed, EgressRefused
from store.settings import EgressSettings


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "//example.com/",
        "example.com",
        "https://",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com/#there",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/ ",
        "https://exämple.com/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://printer.local/",
        "https://metadata.google.internal/",
        "https://intranet/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fc00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fec0::1]/",
        "https://[64:ff9b:1::a00:1]/",
        "https://[::127.0.0.1]/",
        "https://[::ffff:0:127.0.0.1]/",
        "https://[3fff::1]/",
        "https://[5f00::1]/",
        "https://192.88.99.1/",
        "https://" + "a" * 3000 + ".com/",
    ],
)
def test_targets_that_are_refused_by_their_text(url: str) -> None:
    with pytest.raises(EgressRefused):
        check_url(url)


def test_a_public_url_passes() -> None:
    target = check_url("https://Hooks.Example.com:8443/a/b?c=d")
    assert (target.host, target.port, target.path) == ("hooks.example.com", 8443, "/a/b?c=d")
    assert target.authority == "hooks.example.com:8443"
    assert resolve(target, lookup=lambda host, port: ["93.184.216.34"]) == "93.184.216.34"
    assert check_url("https://[2606:2800:220:1::1]/").authority == "[2606:2800:220:1::1]"


def test_one_private_address_among_public_ones_is_enough() -> None:
    target = check_url("https://example.com/")
    with pytest.raises(EgressRefused):
        resolve(target, lookup=lambda host, port: ["93.184.216.34", "10.0.0.1"])


@given(st.ip_addresses())
def test_no_name_leads_to_an_address_that_python_calls_private(address) -> None:
    target = check_url("https://example.com/")
    if address.is_global and not address.is_multicast:
        return
    with pytest.raises(EgressRefused):
        resolve(target, lookup=lambda host, port: [str(address)])


def test_a_resolver_that_returns_something_else_than_addresses_is_refused() -> None:
    with pytest.raises(EgressRefused, match="not an IP address"):
        resolve(check_url("https://example.com/"), lookup=lambda host, port: ["0x7f.1"])


def test_a_name_without_addresses() -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise socket.gaierror

    with pytest.raises(EgressFailed):
        resolve(check_url("https://example.com/"), lookup=nowhere)


class Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(302 if self.path == "/elsewhere" else 200)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("X-Host", self.headers["Host"])
        self.end_headers()
        if self.path == "/slow":
            while not self.server.stopped.wait(0.05):  # type: ignore[attr-defined]
                try:
                    self.wfile.write(b".")
                except OSError:
                    return
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.stopped = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.stopped.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def test_the_connection_goes_to_the_address_that_was_judged(port: int) -> None:
    trusted = [f"hooks.test:{port}"]
    url = f"http://hooks.test:{port}/"
    with request("POST", url, body=b"hello", trusted_hosts=trusted, lookup=here) as answer:
        assert answer.status == 200
        assert answer.headers["x-host"] == f"hooks.test:{port}"
        assert b"".join(answer.pieces(3)) == b"hel"


def test_redirects_are_not_followed(port: int) -> None:
    url = f"http://hooks.test:{port}/elsewhere"
    with request("POST", url, body=b"", trusted_hosts=["hooks.test"], lookup=here) as answer:
        assert answer.status == 302


def test_a_peer_that_drips_is_cut_off(port: int) -> None:
    url = f"http://hooks.test:{port}/slow"
    with (
        pytest.raises(EgressFailed),
        request("POST", url, body=b"", timeout=0.3, trusted_hosts=["hooks.test"], lookup=here) as answer,
    ):
        for _ in answer.pieces(1 << 30):
            pass


def test_trust_is_for_the_host_and_port_that_the_settings_name(port: int) -> None:
    with pytest.raises(EgressRefused):
        check_url(f"http://hooks.test:{port}/", trusted_hosts=["hooks.test:1", "other.test"])


def test_a_peer_that_is_not_there() -> None:
    with (
        pytest.raises(EgressFailed),
        request("GET", "http://hooks.test:1/", trusted_hosts=["hooks.test"], lookup=here),
    ):
        pass


class Resolver:
    """A resolver of one test: returns the next of its answers for each question, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize("later", ["127.0.0.1", "::1", "169.254.169.254", "fec0::1", "64:ff9b::7f00:1"])
def test_a_name_that_changes_to_a_private_address_is_refused_at_the_next_request(later: str) -> None:
    resolver = Resolver(["93.184.216.34"], [later])
    resolve(check_url("https://example.com/"), lookup=resolver)
    with pytest.raises(EgressRefused), request("POST", "https://example.com/", body=b"", lookup=resolver):
        pass
    assert resolver.asked == ["example.com"] * 2


def test_each_request_resolves_once_and_connects_to_that_address(port: int) -> None:
    resolver = Resolver(["127.0.0.1"], ["192.0.2.1"])
    url = f"http://hooks.test:{port}/"
    with request("POST", url, body=b"", trusted_hosts=["hooks.test"], lookup=resolver) as answer:
        assert answer.status == 200
    assert resolver.asked == ["hooks.test"]


@pytest.mark.parametrize("written", ["Hooks.Test", "hooks.test.", "hooks.test:8080", "localhost:3000", "[::1]:3000"])
def test_trusted_hosts_are_compared_however_they_are_written(written: str) -> None:
    trusted = EgressSettings(trusted_hosts=[written]).trusted_hosts
    host = written if ":" in written else f"{written}:8080"
    assert check_url(f"http://{host}/", trusted_hosts=trusted).trusted


@pytest.mark.parametrize("written", ["http://localhost:3000", "localhost/path", "10.0.0.0/8", "*", ""])
def test_a_trusted_host_that_could_never_match_stops_the_start(written: str) -> None:
    with pytest.raises(ValueError, match="name:port"):
        EgressSettings(trusted_hosts=[written])
