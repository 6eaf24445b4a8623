"""`offhand doctor`: what keeps Offhand from working here, each finding with what to do about it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx

from offhand.embedded.data_folder import default_data_folder
from offhand.embedded.installation import (
    LIBRARIES,
    install_command,
    missing_libraries,
    missing_packages,
    service_environment,
)
from offhand.embedded.processes import free_port
from offhand.errors import ClientError
from offhand.sdk.client import Client
from offhand.terminal.output import Output

LITTLE_SPACE = 2 * 1024**3


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``ok`` None: not good, not bad."""

    name: str
    ok: bool | None
    detail: str


def examine(url: str | None, output: Output) -> None:
    """Print every finding; exit 1 when one of them stops Offhand from working."""
    findings = [python(), *parts(), *deployment(url), *service(url)]
    marks = {True: "ok  ", False: "FAIL", None: "--  "}
    text = "\n".join(f"{marks[f.ok]} {f.name:<12} {f.detail}" for f in findings)
    output.result([asdict(f) for f in findings], text)
    if any(f.ok is False for f in findings):
        raise SystemExit(ClientError.exit_code)


def python() -> Finding:
    """Check the version of Python."""
    ok = sys.version_info >= (3, 11)
    return Finding("python", ok, sys.version.split()[0] + ("" if ok else "; 3.11 or newer is needed"))


def parts() -> list[Finding]:
    """Find the service's libraries and packages. The SDK alone is a valid installation; `offhand up` needs the rest."""
    findings = []
    for name, extra in LIBRARIES.items():
        try:
            findings.append(Finding(name, True, version(name)))
        except PackageNotFoundError:
            wanted = f"not installed; `offhand up` needs: {install_command({name: extra})}"
            findings.append(Finding(name, None, wanted))
    if absent := missing_packages():
        detail = f"{', '.join(absent)} not found: this is the SDK alone; `offhand up` needs a checkout (make setup)"
        findings.append(Finding("packages", None, detail))
    return findings


def deployment(url: str | None) -> list[Finding]:
    """Find what a worker started here would use: database, objects, broker, device, disk. The SDK alone: disk.

    Where nothing configures a deployment and the service at ``url`` is not the one of this machine's data folder, that
    folder says nothing about the service: it is not examined.
    """
    if missing_packages() or missing_libraries():
        return [space()]
    stranger = other_service(url)
    if stranger is not None:
        return [space(), stranger]
    examined = subprocess.run(
        [sys.executable, "-m", "worker.service.doctor"],
        env={"OFFHAND_HOME": str(home()), **service_environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return [Finding(**finding) for finding in json.loads(examined.stdout)]
    except ValueError:
        reasons = examined.stderr.strip().splitlines()[-1:] or [f"exit status {examined.returncode}"]
        return [Finding("worker", False, f"cannot be examined: {reasons[0]}")]


def home() -> Path:
    """Return the data folder: ``OFFHAND_HOME``, else the default one of `offhand up`."""
    return Path(os.environ["OFFHAND_HOME"]) if "OFFHAND_HOME" in os.environ else default_data_folder()


def other_service(url: str | None) -> Finding | None:
    """Return a finding where the service that is asked is not the one that runs on this machine's data folder."""
    if any(name.startswith("OFFHAND_") and name not in ("OFFHAND_HOME", "OFFHAND_URL") for name in os.environ):
        return None  # a deployment is configured here: it is what the findings are about
    with Client(url, timeout=5.0, patience=0.0) as client:
        asked = client.connection.base_url
        try:
            client.connection.http.get("/healthz")
        except httpx.TransportError:
            return None
    try:
        running = json.loads((home() / "up.lock").read_text())["url"]
    except (OSError, ValueError, KeyError):
        running = None
    if running is not None and httpx.URL(running).port == httpx.URL(asked).port:
        return None
    detail = (
        f"{asked} is not the service of {home()}: its database, objects, broker and workers cannot be examined from "
        "here; run `offhand doctor` on its machine, with its settings"
    )
    return Finding("deployment", None, detail)


def space() -> Finding:
    """Check the free disk space of the data folder."""
    folder = home()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1024**3:.1f} GiB free at {folder.resolve()}"
    return Finding("disk", free >= LITTLE_SPACE, detail if free >= LITTLE_SPACE else f"{detail}; 2 GiB is too little")


def service(url: str | None) -> list[Finding]:
    """Check whether the service at ``url`` is ready and has generators."""
    with Client(url, timeout=5.0, patience=0.0) as client:
        try:
            answer = client.connection.http.get("/readyz")
        except httpx.TransportError:
            return [
                Finding("service", None, f"nothing answers at {client.connection.base_url}; start it with: offhand up"),
                port(),
            ]
        if answer.status_code != 200:
            return [Finding("service", False, f"{client.connection.base_url} is not ready: {reason(answer)}")]
        names = [generator["name"] for generator in client.generators.list()]
        return [
            Finding("service", True, f"{client.connection.base_url} is ready"),
            Finding("generators", bool(names), ", ".join(names) or "none is registered"),
        ]


def reason(answer: httpx.Response) -> str:
    """Return the detail of an error answer, or its status."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return str(answer.status_code)


def port() -> Finding:
    """Check whether the default port is free."""
    try:
        free_port(8321)
    except ClientError as error:
        return Finding("port", False, error.detail)
    return Finding("port", True, "8321 is free")
