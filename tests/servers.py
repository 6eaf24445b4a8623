"""Real servers for tests: the machine's own PostgreSQL, Redis, RabbitMQ on free ports, to kill and restart freely."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from store.settings import ObjectSettings

START_SECONDS = 30.0


class ServerMissing(Exception):
    """The machine has no binary for this server; the message says which and how to get it."""


def free_port() -> int:
    """A TCP port on the loopback interface that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Polls `ready` until it says so; raises TimeoutError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not ready within {seconds:.0f} s")
        time.sleep(0.05)


def replies(port: int, question: bytes, beginning: bytes, seconds: float = 2.0) -> bool:
    """Whether what listens on the port answers the question with these bytes first. One that boots may accept before it
    answers.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.settimeout(seconds)
            connection.sendall(question)
            return connection.recv(16).startswith(beginning)
    except OSError:
        return False


def bucket_settings(url: str, bucket: str, *, access_key: str, secret_key: str, read_seconds: float) -> ObjectSettings:
    """Settings of a bucket on an S3-compatible server; the smallest parts there are."""
    return ObjectSettings(
        kind="s3",
        bucket=bucket,
        endpoint_url=url,
        access_key=access_key,
        secret_key=secret_key,
        part_bytes=5 * 1024**2,
        attempts=3,
        connect_timeout_seconds=5,
        read_timeout_seconds=read_seconds,
    )


class Server:
    """A server process with its own folder and port. Use as a context manager; the folder goes with it."""

    name = "server"

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"offhand-{self.name}-"))
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def user(self) -> str | None:
        """The account that runs the server; None for our own."""
        return None

    def environment(self) -> dict[str, str] | None:
        """Variables of the server's process; None for our own."""
        return None

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=self.user(),
                cwd=self.folder,
                env=self.environment(),
                start_new_session=True,
            )
        wait_until(self._ready_or_dead, f"{self.name} on port {self.port}")

    def _ready_or_dead(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            log = (self.folder / "server.log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.name} ended with status {self.process.returncode}:\n{log}")
        return self.is_ready()

    def stop(self, signum: int = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signum)
            self.process.wait(timeout=START_SECONDS)

    def kill(self) -> None:
        """kill -9: what the machine room does on a bad day."""
        self.stop(signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class RedisServer(Server):
    """An empty Redis that keeps nothing on disk. `.url` is what a broker setting takes."""

    name = "redis"

    def __init__(self) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            raise ServerMissing("redis-server is not installed (apt install redis-server)")
        self.binary = binary
        super().__init__()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": str(self.folder)}
        return [self.binary, *(word for key, value in options.items() for word in (f"--{key}", value))]

    def is_ready(self) -> bool:
        return replies(self.port, b"PING\r\n", b"+PONG")


class S3Server(Server):
    """An S3-compatible server that keeps its objects in memory. `.url` is what an endpoint setting takes."""

    name = "s3"

    def __init__(self) -> None:
        if importlib.util.find_spec("moto") is None:
            raise ServerMissing("moto is not installed (pip install 'moto[server]')")
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def is_ready(self) -> bool:
        return replies(self.port, b"GET /moto-api/ HTTP/1.0\r\n\r\n", b"HTTP/1")

    def settings(self, bucket: str) -> ObjectSettings:
        """Settings of a bucket on this server."""
        return bucket_settings(self.url, bucket, access_key="test", secret_key="test", read_seconds=10)


class RabbitServer(Server):
    """An empty RabbitMQ node of its own. `.url` is what a broker setting takes."""

    name = "rabbitmq"

    def __init__(self) -> None:
        binary = shutil.which("rabbitmq-server") or shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin")
        if binary is None:
            raise ServerMissing("rabbitmq-server is not installed (apt install rabbitmq-server)")
        super().__init__()
        # Debian's wrapper changes user and folder; the script behind it does as it is told.
        plain = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        self.binary = str(plain) if plain.exists() else binary
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._distribution = free_port()
        # A file of our own, so that the machine's is not read.
        (self.folder / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{self.port}\n")

    def command(self) -> list[str]:
        return [self.binary]

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"offhand{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        }

    def is_ready(self) -> bool:
        # The answer to AMQP's greeting is a frame of methods on channel 0.
        return replies(self.port, b"AMQP\x00\x00\x09\x01", b"\x01\x00\x00")

    def stop(self, signum: int = signal.SIGTERM) -> None:
        # The script waits for the node, which is its child.
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signum)
            self.process.wait(timeout=START_SECONDS)


class PostgresServer(Server):
    """A fresh PostgreSQL cluster. `.url` is a SQLAlchemy URL (psycopg 3) of its database `postgres`.

    `fsync` is off: a killed server process loses nothing by that, only a machine that loses power would.
    """

    name = "postgres"

    def __init__(self) -> None:
        self.binaries = _postgres_binaries()
        super().__init__()
        self.data = self.folder / "data"
        if (user := self.user()) is not None:
            shutil.chown(self.folder, user)
        subprocess.run(
            [self.binaries / "initdb", "-D", self.data, "-U", "offhand", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            user=self.user(),
            cwd=self.folder,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )

    def user(self) -> str | None:
        # PostgreSQL refuses to run as root.
        if os.geteuid() != 0:
            return None
        names = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in names else "nobody"

    def database_url(self, database: str) -> str:
        return f"postgresql+psycopg://offhand@127.0.0.1:{self.port}/{database}"

    @property
    def url(self) -> str:
        return self.database_url("postgres")

    def command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "max_connections": "100",
        }
        return [
            str(self.binaries / "postgres"),
            "-D",
            str(self.data),
            *(word for key, value in options.items() for word in ("-c", f"{key}={value}")),
        ]

    def is_ready(self) -> bool:
        ask = [str(self.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ask, check=False).returncode == 0

    def execute(self, statement: str) -> None:
        """Runs one statement on the server, outside any transaction (CREATE DATABASE and the like)."""
        import psycopg

        with psycopg.connect(f"host=127.0.0.1 port={self.port} user=offhand dbname=postgres", autocommit=True) as link:
            link.execute(statement.encode())

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The SQLAlchemy URL of an empty database, which is dropped in the end."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f'CREATE DATABASE "{name}"')
        yield self.database_url(name)
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def restart(self) -> None:
        """A fast restart: connections are cut, committed work stays."""
        self.stop(signal.SIGINT)
        self.start()


def _postgres_binaries() -> Path:
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0, default=None)
    found = str(newest) if newest is not None else shutil.which("initdb")
    if found is None:
        raise ServerMissing("PostgreSQL's initdb is not installed (apt install postgresql)")
    folder = Path(found).parent
    missing = [name for name in ("postgres", "pg_isready") if not (folder / name).exists()]
    if missing:
        raise ServerMissing(f"{folder} has no {' and no '.join(missing)} (apt install postgresql)")
    return folder
