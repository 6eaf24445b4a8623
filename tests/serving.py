"""The real API as a process of its own, on a port and a data folder of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import httpx

from tests.servers import free_port, wait_until

START_SECONDS = 60.0


class ApiProcess:
    """``python -m api``. It can be killed and started again on the same port and folder."""

    def __init__(self, home: Path, generators: Path, **environment: str) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = os.environ | {
            "OFFHAND_HOME": str(home),
            "OFFHAND_API__PORT": str(self.port),
            "OFFHAND_GENERATORS_FOLDER": str(generators),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ApiProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api"], env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(self._is_ready, f"the API on port {self.port}", START_SECONDS)
        except TimeoutError as error:
            self.kill()
            raise AssertionError(f"{error}:\n{self.log.read_text()}") from None

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            httpx.get(f"{self.url}/healthz", timeout=1.0)
        except httpx.TransportError:
            return False
        return True

    def kill(self) -> None:
        """As a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def terminate(self) -> float:
        """As a deployment would; the seconds it took."""
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.process = None
        return time.monotonic() - started

    @property
    def log(self) -> Path:
        self.home.mkdir(parents=True, exist_ok=True)
        return self.home / "api.log"
