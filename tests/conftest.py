"""What every test has: one thread of arithmetic, and real servers where it asks for them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

from tests.servers import PostgresServer, RabbitServer, RedisServer, S3Server, ServerMissing
from tests.swift_server import SwiftServer

# Before any test module imports NumPy, PyTorch or numba: tests run in parallel processes, and threads inside each would
# only fight over the cores. Children that tests start inherit it, so the order of float sums is theirs too.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_variable] = "1"

# A shell that starts `make test` in the background makes it ignore Ctrl-C, and whatever it starts inherits that; tests
# that interrupt their children would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine pauses when it likes; a slow example is no failure.
settings.register_profile("offhand", deadline=None)
settings.load_profile("offhand")

AnyServer = TypeVar("AnyServer", PostgresServer, RabbitServer, RedisServer, S3Server)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not for_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in for_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared(repository: Path) -> Path:
    """The folder of reference data that may lie beside the repository (golden outputs, real photographs)."""
    folder = repository.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the reference data (../shared beside the repository) is not on this machine")
    return folder


def _started(make: Callable[[], AnyServer], optional: bool = False) -> Iterator[AnyServer]:
    """Start a server for a test. A missing one skips the test; in CI it fails it, unless it is optional."""
    try:
        server = make()
    except ServerMissing as missing:
        if os.environ.get("CI") == "true" and not optional:
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the whole run (for each xdist worker its own). A test that kills it starts it again."""
    yield from _started(PostgresServer)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """SQLAlchemy URL of an empty PostgreSQL database that is the test's own."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """An empty Redis that is the test's own; it starts in a few milliseconds and may be killed."""
    yield from _started(RedisServer)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis."""
    return redis_server.url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3-compatible server for the whole run; each test takes a bucket of its own."""
    yield from _started(S3Server)


@pytest.fixture(scope="session")
def swift_server() -> Iterator[SwiftServer]:
    """One OpenStack Swift for the whole run; it takes seconds to start. No package of the project installs it."""
    yield from _started(SwiftServer, optional=True)


@pytest.fixture
def rabbit_server() -> Iterator[RabbitServer]:
    """An empty RabbitMQ that is the test's own; it takes seconds to start."""
    yield from _started(RabbitServer)
