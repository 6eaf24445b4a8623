"""`offhand doctor`: what keeps Offhand from working here, each finding with what to do about it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import httpx

from offhand.embedded.processes import NEEDED, PACKAGES, free_port
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
    findings = [python(), *parts(), *deployment(), *service(url)]
    marks = {True: "ok  ", False: "FAIL", None: "--  "}
    text = "\n".join(f"{marks[f.ok]} {f.name:<12} {f.detail}" for f in findings)
    output.result([asdict(f) for f in findings], text)
    if any(f.ok is False for f in findings):
        raise SystemExit(ClientError.exit_code)


def python() -> Finding:
    ok = sys.version_info >= (3, 11)
    return Finding("python", ok, sys.version.split()[0] + ("" if ok else "; 3.11 or newer is needed"))


def parts() -> list[Finding]:
    """What is installed. The client alone is a valid installation; only `offhand up` needs the rest."""
    findings = []
    for name, extra in NEEDED.items():
        try:
            findings.append(Finding(name, True, version(name)))
        except PackageNotFoundError:
            findings.append(Finding(name, None, f"not installed; `offhand up` needs: pip install 'offhand[{extra}]'"))
    for name in PACKAGES:
        if find_spec(name) is None:
            findings.append(Finding(name, None, "not installed; this is the client alone"))
    return findings


def deployment() -> list[Finding]:
    """What a worker started here would find: database, objects, broker, device, disk. The client alone has space."""
    if any(find_spec(name) is None for name in (*NEEDED, "worker")):
        return [space()]
    asked = subprocess.run([sys.executable, "-m", "worker.service.doctor"], capture_output=True, text=True, check=False)
    try:
        return [Finding(**finding) for finding in json.loads(asked.stdout)]
    except ValueError:
        said = asked.stderr.strip().splitlines()[-1:] or [f"exit status {asked.returncode}"]
        return [Finding("worker", False, f"cannot be examined: {said[0]}")]


def space() -> Finding:
    folder = Path(os.environ.get("OFFHAND_HOME", "."))
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1024**3:.1f} GiB free at {folder.resolve()}"
    return Finding("disk", free >= LITTLE_SPACE, detail if free >= LITTLE_SPACE else f"{detail}; 2 GiB is too little")


def service(url: str | None) -> list[Finding]:
    with Client(url, timeout=5.0, patience=0.0) as client:
        try:
            answer = client.http.get("/readyz")
        except httpx.TransportError:
            return [
                Finding("service", None, f"nothing answers at {client.base_url}; start it with: offhand up"),
                port(),
            ]
        if answer.status_code != 200:
            return [Finding("service", False, f"{client.base_url} is not ready: {reason(answer)}")]
        names = [generator["name"] for generator in client.generators()]
        return [
            Finding("service", True, f"{client.base_url} is ready"),
            Finding("generators", bool(names), ", ".join(names) or "none is registered"),
        ]


def reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return str(answer.status_code)


def port() -> Finding:
    try:
        free_port(8321)
    except ClientError as error:
        return Finding("port", False, error.detail)
    return Finding("port", True, "8321 is free")
