"""Published weights on this machine, by the worker's own program: its lines become progress and results."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from offhand.embedded.installation import WORKER_PACKAGES, refuse_missing_service, service_environment
from offhand.errors import ClientError
from offhand.sdk.callbacks import OnBytes


def run(arguments: Sequence[str], on_bytes: OnBytes | None = None) -> Any:
    """Run `python -m worker.weights` and return its result.

    Raises :class:`~offhand.errors.NotStarted` where the worker is not installed here, ClientError with the code of the
    worker's error.
    """
    refuse_missing_service(WORKER_PACKAGES, {"pydantic_settings": "service"})
    command = [sys.executable, "-m", "worker.weights", *arguments]
    last: dict[str, Any] = {}
    with subprocess.Popen(
        command, env=service_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        for line in program.stdout:
            last = json.loads(line)
            if "bytes" in last and on_bytes is not None:
                on_bytes(last["bytes"], last["total"])
        complaint = program.stderr.read().strip().splitlines()[-1:]
    if "result" in last:
        return last["result"]
    error = last.get("error") or {"code": "weights_failed", "detail": (complaint or ["the worker's program ended"])[0]}
    failed = ClientError(error["detail"])
    failed.code = error["code"]
    raise failed
