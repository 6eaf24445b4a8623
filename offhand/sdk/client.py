"""The client: one connection to a service, and an object for each noun of it."""

from collections.abc import Sequence
from typing import Self

import httpx

from offhand.documents import Document, QuotaItem
from offhand.sdk.connection import Connection
from offhand.sdk.resources.aliases import Aliases
from offhand.sdk.resources.datasets import Datasets
from offhand.sdk.resources.encoders import Encoders
from offhand.sdk.resources.evaluations import Evaluations
from offhand.sdk.resources.generators import Generators
from offhand.sdk.resources.image_sets import ImageSets
from offhand.sdk.resources.jobs import Jobs
from offhand.sdk.resources.keys import Keys
from offhand.sdk.resources.label_sets import LabelSets
from offhand.sdk.resources.labelers import Labelers
from offhand.sdk.resources.sample_sets import SampleSets
from offhand.sdk.resources.uploads import Uploads
from offhand.sdk.resources.webhooks import Webhooks


class Client:
    """A client of one service. Use it in a ``with`` block, or call :meth:`close`. Not for several threads at once.

    ``base_url`` defaults to ``OFFHAND_URL``, else to the address of `offhand up`; ``api_key`` to ``OFFHAND_API_KEY``
    (a service on loopback needs none). ``timeout``: seconds for one answer. ``patience``: seconds during which a
    service that stopped answering is asked again before :class:`~offhand.errors.Unreachable` is raised; creating
    calls carry an ``Idempotency-Key``, so that a retry creates nothing twice. ``transport`` replaces the network in
    tests.

    Every call raises the errors of :mod:`offhand.errors`. ``connection`` sends requests that no method covers.
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
        self.connection = Connection(base_url, api_key=api_key, timeout=timeout, patience=patience, transport=transport)
        self.uploads = Uploads(self.connection)
        self.jobs = Jobs(self.connection)
        self.datasets = Datasets(self.connection, self.uploads)
        self.label_sets = LabelSets(self.connection, self.uploads)
        self.image_sets = ImageSets(self.connection, self.uploads)
        self.generators = Generators(self.connection, self.uploads)
        self.encoders = Encoders(self.connection, self.uploads)
        self.labelers = Labelers(self.connection, self.uploads)
        self.evaluations = Evaluations(self.connection, self.uploads)
        self.sample_sets = SampleSets(self.connection)
        self.aliases = Aliases(self.connection)
        self.keys = Keys(self.connection)
        self.webhooks = Webhooks(self.connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the service."""
        self.connection.close()

    def quota(self) -> Sequence[QuotaItem]:
        """Return every limit of the tenant and how much of it is used."""
        items: Sequence[QuotaItem] = self.connection.get(Document, "/v1/quota")["items"]
        return items
