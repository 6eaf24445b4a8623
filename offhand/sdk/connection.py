"""One service over HTTP: requests are retried while it does not answer, refusals raised as :mod:`offhand.errors`."""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx

from offhand.errors import ClientError, DownloadFailed, Refused, Unreachable

DEFAULT_URL = "http://127.0.0.1:8321"
LARGEST_PAGE = 200
#: Header with the SHA-256 (hex) of a whole file.
SHA256 = "x-content-sha256"

T = TypeVar("T")


class Connection:
    """A connection to one service. Not for use from several threads at once.

    ``base_url`` defaults to ``OFFHAND_URL``, else to where `offhand up` listens; ``api_key`` to ``OFFHAND_API_KEY`` (a
    service on loopback needs none). ``patience`` is how many seconds a service that stops answering is asked again
    before :class:`~offhand.errors.Unreachable` is raised; creating calls carry an ``Idempotency-Key``, so that asking
    again never makes two.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        patience: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = service_url(base_url or os.environ.get("OFFHAND_URL") or DEFAULT_URL)
        self.patience, self.timeout = patience, timeout
        self.reached = False  # a service that was never there is not waited for
        self.api_key = api_key or os.environ.get("OFFHAND_API_KEY")
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        self.http = httpx.Client(base_url=self.base_url, timeout=timeout, transport=transport, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the service."""
        self.http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        within: float | None = None,
        **kwargs: Any,
    ) -> httpx.Response:
        """One answer. Connections that fail, answers of 503 and files with other bytes than announced are tried again
        for ``patience`` seconds; such a file then raises :class:`~offhand.errors.DownloadFailed`.

        ``within``: seconds after which no answer is waited for, if that is sooner.
        """
        headers = dict(headers or {})
        if method == "POST":
            headers.setdefault("Idempotency-Key", uuid4().hex)
        patience = self.patience
        if within is not None:
            within = max(0.05, within)
            patience = min(patience, within)
            kwargs["timeout"] = min(within, self.timeout)
        give_up_at = time.monotonic() + patience
        pause = 0.2
        while True:
            try:
                response = self.http.request(method, path, headers=headers, **kwargs)
            except httpx.TransportError as error:
                if not self.reached or time.monotonic() + pause > give_up_at:
                    raise Unreachable(
                        f"nothing answers at {self.base_url} ({error}); is `offhand up` running?"
                    ) from error
            else:
                self.reached = True
                damaged = differs(response)
                if not (temporary(response) or damaged) or time.monotonic() + pause > give_up_at:
                    if damaged:
                        raise DownloadFailed(f"{path} came each time with other bytes than the service announces")
                    return checked(response)
            time.sleep(pause)
            pause = min(pause * 2, 2.0)

    def get(self, kind: type[T], path: str, /, **params: Any) -> T:
        """Return the JSON document at ``path``, typed as ``kind``. Parameters that are None are left out."""
        return typed(kind, self.request("GET", path, params=given(params), follow_redirects=True))

    def send(self, kind: type[T], method: str, path: str, body: Mapping[str, Any] | None = None, **options: Any) -> T:
        """Send ``body`` as JSON and return the document of the answer, typed as ``kind``. ``options``: of
        :meth:`request`.
        """
        return typed(kind, self.request(method, path, json=body, **options))

    def content(self, path: str) -> bytes:
        """Return the bytes of the file at ``path``, wherever the service redirects to."""
        return self.request("GET", path, follow_redirects=True).content

    def pages(self, kind: type[T], path: str, /, **params: Any) -> Iterator[T]:  # noqa: ARG002 - the type alone is used
        """Yield every item of a list, page by page."""
        token = None
        while True:
            page = self.get(dict[str, Any], path, page_token=token, page_size=LARGEST_PAGE, **params)
            yield from page["items"]
            token = page.get("next_page_token")
            if not token:
                return


def typed(kind: type[T], response: httpx.Response) -> T:  # noqa: ARG001 - the type alone is used
    """Return the JSON document of an answer."""
    document: T = response.json()
    return document


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def service_url(text: str) -> str:
    """The service's address: ``http://`` is added where no scheme is given, a path of ``/v1`` is left out.

    Raises :class:`~offhand.errors.ClientError` for what is no address of an HTTP service.
    """
    url = text.strip()
    if "://" not in url:
        url = f"http://{url}"
    url = url.rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parsed = httpx.URL(url)
        valid = parsed.scheme in ("http", "https") and bool(parsed.host) and not set(url) & set(" \t\n")
    except httpx.InvalidURL:
        valid = False
    if not valid:
        raise ClientError(f"{text!r} is not the address of a service; write it like {DEFAULT_URL}")
    return url


def temporary(response: httpx.Response) -> bool:
    """An answer that will be another one soon: the service is not ready, or still works on an earlier try of this."""
    return response.status_code == 503 or (response.status_code == 409 and b"idempotency_in_flight" in response.read())


def differs(response: httpx.Response) -> bool:
    """Whether a whole file came with another SHA-256 than the service announces, itself or where it redirects to."""
    answers = (response, *response.history)
    announced = next((one.headers[SHA256] for one in answers if SHA256 in one.headers), None)
    if announced is None or response.status_code != 200 or response.request.method != "GET":
        return False
    return hashlib.sha256(response.content).hexdigest() != announced


def checked(response: httpx.Response) -> httpx.Response:
    """The response, or :class:`~offhand.errors.Refused` with its problem document."""
    if response.is_success or response.status_code == 304:
        return response
    if not response.is_closed:
        response.read()
    try:
        problem = response.json()
        if not isinstance(problem, dict):
            raise ValueError
    except ValueError:
        problem = {"title": f"{response.status_code} {response.reason_phrase}", "detail": response.text[:500]}
    raise Refused({"status": response.status_code, **problem})
